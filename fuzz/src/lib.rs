//! What all targets share: the rules that an input is read by, and files in a folder of its own.

mod files;
mod heap;
mod panics;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;
use ijepa_data::{Fetched, Source};
use ijepa_model::{Checkpoint, checkpoint::StateDict};

pub use files::{SHARD, index, path, safetensors, write};

/// Bytes that a reader may hold whatever its input: tables, buffers and the like.
pub const FREE: usize = 4 << 20;

/// Runs `target` on `input`: it must end without a panic and hold at most `free` bytes and `times`
/// as many as the input has.
pub fn check(input: &[u8], free: usize, times: usize, target: impl FnOnce()) {
    panics::watch();
    heap::limit(free + times * input.len());
    let ended = catch_unwind(AssertUnwindSafe(target));
    heap::no_limit();
    if ended.is_err() {
        panics::tell_last();
        std::process::abort();
    }
}

/// Between the parts of an input that is several files.
pub const SEPARATOR: &[u8] = b"\n\xff=\xff\n";

/// The `N` files of an input; those that it lacks are empty.
pub fn parts<const N: usize>(mut input: &[u8]) -> [&[u8]; N] {
    std::array::from_fn(|at| {
        let mut windows = input.windows(SEPARATOR.len());
        let place = windows.position(|window| window == SEPARATOR);
        let (part, rest) = match place.filter(|_| at + 1 < N) {
            Some(place) => (&input[..place], &input[place + SEPARATOR.len()..]),
            None => (input, &[][..]),
        };
        input = rest;
        part
    })
}

/// Opens a checkpoint, and reads all tensors and what networks make of them.
pub fn read_checkpoint(path: &std::path::Path) {
    let Ok(opened) = Checkpoint::open(path) else {
        return;
    };
    let moments = opened.moments.as_ref().map(|moments| &moments.tensors);
    let networks = [
        &opened.context_encoder,
        &opened.target_encoder,
        &opened.predictor,
    ];
    let dicts = networks.into_iter().flatten().chain(moments);
    for (_, tensor) in dicts.flat_map(StateDict::iter) {
        // What is wrong with it is an error.
        let _ = tensor.read();
    }
    let device = Device::flex();
    let _ = opened.feature_encoder(&device);
    let _ = opened.predictor(&device);
}

/// Reads all that the first images of a source are, but for their pixels.
pub fn read_source(source: &dyn Source) {
    const FIRST: usize = 32;
    let mut buffer = Vec::new();
    for index in 0..source.len().min(FIRST) {
        let _ = (source.name(index), source.file(index), source.label(index));
        if let Ok(Fetched::Pixels(image)) = source.fetch(index, &mut buffer) {
            assert_eq!(image.bytes().len(), image.width() * image.height() * 3);
        }
    }
    let _ = (source.notes(), source.layout(), source.classes());
}
