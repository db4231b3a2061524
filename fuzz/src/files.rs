//! The files of an input, in memory where `TMPDIR` says so.

use std::{fs, path::PathBuf, sync::LazyLock};

use serde_json::Value;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// Where the file `name` of this process lies.
pub fn path(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

/// Writes the file `name`, and the folders that it lies in.
pub fn write(name: &str, content: &[u8]) -> PathBuf {
    let path = path(name);
    // An input is written over the one before, so the folder is there as a rule.
    if fs::write(&path, content).is_err() {
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder");
        fs::write(&path, content).expect("room for a file");
    }
    path
}

/// A safetensors file with this header, and as many zeros as that asks for, within reason.
pub fn safetensors(header: &[u8]) -> Vec<u8> {
    const WITHIN_REASON: u64 = 1 << 16;
    let tensors = serde_json::from_slice(header).unwrap_or(Value::Null);
    let tensors = tensors.as_object().into_iter().flatten();
    let ends = tensors.filter_map(|(_, tensor)| tensor["data_offsets"][1].as_u64());
    let zeros = ends.max().unwrap_or(0).min(WITHIN_REASON) as usize;
    let length = (header.len() as u64).to_le_bytes();
    [&length, header, &vec![0; zeros]].concat()
}

/// Bytes of the shard that an index in an input is about.
pub const SHARD: usize = 4096;

/// The file of an index of a `kind` with this content, as `ijepa-data` keeps it.
pub fn index(kind: u8, content: &[u8]) -> Vec<u8> {
    let before = [&b"ijepaix2"[..], &[kind], content].concat();
    let hash = blake3::hash(&before);
    [&before, &hash.as_bytes()[..]].concat()
}
