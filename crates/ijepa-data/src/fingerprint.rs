//! Whether two data sets are the same, without reading an image.

use std::fs;
use std::path::{Path, PathBuf, is_separator};

use blake3::Hasher;
use serde::{Deserialize, Serialize};

use crate::fetch::{FetchError, Fetched};
use crate::order::evenly_spread;
use crate::source::{Source, unreadable};

/// Images whose files are asked for their size, spread evenly; a question takes a millisecond on
/// some storage.
const MOST_SIZES: usize = 1 << 14;
/// Bytes of names that are hashed at a time.
const BLOCK: usize = 1 << 16;

/// What a run remembers of its data: how many images there are, what they are called and how large
/// their files are.
///
/// Names count from the folder on that all images have in common, so the same data elsewhere is
/// the same. Sizes are those of the files of up to 16,384 images, evenly spread; images made by
/// code have none and are told by the first. Nothing else is read, and nothing waited for: sizes
/// that cannot be had for now are compared with nothing.
///
/// # Examples
///
/// ```
/// use ijepa_data::{DataSpec, Fingerprint};
///
/// let of = |spec: &str| Ok::<_, ijepa_data::DataError>(Fingerprint::of(
///     spec.parse::<DataSpec>()?.open()?.as_ref(),
/// ));
/// let data = of("scenes:n=20,size=32")?;
/// assert_eq!(data.difference(&of("scenes:n=20,size=32")?), None);
/// let other = data.difference(&of("scenes:n=21,size=32,seed=1")?);
/// assert_eq!(other.as_deref(), Some("20 images then, 21 now; other names; other sizes"));
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Number of images.
    pub images: u64,
    /// Hash of their names, in order.
    pub names: String,
    /// Hash of the sizes of their files; empty if these could not be had.
    pub sizes: String,
}

impl Fingerprint {
    /// That of `source`, by the names of all images and the metadata of some files.
    pub fn of(source: &dyn Source) -> Self {
        let images = source.len();
        Self {
            images: images as u64,
            names: names(source),
            sizes: sizes(source).unwrap_or_default(),
        }
    }

    /// In which way `now` is of other data, if it is.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let mut found = Vec::new();
        if self.images != now.images {
            found.push(format!("{} images then, {} now", self.images, now.images));
        }
        if self.names != now.names {
            found.push("other names".to_owned());
        }
        let are_known = !self.sizes.is_empty() && !now.sizes.is_empty();
        if are_known && self.sizes != now.sizes {
            found.push("other sizes".to_owned());
        }
        (!found.is_empty()).then(|| found.join("; "))
    }
}

/// The hash of all names from the folder on that they have in common.
fn names(source: &dyn Source) -> String {
    if source.is_empty() {
        return Hasher::new().finalize().to_hex().to_string();
    }
    // That of the first name as a rule, or one above it.
    let mut folder = source.name(0);
    folder.truncate(folder_of(&folder).len());
    loop {
        match names_below(source, &folder) {
            Ok(hash) => return hash,
            Err(stranger) => {
                while !stranger.starts_with(&folder) {
                    folder.pop();
                    folder.truncate(folder_of(&folder).len());
                }
            }
        }
    }
}

/// The hash of all names from `folder` on, or one that does not begin with it.
fn names_below(source: &dyn Source, folder: &str) -> Result<String, String> {
    let mut hasher = Hasher::new();
    // Many names at a time are hashed faster.
    let mut block = Vec::with_capacity(BLOCK);
    for index in 0..source.len() {
        let name = source.name(index);
        let Some(rest) = name.strip_prefix(folder) else {
            return Err(name);
        };
        framed(rest.as_bytes(), |part| block.extend(part));
        if block.len() >= BLOCK {
            hasher.update(&block);
            block.clear();
        }
    }
    hasher.update(&block);
    Ok(hasher.finalize().to_hex().to_string())
}

/// A name up to its last separator, which belongs to it.
fn folder_of(name: &str) -> &str {
    &name[..name.rfind(is_separator).map_or(0, |last| last + 1)]
}

/// The hash of the sizes of the files of some images; none if one of them cannot be had.
fn sizes(source: &dyn Source) -> Option<String> {
    let mut hasher = Hasher::new();
    let mut last: Option<PathBuf> = None;
    for index in evenly_spread(source.len(), MOST_SIZES) {
        match source.file(index) {
            // Many images may be in one file.
            Some(path) if last.as_ref() != Some(&path) => {
                add(&mut hasher, length(&path)?.as_bytes());
                last = Some(path);
            }
            Some(_) => {}
            None if index == 0 => add_first(&mut hasher, source)?,
            None => {}
        }
    }
    Some(hasher.finalize().to_hex().to_string())
}

/// The length of a file, `none` of one that is not there; nothing if that cannot be told.
fn length(path: &Path) -> Option<String> {
    let file = fs::metadata(path).map_err(|source| unreadable(path, source).into());
    match file {
        Ok(file) => Some(file.len().to_string()),
        Err(FetchError::Transient(_)) => None,
        Err(_) => Some("none".to_owned()),
    }
}

/// Adds the first image; nothing if it cannot be had.
fn add_first(hasher: &mut Hasher, source: &dyn Source) -> Option<()> {
    let mut file = Vec::new();
    match source.fetch(0, &mut file) {
        Ok(Fetched::Pixels(image)) => {
            let size = format!("{}x{}", image.width(), image.height());
            add(hasher, size.as_bytes());
            add(hasher, &image.bytes());
        }
        Ok(Fetched::File) => add(hasher, &file),
        // Whoever needs it will say so.
        Err(FetchError::Corrupt(_)) => {}
        Err(_) => return None,
    }
    Some(())
}

fn add(hasher: &mut Hasher, bytes: &[u8]) {
    framed(bytes, |part| {
        hasher.update(part);
    });
}

/// Gives a hash the bytes behind their number, so that they do not run into those before.
pub fn framed(bytes: &[u8], mut add: impl FnMut(&[u8])) {
    add(&(bytes.len() as u64).to_le_bytes());
    add(bytes);
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// An image that cannot be had, by an error of this kind, or one of a byte.
    #[derive(Debug)]
    struct Failing(Option<ErrorKind>);

    impl Source for Failing {
        fn len(&self) -> usize {
            1
        }

        fn name(&self, _: usize) -> String {
            "a".to_owned()
        }

        fn fetch(&self, _: usize, file: &mut Vec<u8>) -> Result<Fetched, FetchError> {
            match self.0 {
                Some(kind) => Err(unreadable("s3://a/b".as_ref(), kind.into()).into()),
                None => {
                    *file = vec![7];
                    Ok(Fetched::File)
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_had_for_now_is_no_part_of_a_fingerprint() {
        let whole = Fingerprint::of(&Failing(None));
        assert!(!whole.sizes.is_empty());
        for kind in [ErrorKind::TimedOut, ErrorKind::PermissionDenied] {
            let unknown = Fingerprint::of(&Failing(Some(kind)));
            assert_eq!(unknown.sizes, "");
            assert_eq!(unknown.difference(&whole), None);
            assert_eq!(whole.difference(&unknown), None);
        }
    }

    #[derive(Debug)]
    struct Names(Vec<String>);

    impl Source for Names {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn name(&self, index: usize) -> String {
            self.0[index].clone()
        }

        fn fetch(&self, _: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
            unreachable!("names are enough")
        }
    }

    #[test]
    fn names_are_hashed_from_their_common_folder_on() {
        let of = |all: &[&str]| names(&Names(all.iter().map(|&name| name.to_owned()).collect()));
        let hash = |rests: &[&str]| {
            let mut hasher = Hasher::new();
            rests
                .iter()
                .for_each(|rest| add(&mut hasher, rest.as_bytes()));
            hasher.finalize().to_hex().to_string()
        };
        for (all, rests) in [
            (
                &["/d/a/1", "/d/a/2", "/d/ab/3"][..],
                &["a/1", "a/2", "ab/3"][..],
            ),
            (
                &["/d/a/x/1", "/d/b/x/1", "/e/1"],
                &["d/a/x/1", "d/b/x/1", "e/1"],
            ),
            (&["a//b/1", "a/c"], &["/b/1", "c"]),
            (&["a/1", "2"], &["a/1", "2"]),
            (&["é/1", "é/2"], &["1", "2"]),
            (&["only/one"], &["one"]),
            (&[], &[]),
        ] {
            assert_eq!(of(all), hash(rests), "{all:?}");
        }
        // More than are hashed at a time.
        let many: Vec<String> = (0..9000).map(|number| format!("d/{number:08}")).collect();
        let rests: Vec<&str> = many.iter().map(|name| &name[2..]).collect();
        assert_eq!(names(&Names(many.clone())), hash(&rests));
    }
}
