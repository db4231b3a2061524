//! Image files in a folder, with or without one sub-folder per class.

mod index;
mod names;
mod others;
mod subset;
mod walk;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::source::Source;
use crate::source::file::{fetch_file, unreadable};
use crate::source::wildcards::{WILDCARDS, matching};
pub use index::{IndexCache, Kept};
use names::Names;
use others::Others;
pub use walk::IMAGE_EXTENSIONS;
pub(super) use walk::{LOST_AND_FOUND, is_array, is_image};
use walk::{Listing, Mark, real, walk};

pub(super) const EXTENSIONS_TEXT: &str =
    ".jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp .gif .npy";

/// Which folders are taken, and whether they are classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FolderForm {
    /// One sub-folder per class, or flat, see [`FolderSource::open`].
    Classes,
    /// Any, see [`FolderSource::unlabelled`].
    Unlabelled,
}

impl FolderForm {
    fn other(self) -> Self {
        match self {
            Self::Classes => Self::Unlabelled,
            Self::Unlabelled => Self::Classes,
        }
    }
}

/// The images of a folder.
///
/// If any sub-folder is present, each one is a class, as in torchvision's `ImageFolder`: labels
/// follow the byte-wise order of the class names, and images of a class are found at any depth,
/// ordered by folder and then by file name. A folder with image files is flat and has no labels,
/// whatever sub-folders without images lie beside them. Images in both is an error, since either
/// reading would silently ignore something, and so is a class folder without an image.
/// [`unlabelled`](Self::unlabelled) takes any folder.
///
/// Files of other kinds (a licence, a list) are passed over and counted in
/// [`notes`](Source::notes); names starting with a dot and `lost+found` are not looked at. Links
/// are followed, but for those to a folder that they lie in, and a class has the images of a
/// folder once, however many links lead there.
///
/// # Examples
///
/// ```no_run
/// use ijepa_data::{FolderSource, Source};
///
/// let train = FolderSource::open("imagenet/train")?;
/// println!("{} images, {} classes", train.len(), train.classes().len());
/// let first = train.read(0)?;
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FolderSource {
    root: PathBuf,
    classes: Vec<String>,
    folders: Vec<Folder>,
    /// Those of all files; nothing else is kept of one, since data sets have millions of them.
    names: Names,
    others: Others,
    /// What there is to say about its index.
    note: Option<String>,
    /// Whether it was listed some time ago.
    is_indexed: bool,
}

/// A folder that directly holds images.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Folder {
    /// Below the root.
    path: PathBuf,
    label: Option<u32>,
    /// The number of its first image.
    first: usize,
}

/// Every folder that was listed, by its path without links.
type Listings = HashMap<PathBuf, Listing>;

impl FolderSource {
    /// Lists the images of the folder `root`; no image is opened.
    ///
    /// # Errors
    ///
    /// [`DataError::NoFolder`], [`DataError::NotAFolder`], [`DataError::NoImages`],
    /// [`DataError::MixedFolder`], or [`DataError::Read`] for a folder that cannot be listed.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, DataError> {
        Ok(Self::list(root.as_ref(), FolderForm::Classes)?.0)
    }

    /// Lists the images of the folder `root` and of all folders in it, without labels: its own
    /// first, then those of each of its folders, in the order that [`open`](Self::open) has. Each
    /// folder counts once, however many links lead there; folders may be empty.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but never [`DataError::MixedFolder`].
    pub fn unlabelled(root: impl AsRef<Path>) -> Result<Self, DataError> {
        Ok(Self::list(root.as_ref(), FolderForm::Unlabelled)?.0)
    }

    /// Lists `root`, and gives the marks of all folders that were looked at.
    fn list(root: &Path, form: FolderForm) -> Result<(Self, Vec<(PathBuf, Mark)>), DataError> {
        check_folder(root)?;
        let here = Listing::of(&real(root)?)?;
        let mut found = Self {
            root: root.to_owned(),
            classes: Vec::new(),
            folders: Vec::new(),
            names: Names::default(),
            others: here.others.clone(),
            note: None,
            is_indexed: false,
        };
        let is_flat = here.images.len() > 0;
        if is_flat {
            found.add(PathBuf::new(), None, &here.images);
        }
        let listings = walk(here.folders.iter().map(|(_, real)| real.clone()).collect())?;
        let mut seen = HashSet::from([real(root)?]);
        for (label, (name, path)) in here.folders.iter().enumerate() {
            let (class, before) = (PathBuf::from(name), found.len());
            match form {
                FolderForm::Classes if !is_flat => {
                    let (label, mut seen) = (Some(label as u32), HashSet::new());
                    found.add_tree(&listings, (class, path), label, &mut seen);
                    if found.len() == before {
                        return Err(no_images(&root.join(name)));
                    }
                    found.classes.push(name.to_string_lossy().into_owned());
                }
                _ => found.add_tree(&listings, (class, path), None, &mut seen),
            }
        }
        if form == FolderForm::Classes && is_flat && found.len() > here.images.len() {
            return Err(DataError::MixedFolder {
                path: root.to_owned(),
                example: here.images.get(0).to_string_lossy().into_owned(),
            });
        }
        if found.is_empty() {
            return Err(no_images(root));
        }
        let marks = listings.into_values().flat_map(|listing| listing.marks);
        Ok((found, here.marks.into_iter().chain(marks).collect()))
    }

    /// Keeps only the images that the file `list` names, one file name a line.
    ///
    /// A name is the file's own name or, where several classes share it, its path below the
    /// root (`CLASS/FILE`). Order, labels and class names stay as they are; blank lines and
    /// repeated names are ignored.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`], [`DataError::SubsetEmpty`], [`DataError::SubsetUnknown`] or
    /// [`DataError::SubsetAmbiguous`].
    pub fn restrict_to(mut self, list: impl AsRef<Path>) -> Result<Self, DataError> {
        let keep = subset::selected(&self, list.as_ref())?;
        let mut before = vec![0; keep.len() + 1];
        for (index, &kept) in keep.iter().enumerate() {
            before[index + 1] = before[index] + usize::from(kept);
        }
        self.folders
            .iter_mut()
            .for_each(|folder| folder.first = before[folder.first]);
        self.names.retain(&keep);
        Ok(self)
    }

    /// The file of image `index`.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below the number of images.
    pub fn path(&self, index: usize) -> PathBuf {
        let mut path = self.root.join(&self.folder(index).path);
        path.push(self.names.get(index));
        path
    }

    fn folder(&self, index: usize) -> &Folder {
        assert!(index < self.len(), "image {index} of {}", self.len());
        // Folders that lost their images to a subset begin where the next one does.
        let after = self.folders.partition_point(|folder| folder.first <= index);
        &self.folders[after - 1]
    }

    fn add(&mut self, path: PathBuf, label: Option<u32>, images: &Names) {
        let first = self.len();
        self.folders.push(Folder { path, label, first });
        self.names.extend(images);
    }

    /// Adds the images at any depth of a folder, given by its path below the root and without
    /// links, but those of folders that were `seen`.
    fn add_tree(
        &mut self,
        listings: &Listings,
        (class, real): (PathBuf, &PathBuf),
        label: Option<u32>,
        seen: &mut HashSet<PathBuf>,
    ) {
        let mut pending = vec![(class, real)];
        let mut with_images = Vec::new();
        while let Some((path, real)) = pending.pop() {
            if !seen.insert(real.clone()) {
                continue;
            }
            let listing = &listings[real];
            self.others.extend(&listing.others);
            let folders = listing.folders.iter();
            pending.extend(folders.map(|(name, real)| (path.join(name), real)));
            if listing.images.len() > 0 {
                with_images.push((path, &listing.images));
            }
        }
        // torchvision sorts the folders of a class as text, not component by component.
        with_images.sort_by(|a, b| a.0.as_os_str().cmp(b.0.as_os_str()));
        for (path, images) in with_images {
            self.add(path, label, images);
        }
    }
}

impl Source for FolderSource {
    fn len(&self) -> usize {
        self.names.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.folder(index).label
    }

    fn name(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let fetched = fetch_file(&self.path(index), buffer);
        fetched.map_err(|error| match error {
            FetchError::Missing(DataError::Read { path, source })
                if self.is_indexed && source.kind() == ErrorKind::NotFound =>
            {
                FetchError::Corrupt(DataError::Vanished { path })
            }
            error => error,
        })
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        Some(self.path(index))
    }

    fn label_advice(&self) -> &'static str {
        "a folder needs one sub-folder per class"
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn notes(&self) -> Vec<String> {
        self.others
            .note()
            .into_iter()
            .chain(self.note.clone())
            .collect()
    }
}

fn check_folder(root: &Path) -> Result<(), DataError> {
    let path = root.to_owned();
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(DataError::NotAFolder { path }),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Err(DataError::NoFolder { path }),
        Err(source) => Err(unreadable(root, source)),
    }
}

/// The folder `pattern`, or the folders that it matches as in a shell, in byte-wise order, without
/// those that others hold.
pub(crate) fn matching_folders(pattern: &Path) -> Result<Vec<PathBuf>, DataError> {
    let Some(text) = wildcards(pattern) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let mut found = matching(pattern, text, Path::is_dir)?;
    let all: HashSet<PathBuf> = found.iter().cloned().collect();
    found.retain(|folder| !folder.ancestors().skip(1).any(|outer| all.contains(outer)));
    Ok(found)
}

/// The image file `pattern`, or the image files that it matches where it matches no folder.
pub(crate) fn matching_images(pattern: &Path) -> Vec<PathBuf> {
    let is_one = |path: &Path| path.is_file() && path.file_name().is_some_and(is_image);
    match wildcards(pattern) {
        Some(text) if matching(pattern, text, Path::is_dir).is_err() => {
            matching(pattern, text, is_one).unwrap_or_default()
        }
        None if is_one(pattern) => vec![pattern.to_owned()],
        _ => Vec::new(),
    }
}

/// The text of a path that is none itself but has wildcards.
fn wildcards(pattern: &Path) -> Option<&str> {
    let text = pattern.to_str()?;
    (text.contains(WILDCARDS) && !pattern.exists()).then_some(text)
}

fn no_images(path: &Path) -> DataError {
    DataError::NoImages {
        path: path.to_owned(),
        expected: EXTENSIONS_TEXT,
    }
}
