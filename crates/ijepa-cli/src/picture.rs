//! Pictures as PNG files.

use std::path::Path;

use ijepa_masking::RgbPicture;
use ijepa_model::files::write_bytes;

use crate::error::CliError;

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
    Ok(write_bytes(path, ijepa_report::png(picture))?)
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
