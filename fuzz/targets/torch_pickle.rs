//! The pickle of a PyTorch archive, whose zip file is always whole, and the bytes of a storage.

#![no_main]

use std::io::{Cursor, Write};

use ijepa_fuzz::{FREE, check, parts, read_checkpoint, write};
use libfuzzer_sys::fuzz_target;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

fuzz_target!(|input: &[u8]| {
    let [pickle, storage] = parts(input);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let names = ["a/data.pkl", "a/data/0", "a/data/1"];
    for (name, content) in names.into_iter().zip([pickle, storage, storage]) {
        archive.start_file(name, plain).expect("a name");
        archive.write_all(content).expect("memory takes it");
    }
    let archive = archive.finish().expect("memory takes it").into_inner();
    check(&archive, FREE, 64, || {
        read_checkpoint(&write("a.pth.tar", &archive))
    });
});
