//! Specifications of folders.

use std::path::Path;
use std::sync::Arc;

use super::DataSpec;
use crate::error::DataError;
use crate::source::{
    ConcatSource, FolderForm, FolderSource, IndexCache, Kept, ListedSource, Source,
    matching_folders, matching_images,
};

impl DataSpec {
    /// Opens a folder restricted to the images that the file `list` names, one a line.
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with) and [`FolderSource::restrict_to`];
    /// [`DataError::SubsetOfOther`] if the data is not a folder.
    pub fn open_subset(
        &self,
        list: &Path,
        indexes: Option<&IndexCache>,
    ) -> Result<Arc<dyn Source>, DataError> {
        let other = || DataError::SubsetOfOther {
            spec: self.to_string(),
        };
        let (pattern, form) = match self {
            Self::Folder(path) => (path, FolderForm::Classes),
            Self::Unlabelled(path) => (path, FolderForm::Unlabelled),
            _ => return Err(other()),
        };
        match &matching_folders(pattern)?[..] {
            [folder] => Ok(Arc::new(
                open_one(folder, form, indexes)?.restrict_to(list)?,
            )),
            _ => Err(other()),
        }
    }

    /// Lists what this names and keeps that for the next time: folders in `indexes`, with labels
    /// where they have them, and without. Other kinds keep what they need when they are opened.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`IndexCache::renew`].
    pub fn renew_indexes(&self, indexes: &IndexCache) -> Result<Vec<Kept>, DataError> {
        let are_images = |path: &Path| !matching_images(path).is_empty();
        let (pattern, forms) = match self {
            Self::Folder(path) if !are_images(path) => {
                (path, &[FolderForm::Classes, FolderForm::Unlabelled][..])
            }
            Self::Unlabelled(path) if !are_images(path) => (path, &[FolderForm::Unlabelled][..]),
            other => {
                let images = other.open()?.len();
                return Ok(vec![Kept {
                    path: None,
                    images,
                    folders: 0,
                }]);
            }
        };
        let mut kept = Vec::new();
        for folder in matching_folders(pattern)? {
            for &form in forms {
                match indexes.renew(&folder, form) {
                    // Whoever needs no labels can still use it.
                    Err(DataError::MixedFolder { .. }) => {}
                    Err(DataError::NoImages { path, .. }) if path != folder => {}
                    renewed => kept.push(renewed?),
                }
            }
        }
        Ok(kept)
    }
}

/// Opens each of the folders that `pattern` names, or the image files.
pub(super) fn open(
    pattern: &Path,
    form: FolderForm,
    indexes: Option<&IndexCache>,
) -> Result<Arc<dyn Source>, DataError> {
    let images = matching_images(pattern);
    if !images.is_empty() {
        return Ok(Arc::new(ListedSource::files(images)));
    }
    let folders = matching_folders(pattern)?;
    if let [folder] = &folders[..] {
        return Ok(Arc::new(open_one(folder, form, indexes)?));
    }
    let sources = folders.iter().map(|folder| {
        let source = open_one(folder, form, indexes)?;
        Ok(Arc::new(source) as Arc<dyn Source>)
    });
    let sources = sources.collect::<Result<_, DataError>>()?;
    Ok(Arc::new(ConcatSource::new(sources)))
}

fn open_one(
    folder: &Path,
    form: FolderForm,
    indexes: Option<&IndexCache>,
) -> Result<FolderSource, DataError> {
    match (indexes, form) {
        (Some(indexes), form) => indexes.open(folder, form),
        (None, FolderForm::Classes) => FolderSource::open(folder),
        (None, FolderForm::Unlabelled) => FolderSource::unlabelled(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_count_once_whatever_folders_a_pattern_matches() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        for folder in [home.path(), &home.path().join("a"), &deep] {
            std::fs::write(folder.join("0.png"), []).unwrap();
        }
        let images = |pattern: &str| {
            let pattern = home.path().join(pattern);
            open(&pattern, FolderForm::Unlabelled, None).unwrap().len()
        };
        assert_eq!((images("**"), images("a/**"), images("*")), (3, 2, 2));
    }

    #[test]
    fn files_of_images_need_no_index_and_a_pattern_of_one_folder_has_subsets() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("set-1");
        std::fs::create_dir(&folder).unwrap();
        for name in ["0.png", "1.png"] {
            std::fs::write(folder.join(name), []).unwrap();
        }
        let spec = |pattern: &str| -> DataSpec {
            let pattern = home.path().join(pattern);
            pattern.display().to_string().parse().unwrap()
        };
        let indexes = IndexCache::new(home.path().join("cache"));
        let kept = spec("set-1/*.png").renew_indexes(&indexes).unwrap();
        let [kept] = &kept[..] else {
            panic!("{kept:?}");
        };
        assert_eq!((kept.images, kept.folders, &kept.path), (2, 0, &None));
        let list = home.path().join("list");
        std::fs::write(&list, "1.png\n").unwrap();
        assert_eq!(spec("set-*").open_subset(&list, None).unwrap().len(), 1);
        std::fs::create_dir(home.path().join("set-2")).unwrap();
        let several = spec("set-*").open_subset(&list, None).unwrap_err();
        assert!(
            matches!(several, DataError::SubsetOfOther { .. }),
            "{several}"
        );
    }
}
