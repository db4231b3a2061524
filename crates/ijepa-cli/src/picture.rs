//! Pictures of masks as PNG files.

use std::{
    io::{Cursor, Write},
    path::Path,
};

use ijepa_masking::RgbPicture;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use crate::{
    atomic_file::{AtomicFile, cannot_write},
    error::CliError,
};

/// Writes `picture` as a PNG, whatever the name of the file.
pub(crate) fn write_png(picture: &RgbPicture, path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        return Err(CliError::OutIsFolder {
            flag: "png",
            path: path.to_owned(),
        });
    }
    let mut png = Cursor::new(Vec::new());
    let (width, height) = (picture.width as u32, picture.height as u32);
    PngEncoder::new(&mut png)
        .write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|source| CliError::Picture {
            path: path.to_owned(),
            source,
        })?;
    let mut file = AtomicFile::create(path)?;
    file.write_all(png.get_ref()).map_err(cannot_write(path))?;
    file.commit()
}

/// Pictures of one width, one below the other.
pub(crate) fn stack(pictures: Vec<RgbPicture>) -> RgbPicture {
    let mut pictures = pictures.into_iter();
    let mut stacked = pictures.next().expect("there is at least one group");
    for picture in pictures {
        stacked.height += picture.height;
        stacked.pixels.extend(picture.pixels);
    }
    stacked
}
