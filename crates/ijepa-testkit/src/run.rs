//! What is in the directory of a run.

use std::{fs, path::Path};

/// Rows of `metrics.csv` without the three columns of times, its header first.
///
/// # Panics
///
/// Panics if there is no such file.
pub fn metrics(run: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(run.join("metrics.csv")).expect("a run has metrics");
    text.lines()
        .map(|line| {
            let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
            cells.drain(9..12);
            cells
        })
        .collect()
}

/// The bytes of every tensor file of the newest checkpoint of pretraining: encoder, predictor,
/// target encoder and optimizer.
///
/// # Panics
///
/// Panics if one is missing.
pub fn tensors(run: &Path) -> Vec<Vec<u8>> {
    let latest = run.join("checkpoints/latest");
    ["encoder", "predictor", "target_encoder", "optimizer"]
        .map(|name| fs::read(latest.join(format!("{name}.safetensors"))).expect("a checkpoint"))
        .to_vec()
}
