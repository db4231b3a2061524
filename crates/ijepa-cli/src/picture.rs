//! Pictures as PNG files.

use std::path::Path;

use ijepa_masking::RgbPicture;
use ijepa_model::files::{ensure_writable, write_bytes};

use crate::error::CliError;

/// Refuses the name of a folder, and one that nothing can be written under, before work begins.
pub(crate) fn check_name(flag: &'static str, path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        let path = path.to_owned();
        return Err(CliError::OutIsFolder { flag, path });
    }
    Ok(ensure_writable(path)?)
}

/// Refuses what is no name for a picture before work begins: as [`check_name`], and other kinds of
/// files.
pub(crate) fn check_png(flag: &'static str, path: &Path) -> Result<(), CliError> {
    check_ending(flag, path, "png")
}

/// As [`check_name`], and refuses names of other kinds of files than `ending` says.
pub(crate) fn check_ending(
    flag: &'static str,
    path: &Path,
    ending: &'static str,
) -> Result<(), CliError> {
    match path.extension() {
        Some(other) if !path.is_dir() && !other.eq_ignore_ascii_case(ending) => {
            Err(CliError::OtherEnding {
                flag,
                path: path.to_owned(),
                ending,
            })
        }
        _ => check_name(flag, path),
    }
}

/// Writes `picture` as a PNG.
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
