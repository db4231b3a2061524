//! Shards of WebDataset, which are looked through anew each time, with labels of both kinds.

#![no_main]

use std::fs;

use ijepa_data::TarSource;
use ijepa_fuzz::{FREE, check, read_source, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let shard = write("tar/a.tar", input);
    check(input, FREE, 64, || {
        for field in [None, Some("label")] {
            if let Ok(source) = TarSource::open(&shard, field) {
                read_source(&source);
            }
        }
    });
    drop(fs::remove_dir_all(shard.parent().expect("a folder")));
});
