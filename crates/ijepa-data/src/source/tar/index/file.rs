//! The file of an index.

use std::fs;
use std::path::{Path, PathBuf};

use ijepa_files::FileError;

use super::{About, Index, RECORD_BYTES};
use crate::source::index_file::{self, Kind};
use crate::source::stamp::Stamp;
use crate::source::storage::{is_url, without_query};

impl Index {
    /// Writes the length of what follows as JSON (8 bytes, little-endian), all that is not about
    /// single images as JSON, and the images.
    pub(super) fn write(&self, path: &Path) -> Result<(), FileError> {
        index_file::write(path, Kind::Shard, |out| {
            let about = serde_json::to_vec(&self.about)?;
            out.write_all(&(about.len() as u64).to_le_bytes())?;
            out.write_all(&about)?;
            out.write_all(&self.body)
        })
    }

    /// What [`write`](Self::write) has written; nothing of other and damaged files.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut bytes = index_file::read(path, Kind::Shard)?;
        let (length, rest) = bytes.split_first_chunk()?;
        let length = u64::from_le_bytes(*length).try_into().ok()?;
        let (about, body) = rest.split_at_checked(length)?;
        let about: About = serde_json::from_slice(about).ok()?;
        let has_records = about.images.checked_mul(RECORD_BYTES)? <= body.len();
        bytes.drain(..bytes.len() - body.len());
        has_records.then_some(Self { about, body: bytes })
    }
}

/// Where the indices of a shard may be.
pub(super) struct Places {
    /// Folders, and how the names of the shard's indices begin in them.
    folders: Vec<(PathBuf, String)>,
}

impl Places {
    /// Beside `shard`, hidden, if it is a file, and in `folder`.
    pub(super) fn of(shard: &Path, folder: Option<&Path>) -> Self {
        let shard = without_query(shard);
        let name = shard.file_name().unwrap_or_default().to_string_lossy();
        let beside = shard.parent().filter(|_| !is_url(shard));
        // A bare name has a folder, too.
        let beside = beside.map(|folder| (Path::new(".").join(folder), format!(".{name}.")));
        let whole = fs::canonicalize(shard).unwrap_or_else(|_| shard.to_owned());
        let path = hash(whole.as_os_str().as_encoded_bytes());
        let apart = folder.map(|folder| (folder.to_owned(), format!("{name}.{path}.")));
        let folders = beside.into_iter().chain(apart).collect();
        Self { folders }
    }

    /// The files that an index with the labels of `field` may have, the preferred one first.
    pub(super) fn files(&self, field: Option<&str>) -> Vec<PathBuf> {
        let labels = hash(field.unwrap_or_default().as_bytes());
        let file =
            |(folder, name): &(PathBuf, String)| folder.join(format!("{name}{labels}.index"));
        self.folders.iter().map(file).collect()
    }

    /// Removes the indices of what the shard was before it became `stamp`, and what killed
    /// processes left of such.
    pub(super) fn remove_stale(&self, stamp: &Stamp) {
        for (folder, start) in &self.folders {
            let names = fs::read_dir(folder).into_iter().flatten().flatten();
            let is_ours = |name: &str| {
                let rest = name.strip_prefix(start);
                let labels = rest.and_then(|rest| rest.strip_suffix(".index"));
                labels.is_some_and(|labels| labels.len() == HASH_LETTERS)
            };
            let ours = names.filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
            let is_stale =
                |path: &PathBuf| Index::read(path).is_none_or(|it| it.about.shard != *stamp);
            for path in ours.map(|entry| entry.path()).filter(is_stale) {
                // One that cannot be removed is passed over by its stamp.
                let _ = fs::remove_file(path);
            }
            index_file::remove_abandoned(folder, is_ours);
        }
    }
}

/// Letters of a hash.
const HASH_LETTERS: usize = 8;

/// Enough of a hash to tell names apart.
fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..HASH_LETTERS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Member;
    use super::*;

    fn index() -> Index {
        let member = |start, name: &str| Member {
            start,
            length: 7 + start,
            name: name.into(),
        };
        let members = [
            member(512, "a/b.jpg"),
            member(1 << 40, "é.png"),
            member(9, ""),
        ];
        let about = About {
            field: Some("caption".to_owned()),
            words: vec!["cat".to_owned(), "dog".to_owned()],
            images: 3,
            ..About::default()
        };
        Index::new(&members, &[Some(1), None, Some(0)], about)
    }

    #[test]
    fn an_index_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.index");
        index().write(&path).unwrap();
        let found = Index::read(&path).unwrap();
        assert_eq!(found, index());
        assert_eq!(found.name(1), "é.png".as_bytes());
        assert_eq!(
            (found.place(0), found.place(1)),
            ((512, 519), (1 << 40, u32::MAX))
        );
        assert_eq!(
            [0, 1, 2].map(|row| found.label(row)),
            [Some(1), None, Some(0)]
        );
        // Numbers that do not fit what follows.
        for content in [&[0; 7][..], &[255; 8], &[1, 0, 0, 0, 0, 0, 0, 0, b'{']] {
            index_file::write(&path, Kind::Shard, |out| out.write_all(content)).unwrap();
            assert_eq!(Index::read(&path), None, "{content:?}");
        }
    }

    #[test]
    fn an_index_is_kept_beside_the_shard_and_elsewhere_if_that_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let no_folder = folder.path().join("file");
        fs::write(&no_folder, "").unwrap();
        let shard = &no_folder.join("train-0.tar");
        let cache = folder.path().join("cache");
        let places = Places::of(shard, Some(&cache));
        let [beside, apart] = &places.files(None)[..] else {
            panic!("two places");
        };
        assert_eq!(beside.parent(), shard.parent());
        assert!(index().write(beside).is_err());
        index().write(apart).unwrap();
        assert_eq!(Index::read(apart), Some(index()));
        assert_ne!(places.files(Some("label"))[0], *beside);
        let url = Places::of("https://host/train-0.tar".as_ref(), Some(&cache));
        assert_eq!(url.files(None).len(), 1);
        assert!(url.files(None)[0].starts_with(&cache));
    }

    #[test]
    fn indices_of_what_a_shard_was_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let [of, cache] = ["of", "cache"].map(|name| folder.path().join(name));
        let shard = of.join("a.tar");
        let places = Places::of(&shard, Some(&cache));
        let files = [None, Some("x"), Some("y")].map(|field| places.files(field));
        let all = files.concat();
        for file in &all {
            index().write(file).unwrap();
        }
        let other = of.join("b.tar");
        let other = &Places::of(&other, None).files(None)[0];
        index().write(other).unwrap();
        fs::write(of.join(".a.tar.notes.index"), "").unwrap();
        // What two processes were writing, one of which was killed long ago.
        let name = files[0][0].file_name().unwrap().to_str().unwrap();
        let [now_written, abandoned] =
            ["aB3xY9", "Qm2f8a"].map(|random| of.join(format!(".{name}.{random}.tmp")));
        fs::write(&now_written, "").unwrap();
        let killed = fs::File::create(&abandoned).unwrap();
        killed.set_modified(std::time::UNIX_EPOCH).unwrap();
        places.remove_stale(&index().about.shard);
        assert!(all.iter().all(|file| file.exists()));
        assert!(now_written.exists() && !abandoned.exists());

        let now = Stamp::of(&fs::metadata(other).unwrap());
        let about = About {
            shard: now.clone(),
            ..About::default()
        };
        let fresh = Index::new(&[], &[], about);
        fresh.write(&files[0][0]).unwrap();
        fs::write(&files[1][0], "damaged").unwrap();
        places.remove_stale(&now);
        let left = all.iter().filter(|file| file.exists());
        assert_eq!(left.collect::<Vec<_>>(), [&files[0][0]]);
        assert!(other.exists() && of.join(".a.tar.notes.index").exists());
    }
}
