//! Files of features: the first byte says of which format.

#![no_main]

use ijepa_eval::read_features;
use ijepa_fuzz::{FREE, check, parts, safetensors, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((format, content)) = input.split_first() else {
        return;
    };
    let path = match format {
        b'n' => {
            let [values, labels, about] = parts(content);
            write("a.labels.npy", labels);
            write("a.meta.json", about);
            write("a.npy", values)
        }
        b'h' => write("a.safetensors", &safetensors(content)),
        b's' => write("a.safetensors", content),
        _ => write("a.parquet", content),
    };
    check(input, FREE, 1024, || {
        if let Ok(read) = read_features(&path) {
            assert_eq!(
                read.features.values().len(),
                read.features.images() * read.features.dim()
            );
        }
    });
});
