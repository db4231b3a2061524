//! PyTorch archives as they lie on disk.

#![no_main]

use ijepa_fuzz::{FREE, check, read_checkpoint, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    check(input, FREE, 64, || {
        read_checkpoint(&write("a.pth.tar", input))
    });
});
