//! Folders of `transformers` and `timm`: their settings, card, index of shards and weights.

#![no_main]

use ijepa_fuzz::{FREE, check, parts, path, read_checkpoint, safetensors, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [config, preprocessor, card, weights, shards] = parts(input);
    write("folder/config.json", config);
    write("folder/preprocessor_config.json", preprocessor);
    write("folder/README.md", card);
    let whole = path("folder/model.safetensors");
    // Without a whole file the shards of an index are read.
    match shards.is_empty() {
        true => drop(write("folder/model.safetensors", &safetensors(weights))),
        false => drop(std::fs::remove_file(whole)),
    }
    write("folder/model-1.safetensors", &safetensors(weights));
    write("folder/model.safetensors.index.json", shards);
    check(input, FREE, 64, || read_checkpoint(&path("folder")));
});
