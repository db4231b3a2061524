//! Pictures as PNG files.

use std::{io::Write, path::Path};

use ijepa_masking::RgbPicture;

use crate::{
    atomic_file::{AtomicFile, cannot_write},
    error::CliError,
};

/// Refuses the name of a folder before work begins.
pub(crate) fn check_name(flag: &'static str, path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        let path = path.to_owned();
        return Err(CliError::OutIsFolder { flag, path });
    }
    Ok(())
}

/// Writes `picture` as a PNG, whatever the name of the file.
pub(crate) fn write_png(picture: &RgbPicture, path: &Path) -> Result<(), CliError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(&ijepa_eval::png(picture))
        .map_err(cannot_write(path))?;
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
