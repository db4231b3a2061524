//! Whether two data sets are the same, without reading an image.

use std::fs;
use std::path::{Path, PathBuf, is_separator};

use blake3::Hasher;
use serde::{Deserialize, Serialize};

use crate::fetch::Fetched;
use crate::source::Source;

/// Images whose files are asked for their size, spread evenly; a question takes a millisecond on
/// some storage.
const MOST_SIZES: usize = 1 << 14;

/// What a run remembers of its data: how many images there are, what they are called and how large
/// their files are.
///
/// Names count from the folder on that all images have in common, so the same data elsewhere is
/// the same. Sizes are those of the files of up to 16,384 images, evenly spread; images made by
/// code have none and are told by the pixels of the first. Nothing else is read.
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
    /// Hash of the sizes of their files.
    pub sizes: String,
}

impl Fingerprint {
    /// That of `source`, by the names of all images and the metadata of some files.
    pub fn of(source: &dyn Source) -> Self {
        let images = source.len();
        Self {
            images: images as u64,
            names: names(source),
            sizes: sizes(source, images.min(MOST_SIZES)),
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
        if self.sizes != now.sizes {
            found.push("other sizes".to_owned());
        }
        (!found.is_empty()).then(|| found.join("; "))
    }
}

fn names(source: &dyn Source) -> String {
    let all = || (0..source.len()).map(|index| source.name(index));
    let folder = all().reduce(|mut common, name| {
        while !name.starts_with(folder_of(&common)) {
            common.truncate(folder_of(&common).len() - 1);
        }
        common
    });
    let skipped = folder.map_or(0, |common| folder_of(&common).len());
    let mut hasher = Hasher::new();
    all().for_each(|name| add(&mut hasher, &name.as_bytes()[skipped..]));
    hasher.finalize().to_hex().to_string()
}

/// A name up to its last separator, which belongs to it.
fn folder_of(name: &str) -> &str {
    &name[..name.rfind(is_separator).map_or(0, |last| last + 1)]
}

fn sizes(source: &dyn Source, count: usize) -> String {
    let mut hasher = Hasher::new();
    let mut last: Option<PathBuf> = None;
    for number in 0..count {
        let index = number * source.len() / count;
        match source.file(index) {
            // Many images may be in one file.
            Some(path) if last.as_ref() != Some(&path) => {
                add(&mut hasher, length(&path).as_bytes());
                last = Some(path);
            }
            Some(_) => {}
            None if number == 0 => add_pixels(&mut hasher, source),
            None => {}
        }
    }
    hasher.finalize().to_hex().to_string()
}

fn length(path: &Path) -> String {
    fs::metadata(path).map_or_else(|_| "none".to_owned(), |file| file.len().to_string())
}

fn add_pixels(hasher: &mut Hasher, source: &dyn Source) {
    if let Ok(Fetched::Pixels(image)) = source.fetch(0, &mut Vec::new()) {
        let size = format!("{}x{}", image.width(), image.height());
        add(hasher, size.as_bytes());
        add(hasher, image.pixels());
    }
}

/// Adds bytes so that they do not run into those before.
fn add(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
