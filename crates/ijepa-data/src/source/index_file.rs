//! Files that keep what was found out about a data set: they are read whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use blake3::{Hasher, OUT_LEN};
use ijepa_files::{FileError, NewFile, cannot, remove_unfinished, write_file};

/// The first bytes of every file; the last one is the version of them all.
const MAGIC: &[u8; 8] = b"ijepaix2";

/// What a file keeps, which no other kind can be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Where the images of a shard lie.
    Shard = b's' as isize,
    /// The images of a folder.
    Folder = b'f' as isize,
}

/// Writes [`MAGIC`], the kind, what `fill` writes, and a hash of all before it.
pub(super) fn write(
    path: &Path,
    kind: Kind,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    write_file(path, |file| {
        let mut hashed = Hashed {
            file,
            hasher: Hasher::new(),
        };
        let write = |hashed: &mut Hashed| -> io::Result<()> {
            hashed.write_all(MAGIC)?;
            hashed.write_all(&[kind as u8])?;
            fill(hashed)?;
            let hash = hashed.hasher.finalize();
            hashed.file.write_all(hash.as_bytes())
        };
        write(&mut hashed).map_err(cannot("write", path))
    })
}

/// What `fill` has written; nothing of other and damaged files.
pub(super) fn read(path: &Path, kind: Kind) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let (content, hash) = bytes.split_last_chunk::<OUT_LEN>()?;
    let rest = content.strip_prefix(MAGIC)?.strip_prefix(&[kind as u8])?;
    if blake3::hash(content) != *hash {
        return None;
    }
    let (start, end) = (content.len() - rest.len(), content.len());
    bytes.truncate(end);
    bytes.drain(..start);
    Some(bytes)
}

/// Nobody writes an index for so long.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes from `folder` what killed processes were writing of files whose names are `ours`.
pub(super) fn remove_abandoned(folder: &Path, ours: impl Fn(&str) -> bool) {
    remove_unfinished(folder, ours, ABANDONED);
}

struct Hashed<'a> {
    file: &'a mut NewFile,
    hasher: Hasher,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/a.index");
        let content: Vec<u8> = (0..200).collect();
        let (early, late) = content.split_at(70);
        let fill = |out: &mut dyn Write| {
            out.write_all(early)?;
            out.write_all(late)
        };
        write(&path, Kind::Shard, fill).unwrap();
        assert_eq!(read(&path, Kind::Shard), Some(content));
        assert_eq!(read(&path, Kind::Folder), None);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(read(&path, Kind::Shard), None, "byte {at}");
            fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(read(&path, Kind::Shard), None, "cut to {at} bytes");
        }
    }
}
