//! Text files of labels: `IMAGE LABEL` a line, or a class name a line in the order of the images.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use super::{Listed, ListedSource};
use crate::error::DataError;
use crate::source::file::read_text;
use crate::source::{FolderSource, Source};

/// Classes by number stop here, so that no line can ask for a model of absurd width.
const MOST_CLASSES: u32 = 1 << 16;

/// A line that is not blank: the label is its last word, whatever stands before it the image.
pub(super) struct Line {
    number: usize,
    pub(super) name: Option<String>,
    pub(super) label: String,
}

impl Line {
    /// The error that this line is not what it should be.
    pub(super) fn bad(&self, list: &Path, expected: &'static str) -> DataError {
        let name = self.name.as_ref().map(|name| format!("{name} "));
        DataError::BadEntry {
            path: list.to_owned(),
            entry: format!("line {}", self.number),
            found: format!("`{}{}`", name.unwrap_or_default(), self.label),
            expected,
        }
    }
}

/// Reads a text file whose words are separated by blanks, tabs or commas.
pub(super) fn read_lines(list: &Path) -> Result<Vec<Line>, DataError> {
    let text = read_text(list)?;
    let gap = |letter: char| letter.is_whitespace() || letter == ',';
    let lines = text.lines().zip(1..).map(|(line, number)| {
        let line = line.trim_matches(gap);
        let (name, label) = match line.rsplit_once(gap) {
            Some((name, label)) => (Some(name.trim_end_matches(gap).to_owned()), label),
            None => (None, line),
        };
        Line {
            number,
            name,
            label: label.to_owned(),
        }
    });
    Ok(lines.filter(|line| !line.label.is_empty()).collect())
}

impl ListedSource {
    /// A folder whose labels stand in the text file `labels`, such as ImageNet's validation
    /// images.
    ///
    /// Every line holds an image's path below `folder` and its class, as a number from 0
    /// (`ILSVRC2012_val_00000001.JPEG 65`) or as a name (`... n01751748`), throughout the file.
    /// Names get their numbers in byte-wise order, as class folders do. Where every line is a
    /// class name only, the lines belong to the images of the flat folder in the order of their
    /// names. Numbers only are refused: those of ImageNet's development kit have another order.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`], [`DataError::BadEntry`] naming the line, [`DataError::Inconsistent`]
    /// if lines without images are not as many as the images, [`DataError::SubsetEmpty`],
    /// [`DataError::ListedMissing`], or an error of [`FolderSource::open`].
    pub fn labelled_folder(
        folder: impl AsRef<Path>,
        labels: impl AsRef<Path>,
    ) -> Result<Self, DataError> {
        let (folder, list) = (folder.as_ref(), labels.as_ref());
        let mut lines = read_lines(list)?;
        if lines.first().is_some_and(|line| line.name.is_none()) {
            name_in_order(folder, list, &mut lines)?;
        }
        let Some(first) = lines.first() else {
            return Err(DataError::SubsetEmpty {
                path: list.to_owned(),
            });
        };
        let by_number = first.label.parse::<u32>().is_ok();
        let classes: Vec<String> = match by_number {
            true => Vec::new(),
            false => {
                let names: BTreeSet<&String> = lines.iter().map(|line| &line.label).collect();
                names.into_iter().cloned().collect()
            }
        };
        let label = |line: &Line| match (by_number, line.label.parse::<u32>()) {
            (true, Ok(label)) if label < MOST_CLASSES => Ok(label),
            (true, _) => Err(line.bad(list, "an image and its class from 0 to 65535")),
            (false, Ok(_)) => Err(line.bad(list, "a class name, as on the first line")),
            (false, Err(_)) => {
                let place = classes.binary_search(&line.label);
                Ok(place.expect("every label is a class") as u32)
            }
        };
        let files = lines.iter().map(|line| match &line.name {
            Some(name) => Ok(Listed::new(name, Some(label(line)?))),
            None => Err(line.bad(list, "an image and its class")),
        });
        let files = files.collect::<Result<Vec<_>, _>>()?;
        Self::new(list, &[folder.to_owned()], files, classes)
    }
}

/// Gives lines without images those of the flat `folder`, one each.
fn name_in_order(folder: &Path, list: &Path, lines: &mut [Line]) -> Result<(), DataError> {
    let images = FolderSource::open(folder)?;
    let wrong = |line: &Line| line.name.is_some() || line.label.parse::<u32>().is_ok();
    if let Some(line) = lines.iter().find(|line| wrong(line)) {
        return Err(line.bad(list, "a class name only, or images on every line"));
    }
    if !images.classes().is_empty() {
        return Err(lines[0].bad(list, "an image and its class, since the folder is not flat"));
    }
    if lines.len() != images.len() {
        return Err(DataError::Inconsistent {
            path: list.to_owned(),
            what: "the number of lines",
            found: lines.len() as i64,
            expected: images.len() as i64,
        });
    }
    for (index, line) in lines.iter_mut().enumerate() {
        let path = images.path(index);
        let name = path.file_name().and_then(OsStr::to_str);
        let name =
            name.ok_or_else(|| line.bad(list, "an image, since a file's name is no text"))?;
        line.name = Some(name.to_owned());
    }
    Ok(())
}
