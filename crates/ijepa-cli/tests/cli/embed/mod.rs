//! `embed`.

mod encoders;
mod files;
mod preprocessing;
mod rows;
mod search;

use std::path::Path;

use ijepa_data::{FolderSource, Preprocess, Source};
use ijepa_model::{Checkpoint, Normalization, Pooling, checkpoint::EncoderRole};
use ijepa_testkit::{device, device_name};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Features, golden, json, path_text};

/// Two classes of images of several sizes, one of them damaged.
fn photos() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, [width, height]: [u32; 2], hue: u32| {
        let path = folder.path().join("photos").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixel = |x: u32, y: u32| {
            image::Rgb([
                (7 * x + hue) as u8,
                (5 * y + 3 * hue) as u8,
                (x * y + hue) as u8,
            ])
        };
        image::RgbImage::from_fn(width, height, pixel)
            .save(path)
            .unwrap();
    };
    save("bird/0.png", [36, 36], 10);
    save("bird/1.png", [64, 48], 90);
    save("cat/a.png", [40, 80], 160);
    save("cat/c.png", [33, 50], 220);
    std::fs::write(folder.path().join("photos/cat/b.png"), "no image").unwrap();
    folder
}

/// The features that `embed` writes with some flags, and what it says.
fn embed(folder: &Path, flags: &[&str]) -> (Features, Value) {
    let out = path_text(folder.join("out.safetensors"));
    let said = json(&command(folder, &out, flags));
    assert_eq!(said["out"], out.as_str());
    (Features::read(out), said)
}

fn command(folder: &Path, out: &str, flags: &[&str]) -> Vec<String> {
    let data = path_text(folder.join("photos"));
    let device = device_name();
    let common = ["embed", "--data", &data, "--out", out, "--device", &device];
    let words = [&common[..], flags].concat();
    words.into_iter().map(str::to_owned).collect()
}

fn hf() -> String {
    golden("hf_tiny_saved")
}

/// Features of the readable images, computed one by one with the library.
fn expected(folder: &Path, preprocess: Preprocess, normalization: Normalization) -> Vec<f32> {
    let device = device();
    let checkpoint = Checkpoint::open(hf()).unwrap();
    let encoder = checkpoint.encoder(EncoderRole::Context, &device).unwrap();
    let source = FolderSource::open(folder.join("photos")).unwrap();
    let images = (0..source.len()).filter_map(|index| source.read(index).ok());
    images
        .flat_map(|image| {
            let image = preprocess.apply(&image, [32, 32]).unwrap();
            let images = normalization.images(image.pixels(), [1, 32, 32], &device);
            let features = encoder.forward_pooled(images, Pooling::Mean).into_data();
            features.convert::<f32>().try_into_vec::<f32>().unwrap()
        })
        .collect()
}
