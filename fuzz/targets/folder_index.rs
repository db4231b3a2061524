//! The list that is kept of a folder of images, with a hash that is always right.

#![no_main]

use std::fs;

use blake3::Hasher;
use ijepa_data::{FolderForm, IndexCache};
use ijepa_fuzz::{FREE, check, index, path, read_source, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let root = path("images");
    fs::create_dir_all(&root).expect("a folder");
    let mut hasher = Hasher::new();
    hasher.update(&[FolderForm::Classes as u8]);
    let whole = root.canonicalize().expect("it is there");
    hasher.update(whole.as_os_str().as_encoded_bytes());
    let name = &hasher.finalize().to_hex()[..32];
    write(&format!("kept/{name}.folder"), &index(b'f', input));
    check(input, FREE, 64, || {
        if let Ok(source) = IndexCache::new(path("kept")).open(&root, FolderForm::Classes) {
            read_source(&source);
        }
    });
});
