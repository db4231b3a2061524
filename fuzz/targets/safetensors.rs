//! Single safetensors files, as they lie on disk or with a header that the input is.

#![no_main]

use ijepa_fuzz::{FREE, check, read_checkpoint, safetensors, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let file = match input.first() {
        Some(b'{') => safetensors(input),
        _ => input.to_vec(),
    };
    check(&file, FREE, 64, || {
        read_checkpoint(&write("a/b.safetensors", &file))
    });
});
