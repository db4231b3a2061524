//! The memory of kNN is that of its blocks, not of all similarities. The only test of its process,
//! whose peak it reads.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use ijepa_eval::{Features, KnnConfig, knn};
use ijepa_testkit::device;

/// The largest resident set so far, MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

fn features(images: usize) -> Features {
    let dim = 8;
    let value = |at: usize| ((at * 7919) % 1009) as f32 / 1009.0 - 0.5;
    let labels = (0..images).map(|image| Some(image as u32 % 10)).collect();
    Features::new(dim, (0..images * dim).map(value).collect(), labels).unwrap()
}

#[test]
fn blocks_bound_the_memory() {
    let (train, test) = (features(40_000), features(2_000));
    let config = KnnConfig {
        ks: vec![20],
        block: [256, 2048],
        ..KnnConfig::default()
    };
    // Threads, buffers of the backend and whatever else the first call needs.
    knn(&features(2_100), &features(300), &config, &device()).unwrap();
    let before = peak();
    knn(&train, &test, &config, &device()).unwrap();
    let grown = peak() - before;
    // All similarities are 305 MiB; candidates 3, norms 1, a block 2 and its operands less, and
    // each thread may have buffers of its own.
    assert!(grown < 150.0, "{grown:.0} MiB");
}
