mod golden;
mod hostile_file;
mod hostile_pickle;
mod round_trip;

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::arena::Node;
use super::{TensorMeta, TorchArchive};

/// A file beside the tests of the crate.
fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/torch")).join(name)
}

fn tensor<'a>(node: Node<'a>, key: &str) -> &'a TensorMeta {
    node.get(key)
        .and_then(Node::as_tensor)
        .unwrap_or_else(|| panic!("no tensor `{key}`"))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&chunk| f32::from_le_bytes(chunk))
        .collect()
}

/// A folder that is removed at the end of the test, and a way to put checkpoints into it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.path("test.pt");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A zip file of stored entries.
    fn zip(&self, entries: &[(&str, &[u8])]) -> PathBuf {
        self.write(&zip_bytes(entries))
    }

    /// A checkpoint with this pickle and one storage `0` of these elements.
    fn checkpoint(&self, pickle: &[u8], storage: &[f32]) -> PathBuf {
        let storage: Vec<u8> = storage
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.zip(&[
            ("test/data.pkl", pickle),
            ("test/data/0", &storage),
            ("test/version", b"3\n"),
        ])
    }
}

fn zip_bytes(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The bytes of an entry of a zip file.
fn entry_bytes(path: &Path, suffix: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let names: Vec<String> = archive
        .file_names()
        .map(|name| name.unwrap().into_owned())
        .collect();
    let name = names.iter().find(|name| name.ends_with(suffix)).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut archive.by_name(name).unwrap(), &mut bytes).unwrap();
    bytes
}

/// The message of the error that opening the file must give.
fn open_error(path: &Path) -> String {
    message(TorchArchive::open(path).unwrap_err())
}

/// The message after the path.
fn message(error: super::TorchError) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text.split_once("`: ").unwrap().1.to_owned()
}

/// A pickled text.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![b'X'];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// A pickled `FloatStorage` with the key `0`.
fn float_storage(numel: u32) -> Vec<u8> {
    let mut bytes = b"(".to_vec();
    bytes.extend(text("storage"));
    bytes.extend(b"ctorch\nFloatStorage\n");
    bytes.extend(text("0"));
    bytes.extend(text("cpu"));
    bytes.push(b'J');
    bytes.extend(numel.to_le_bytes());
    bytes.extend(b"tQ");
    bytes
}

/// A pickled tuple of 32-bit integers.
fn ints(values: &[i32]) -> Vec<u8> {
    let mut bytes = b"(".to_vec();
    for value in values {
        bytes.push(b'J');
        bytes.extend(value.to_le_bytes());
    }
    bytes.push(b't');
    bytes
}

/// A pickled float tensor over storage `0`.
fn float_tensor(numel: u32, offset: i32, shape: &[i32], stride: &[i32]) -> Vec<u8> {
    let mut bytes = b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    bytes.extend(float_storage(numel));
    bytes.push(b'J');
    bytes.extend(offset.to_le_bytes());
    bytes.extend(ints(shape));
    bytes.extend(ints(stride));
    bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    bytes
}

/// A pickle of protocol 2 with this program.
fn pickle(program: &[&[u8]]) -> Vec<u8> {
    [&b"\x80\x02"[..], &program.concat(), b"."].concat()
}

/// Pseudo-random numbers that are the same in every run (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
