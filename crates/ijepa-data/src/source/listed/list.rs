//! A text file that names images anywhere.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Listed, ListedSource};
use crate::error::DataError;
use crate::source::file::{read_text, unreadable};

impl ListedSource {
    /// These image files without labels, in this order, which are looked for when they are read.
    pub fn files<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let file = |path: P| Listed::new(path.as_ref(), None);
        Self {
            root: PathBuf::new(),
            files: paths.into_iter().map(file).collect(),
            classes: Vec::new(),
        }
    }

    /// As [`files`](Self::files), of files that are there now, as those that a user names are.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`] with the first that is not.
    pub fn files_there<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, DataError> {
        let source = Self::files(paths);
        for image in 0..source.files.len() {
            let path = source.path(image);
            fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        }
        Ok(source)
    }

    /// The images that the text file `list` names, one path a line, in its order. Paths count from
    /// the folder of the file; a path may stand twice.
    ///
    /// A label may follow after a tab. The classes are the distinct labels, in the order of their
    /// numbers if all are whole numbers and byte-wise otherwise; lines without one have no label.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`], [`DataError::SubsetEmpty`] if no line has a path,
    /// [`DataError::ListedMissing`] if the first image is not there.
    pub fn list(list: impl AsRef<Path>) -> Result<Self, DataError> {
        let list = list.as_ref();
        let text = read_text(list)?;
        let lines = || {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(|line| match line.split_once('\t') {
                Some((path, label)) => (path, Some(label.trim()).filter(|label| !label.is_empty())),
                None => (line, None),
            })
        };
        let mut classes: Vec<&str> = lines().filter_map(|(_, label)| label).collect();
        let number = |label: &str| label.parse::<u64>();
        match classes.iter().all(|label| number(label).is_ok()) {
            true => classes.sort_unstable_by_key(|label| (number(label).ok(), *label)),
            false => classes.sort_unstable(),
        }
        classes.dedup();
        let numbers: HashMap<&str, u32> = classes.iter().copied().zip(0..).collect();
        let file = |(path, label): (&str, Option<&str>)| {
            Listed::new(path, label.map(|label| numbers[label]))
        };
        let root = list.parent().unwrap_or(Path::new(""));
        let files: Vec<Listed> = lines().map(file).collect();
        let Some(first) = files.first() else {
            let path = list.to_owned();
            return Err(DataError::SubsetEmpty { path });
        };
        if !root.join(&*first.name).exists() {
            return Err(DataError::ListedMissing {
                path: list.to_owned(),
                name: first.name.display().to_string(),
                // That of a bare name is the current one.
                root: Path::new(".").join(root),
            });
        }
        let classes = classes.into_iter().map(str::to_owned).collect();
        Ok(Self {
            root: root.to_owned(),
            files,
            classes,
        })
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::source::Source;

    #[test]
    fn names_that_are_no_text_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder
            .path()
            .join(std::ffi::OsStr::from_bytes(b"a\xff.ppm"));
        fs::write(&path, b"P6 1 1 255\n\x07\x08\x09").unwrap();
        let source = ListedSource::files_there([&path]).unwrap();
        assert_eq!(source.path(0), path);
        assert_eq!(source.read(0).unwrap().pixel(0, 0), [7, 8, 9]);
    }
}
