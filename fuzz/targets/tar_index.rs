//! The index that is kept beside a shard, with a hash that is always right.

#![no_main]

use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

use ijepa_data::TarSource;
use ijepa_fuzz::{FREE, SHARD, check, index, path, read_source, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let shard = path("index/a.tar");
    if !shard.exists() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        write("index/a.tar", &[0; SHARD]);
        let file = File::options()
            .write(true)
            .open(&shard)
            .expect("it is there");
        file.set_modified(then).expect("a file of ours");
    }
    let kept = format!("index/.a.tar.{}.index", &blake3::hash(b"").to_hex()[..8]);
    let kept = write(&kept, &index(b's', input));
    check(input, FREE, 64, || {
        if let Ok(source) = TarSource::open(&shard, None) {
            read_source(&source);
        }
    });
    drop(fs::remove_file(kept));
});
