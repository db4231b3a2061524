//! The file of an index.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ijepa_files::NewFile;

use super::{About, Index, RECORD_BYTES};

/// The first bytes of a file; the last one is the version.
const MAGIC: &[u8; 8] = b"ijepaix1";

impl Index {
    /// Writes [`MAGIC`], the length of what follows as JSON (8 bytes, little-endian), all that is
    /// not about single images as JSON, the images, and a hash of everything before it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let about = serde_json::to_vec(&self.about)?;
        let length = (about.len() as u64).to_le_bytes();
        let parts = [&MAGIC[..], &length, &about, &self.body];
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        let mut file = NewFile::create(path)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.write_all(hasher.finalize().as_bytes())?;
        Ok(file.commit()?)
    }

    /// What [`write`](Self::write) has written; nothing of other and damaged files.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut bytes = fs::read(path).ok()?;
        let (content, hash) = bytes.split_last_chunk::<{ blake3::OUT_LEN }>()?;
        if blake3::hash(content) != *hash {
            return None;
        }
        let (length, rest) = content.strip_prefix(MAGIC)?.split_first_chunk()?;
        let length = u64::from_le_bytes(*length).try_into().ok()?;
        let (about, body) = rest.split_at_checked(length)?;
        let about: About = serde_json::from_slice(about).ok()?;
        let has_records = about.images.checked_mul(RECORD_BYTES)? <= body.len();
        let (start, end) = (content.len() - body.len(), content.len());
        bytes.truncate(end);
        bytes.drain(..start);
        has_records.then_some(Self { about, body: bytes })
    }
}

/// Where the index of `shard` may be: beside it, hidden, and in `folder`.
pub(super) fn places(shard: &Path, field: Option<&str>, folder: Option<&Path>) -> Vec<PathBuf> {
    let name = shard.file_name().unwrap_or_default().to_string_lossy();
    let labels = hash(field.unwrap_or_default().as_bytes());
    let beside = shard.with_file_name(format!(".{name}.{labels}.index"));
    let whole = fs::canonicalize(shard).unwrap_or_else(|_| shard.to_owned());
    let path = hash(whole.as_os_str().as_encoded_bytes());
    let apart = folder.map(|folder| folder.join(format!("{name}.{path}.{labels}.index")));
    std::iter::once(beside).chain(apart).collect()
}

/// Enough of a hash to tell names apart.
fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..8].to_owned()
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
    fn an_index_comes_back_whole_or_not_at_all() {
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
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(Index::read(&path), None, "byte {at}");
            fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(Index::read(&path), None, "cut to {at} bytes");
        }
    }

    #[test]
    fn an_index_is_kept_beside_the_shard_and_elsewhere_if_that_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let no_folder = folder.path().join("file");
        fs::write(&no_folder, "").unwrap();
        let shard = &no_folder.join("train-0.tar");
        let [beside, apart] = &places(shard, None, Some(&folder.path().join("cache")))[..] else {
            panic!("two places");
        };
        assert_eq!(beside.parent(), shard.parent());
        assert!(index().write(beside).is_err());
        index().write(apart).unwrap();
        assert_eq!(Index::read(apart), Some(index()));
        assert_ne!(places(shard, Some("label"), None)[0], *beside);
    }
}
