//! Checkpoints of our own: the state, and the headers of the networks' files.

#![no_main]

use ijepa_fuzz::{FREE, check, parts, path, read_checkpoint, safetensors, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [state, encoder, predictor, optimizer] = parts(input);
    write("native/state.json", state);
    let headers = [
        ("encoder", encoder),
        ("predictor", predictor),
        ("optimizer", optimizer),
    ];
    for (name, header) in headers {
        write(&format!("native/{name}.safetensors"), &safetensors(header));
    }
    check(input, FREE, 64, || read_checkpoint(&path("native")));
});
