//! Decoders of representations: their sizes, and the network of them, in a file of zeros.

#![no_main]

use burn::tensor::Device;
use ijepa_fuzz::{FREE, check, safetensors, write};
use ijepa_viz::rcdm::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let file = safetensors(input);
    let path = write("decoder.safetensors", &file);
    check(&file, FREE, 64, || {
        let _ = Decoder::from_pretrained(&path, &Device::flex());
    });
});
