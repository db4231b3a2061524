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

/// Refuses what is no name for a picture before work begins: a folder, or another kind of file.
pub(crate) fn check_png(flag: &'static str, path: &Path) -> Result<(), CliError> {
    check_ending(flag, path, "png")
}

/// Refuses a folder and names of other kinds of files than `ending` says.
pub(crate) fn check_ending(
    flag: &'static str,
    path: &Path,
    ending: &'static str,
) -> Result<(), CliError> {
    check_name(flag, path)?;
    match path.extension() {
        Some(other) if !other.eq_ignore_ascii_case(ending) => Err(CliError::OtherEnding {
            flag,
            path: path.to_owned(),
            ending,
        }),
        _ => Ok(()),
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
