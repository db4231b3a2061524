//! Data sets are verified, measured and packed.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod pack;
mod statistics;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};

use ijepa_data::{PackConfig, PackFormat, Reading};
use tempfile::TempDir;

/// Three classes of images, 12 x 8 and 8 x 12, one of a single grey; file `number` has red
/// `number * 20`.
fn photos() -> TempDir {
    let root = TempDir::new().unwrap();
    for number in 0..11_u8 {
        let class = root
            .path()
            .join(["cat", "dog", "red fox"][usize::from(number % 3)]);
        fs::create_dir_all(&class).unwrap();
        let (width, height) = if number % 2 == 0 { (12, 8) } else { (8, 12) };
        let colour = [number * 20, if number == 0 { 0 } else { 200 }, 0];
        let image = image::RgbImage::from_pixel(width, height, image::Rgb(colour));
        let ending = ["png", "jpg", "bmp"][usize::from(number / 4)];
        image
            .save(class.join(format!("{number:02}.{ending}")))
            .unwrap();
    }
    root
}

fn config(format: PackFormat) -> PackConfig {
    PackConfig {
        format,
        name: "train".to_owned(),
        most_images: 4,
        most_bytes: 1 << 30,
        shrink: None,
        shuffle: None,
        reading: Reading::default(),
        workers: 3,
    }
}

/// Adds a file that is cut short, an empty one, a text and a link to nowhere.
fn spoil(root: &Path) -> Vec<PathBuf> {
    let good = fs::read(root.join("cat/03.png")).unwrap();
    let bad = ["cat/cut.png", "dog/empty.jpg", "dog/text.jpg"].map(|name| root.join(name));
    fs::write(&bad[0], &good[..good.len() / 2]).unwrap();
    fs::write(&bad[1], "").unwrap();
    fs::write(&bad[2], "a text").unwrap();
    bad.to_vec()
}
