//! Places205 by its split files.

use std::path::{Path, PathBuf};

use super::labels::{Line, read_lines};
use super::{Listed, ListedSource, numbered};
use crate::error::DataError;
use crate::source::split::folder_and_split;

const SCENES: u32 = 205;
/// Where the images of the official archive may lie, below the data folder.
const IMAGE_FOLDERS: [&str; 3] = [
    "",
    "images256",
    "data/vision/torralba/deeplearning/images256",
];

impl ListedSource {
    /// Places205, labelled by scene category from 0 to 204.
    ///
    /// `path` is the folder with `train_places205.csv` or `.txt` (`a/abbey/1.jpg 0` a line),
    /// directly or in `trainvalsplit_places205`, and the images, directly or in `images256`;
    /// with `/val` behind it, those of `val_places205.csv`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoFolder`], [`DataError::NoSplit`], [`DataError::Read`],
    /// [`DataError::BadEntry`] for a line without a label below 205, [`DataError::SubsetEmpty`]
    /// or [`DataError::ListedMissing`].
    pub fn places205(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let (folder, split) = folder_and_split(path.as_ref(), &["train", "val"])?;
        let lists = ["", "trainvalsplit_places205"]
            .into_iter()
            .flat_map(|home| {
                let home = folder.join(home);
                ["csv", "txt"].map(|ending| home.join(format!("{split}_places205.{ending}")))
            });
        let Some(list) = lists.into_iter().find(|list| list.is_file()) else {
            return Err(DataError::NoSplit {
                data: "Places205",
                split,
                path: folder,
                expected: format!("{split}_places205.csv or {split}_places205.txt"),
            });
        };
        let files = read_lines(&list)?.into_iter().map(|line| {
            let Line { name, label, .. } = &line;
            match (name, label.parse()) {
                (Some(name), Ok(label)) if label < SCENES => Ok(Listed::new(name, Some(label))),
                _ => Err(line.bad(&list, "an image and its class from 0 to 204")),
            }
        });
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let roots: Vec<PathBuf> = IMAGE_FOLDERS.iter().map(|home| folder.join(home)).collect();
        Self::new(&list, &roots, files, numbered(SCENES))
    }
}
