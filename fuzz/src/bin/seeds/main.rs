//! Writes small valid inputs for every target into the folder `CORPUS`.

#![no_main]

mod data;
mod networks;
mod texts;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::exit,
};

use ijepa_fuzz::SEPARATOR;
use libfuzzer_sys::fuzz_target;

/// Inputs on their way into the folders of their targets.
struct Corpus {
    folder: PathBuf,
    /// Where the library's writers write.
    scratch: tempfile::TempDir,
}

impl Corpus {
    fn add(&self, target: &str, name: &str, input: impl AsRef<[u8]>) -> Result<(), Box<dyn Error>> {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), input)?)
    }

    fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

/// An input of several files.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(SEPARATOR)
}

/// The header of a safetensors file.
fn header(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let file = fs::read(path)?;
    let (length, rest) = file.split_first_chunk().ok_or("a short file")?;
    let length = u64::from_le_bytes(*length) as usize;
    Ok(rest.get(..length).ok_or("a short file")?.to_vec())
}

// It counts what it reaches as everything here does, so it is a target, too, which ends at once.
fuzz_target!(
    init: { begin() },
    |_input: &[u8]| ()
);

fn begin() {
    let folder = env::var_os("CORPUS").expect("the folder of the inputs");
    write(folder.into()).expect("all inputs can be made");
    exit(0)
}

fn write(folder: PathBuf) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let corpus = Corpus { folder, scratch };
    networks::seeds(&corpus)?;
    data::seeds(&corpus)?;
    texts::seeds(&corpus)
}
