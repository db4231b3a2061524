//! Parquet files of images.

#![no_main]

use ijepa_data::ParquetSource;
use ijepa_fuzz::{FREE, check, read_source, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    check(input, FREE, 1024, || {
        if let Ok(source) = ParquetSource::open(write("a.parquet", input)) {
            read_source(&source);
        }
    });
});
