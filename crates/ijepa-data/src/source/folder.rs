//! Image files in a folder, with or without one sub-folder per class.

mod others;
mod subset;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::source::Source;
use crate::source::file::fetch_file;
use crate::source::wildcards::matching;
use others::Others;

/// File name endings of images, compared without regard to case.
pub const IMAGE_EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif",
];
pub(super) const EXTENSIONS_TEXT: &str = ".jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp .gif";

/// What a check of the file system leaves.
const LOST_AND_FOUND: &str = "lost+found";

/// The images of a folder.
///
/// If any sub-folder is present, each one is a class, as in torchvision's `ImageFolder`: labels
/// follow the byte-wise order of the class names, and images of a class are found at any depth,
/// ordered by folder and then by file name. A folder with image files only is flat and has no
/// labels. Both at once is an error, since either reading would silently ignore something, and so
/// is a class folder without an image. [`unlabelled`](Self::unlabelled) takes any folder.
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
    classes: Vec<String>,
    folders: Vec<Folder>,
    files: Vec<File>,
    others: Others,
}

/// A folder that directly holds images.
#[derive(Debug, Clone)]
struct Folder {
    path: PathBuf,
    label: Option<u32>,
}

/// One image; paths are shared by folder, since data sets have millions of files.
#[derive(Debug, Clone)]
struct File {
    folder: u32,
    name: Box<OsStr>,
}

impl FolderSource {
    /// Lists the images of the folder `root`; no image is opened.
    ///
    /// # Errors
    ///
    /// [`DataError::NoFolder`], [`DataError::NotAFolder`], [`DataError::NoImages`],
    /// [`DataError::MixedFolder`], or [`DataError::Read`] for a folder that cannot be listed.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, DataError> {
        let root = root.as_ref();
        let (mut found, Listing { images, folders }) = Self::begin(root)?;
        match (images.first(), folders.is_empty()) {
            (None, true) => return Err(no_images(root)),
            (Some(_), true) => found.add(root.to_owned(), None, images),
            (Some(example), false) => {
                let example = example.to_string_lossy().into_owned();
                return Err(DataError::MixedFolder {
                    path: root.to_owned(),
                    example,
                });
            }
            (None, false) => {
                for (label, name) in folders.iter().enumerate() {
                    let class = root.join(name);
                    let before = found.files.len();
                    found.add_tree(&class, Some(label as u32), &mut HashSet::new())?;
                    if found.files.len() == before {
                        return Err(no_images(&class));
                    }
                    found.classes.push(name.to_string_lossy().into_owned());
                }
            }
        }
        Ok(found)
    }

    /// Lists the images of the folder `root` and of all folders in it, without labels: its own
    /// first, then those of each of its folders, in the order that [`open`](Self::open) has. Each
    /// folder counts once, however many links lead there; folders may be empty.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but never [`DataError::MixedFolder`].
    pub fn unlabelled(root: impl AsRef<Path>) -> Result<Self, DataError> {
        let root = root.as_ref();
        let (mut found, Listing { images, folders }) = Self::begin(root)?;
        let mut seen = HashSet::from([real(root)?]);
        if !images.is_empty() {
            found.add(root.to_owned(), None, images);
        }
        for name in folders {
            found.add_tree(&root.join(name), None, &mut seen)?;
        }
        match found.files.is_empty() {
            true => Err(no_images(root)),
            false => Ok(found),
        }
    }

    /// A source without images, and what is in `root`.
    fn begin(root: &Path) -> Result<(Self, Listing), DataError> {
        let path = || root.to_owned();
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(DataError::NotAFolder { path: path() }),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(DataError::NoFolder { path: path() });
            }
            Err(source) => {
                let path = path();
                return Err(DataError::Read { path, source });
            }
        }
        let mut found = Self {
            classes: Vec::new(),
            folders: Vec::new(),
            files: Vec::new(),
            others: Others::default(),
        };
        let listing = Listing::of(root, &mut found.others)?;
        Ok((found, listing))
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
        let mut keep = keep.into_iter();
        self.files.retain(|_| keep.next().unwrap_or(false));
        Ok(self)
    }

    /// The file of image `index`.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below the number of images.
    pub fn path(&self, index: usize) -> PathBuf {
        let file = &self.files[index];
        self.folders[file.folder as usize].path.join(&*file.name)
    }

    fn add(&mut self, path: PathBuf, label: Option<u32>, images: Vec<OsString>) {
        let folder = self.folders.len() as u32;
        self.folders.push(Folder { path, label });
        let files = images.into_iter().map(|name| File {
            folder,
            name: name.into(),
        });
        self.files.extend(files);
    }

    /// Adds the images at any depth, but those of folders that were `seen`.
    fn add_tree(
        &mut self,
        class: &Path,
        label: Option<u32>,
        seen: &mut HashSet<PathBuf>,
    ) -> Result<(), DataError> {
        let mut pending = vec![class.to_owned()];
        let mut with_images = Vec::new();
        while let Some(path) = pending.pop() {
            if !seen.insert(real(&path)?) {
                continue;
            }
            let Listing { images, folders } = Listing::of(&path, &mut self.others)?;
            pending.extend(folders.iter().map(|name| path.join(name)));
            if !images.is_empty() {
                with_images.push((path, images));
            }
        }
        // torchvision sorts the folders of a class as text, not component by component.
        with_images.sort_by(|a, b| a.0.as_os_str().cmp(b.0.as_os_str()));
        for (path, images) in with_images {
            self.add(path, label, images);
        }
        Ok(())
    }
}

impl Source for FolderSource {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.folders[self.files[index].folder as usize].label
    }

    fn name(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        fetch_file(&self.path(index), buffer)
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
        self.others.note().into_iter().collect()
    }
}

/// What one folder directly holds, each list sorted byte-wise.
struct Listing {
    images: Vec<OsString>,
    folders: Vec<OsString>,
}

impl Listing {
    fn of(path: &Path, others: &mut Others) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read {
            path: path.to_owned(),
            source,
        };
        let (mut images, mut folders) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") || name == LOST_AND_FOUND {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            // A dangling link counts as a file, so that reading it reports it by name.
            let is_folder = if kind.is_symlink() {
                fs::metadata(entry.path()).is_ok_and(|target| target.is_dir())
            } else {
                kind.is_dir()
            };
            if is_folder {
                if !kind.is_symlink() || !real(path)?.starts_with(real(&entry.path())?) {
                    folders.push(name);
                }
            } else if is_image(&name) {
                images.push(name);
            } else {
                others.add(&name);
            }
        }
        images.sort_unstable();
        folders.sort_unstable();
        Ok(Self { images, folders })
    }
}

/// The folder `pattern`, or the folders that it matches as in a shell, in byte-wise order.
pub(crate) fn matching_folders(pattern: &Path) -> Result<Vec<PathBuf>, DataError> {
    let text = pattern
        .to_str()
        .filter(|text| text.contains(['*', '?', '[']));
    let Some(text) = text.filter(|_| !pattern.exists()) else {
        return Ok(vec![pattern.to_owned()]);
    };
    matching(pattern, text, Path::is_dir)
}

/// The path without links.
fn real(path: &Path) -> Result<PathBuf, DataError> {
    fs::canonicalize(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn is_image(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    extension.is_some_and(|found| {
        IMAGE_EXTENSIONS
            .iter()
            .any(|x| found.eq_ignore_ascii_case(x))
    })
}

fn no_images(path: &Path) -> DataError {
    DataError::NoImages {
        path: path.to_owned(),
        expected: EXTENSIONS_TEXT,
    }
}
