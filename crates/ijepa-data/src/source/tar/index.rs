//! Where the images of a shard lie, found once and kept in a file.

mod file;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::scan::scan;
use crate::error::DataError;
use crate::source::stamp::Stamp;
use crate::source::storage::{Storage, without_query};
use file::Places;

/// Start, end of the name (8 bytes each), length and label (4 each) of an image, little-endian.
const RECORD_BYTES: usize = 24;
const NO_LABEL: u32 = u32::MAX;

/// Where an image lies in its shard, and the path of its member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) name: Vec<u8>,
}

/// The images of one shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Index {
    about: About,
    /// A record an image, then their names end to end.
    body: Vec<u8>,
}

/// What is known of a shard beside its images.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// The file that was looked at.
    pub(super) shard: Stamp,
    /// The JSON field that labels are from.
    pub(super) field: Option<String>,
    /// Classes by label, where labels are words.
    pub(super) words: Vec<String>,
    /// Whether labels are numbers; nothing if there are none.
    pub(super) are_numbers: Option<bool>,
    /// Why the shard stops before its end, if it does.
    pub(super) stop: Option<String>,
    pub(super) images: usize,
}

impl About {
    fn fits(&self, shard: &Stamp, field: Option<&str>) -> bool {
        self.shard == *shard && self.field.as_deref() == field
    }
}

impl Index {
    /// The images `members` with their `labels`.
    pub(super) fn new(members: &[Member], labels: &[Option<u32>], about: About) -> Self {
        let mut body = Vec::with_capacity(members.len() * RECORD_BYTES);
        let mut end = 0;
        for (member, label) in members.iter().zip(labels) {
            end += member.name.len() as u64;
            // No image has as many bytes as that.
            let length = u32::try_from(member.length).unwrap_or(u32::MAX);
            body.extend(member.start.to_le_bytes());
            body.extend(end.to_le_bytes());
            body.extend(length.to_le_bytes());
            body.extend(label.unwrap_or(NO_LABEL).to_le_bytes());
        }
        body.extend(members.iter().flat_map(|member| &member.name));
        Self { about, body }
    }

    /// The index of `shard` with the labels of `field`: from a file that holds it, else by a look
    /// at the whole shard, which is kept beside it or, where that cannot be, in `folder`; those of
    /// what the shard was before are removed then.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`] or any error of [`scan`].
    pub(super) fn open(
        storage: &Storage,
        shard: &Path,
        field: Option<&str>,
        folder: Option<&Path>,
    ) -> Result<Self, DataError> {
        let blob = storage.open(shard)?;
        let stamp = blob.stamp()?;
        let places = Places::of(shard, folder.filter(|_| stamp.is_telling()));
        let files = places.files(field);
        let mut others = false;
        for file in &files {
            match Self::read(file) {
                Some(index) if index.about.fits(&stamp, field) => return Ok(index),
                other => others |= other.is_some() || file.exists(),
            }
        }
        let index = scan(without_query(shard), &blob, stamp, field)?;
        // What cannot be kept is made anew the next time.
        let is_kept = files.iter().any(|file| index.write(file).is_ok());
        if is_kept && others {
            places.remove_stale(&index.about.shard);
        }
        Ok(index)
    }

    /// What is known beside the images.
    pub(super) fn about(&self) -> &About {
        &self.about
    }

    /// Number of images.
    pub(super) fn len(&self) -> usize {
        self.about.images
    }

    /// Where image `row` starts in the shard, and its length.
    pub(super) fn place(&self, row: usize) -> (u64, u32) {
        (self.number(row, 0), self.word(row, 16))
    }

    /// The label of image `row`: a number, or the place of its word.
    pub(super) fn label(&self, row: usize) -> Option<u32> {
        Some(self.word(row, 20)).filter(|&label| label != NO_LABEL)
    }

    /// The path of the member of image `row`.
    pub(super) fn name(&self, row: usize) -> &[u8] {
        let end = |row| self.number(row, 8) as usize;
        let start = row.checked_sub(1).map_or(0, end);
        let names = &self.body[self.len() * RECORD_BYTES..];
        names.get(start..end(row)).unwrap_or_default()
    }

    fn number(&self, row: usize, at: usize) -> u64 {
        let bytes = self.body[row * RECORD_BYTES + at..].first_chunk();
        u64::from_le_bytes(*bytes.expect("a record"))
    }

    fn word(&self, row: usize, at: usize) -> u32 {
        let bytes = self.body[row * RECORD_BYTES + at..].first_chunk();
        u32::from_le_bytes(*bytes.expect("a record"))
    }
}
