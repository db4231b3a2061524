//! Distributions of the masks that training draws, against the reference's statistics.
//!
//! Seeds are fixed, so a failure means a change of code, not bad luck. Bounds are five standard
//! errors of the difference (about one false alarm in two million for a new seed).

use crate::golden::{Golden, STATISTICS};
use ijepa_masking::{
    MaskMode, MaskReport, MultiBlockConfig, MultiBlockSampler, PatchGrid, RandomSampler, Range,
    RasterizedSampler, SingleBlockSampler,
};

const STANDARD_ERRORS: f64 = 5.0;

fn number(golden: &Golden, key: &str) -> usize {
    golden.json["args"][key].as_u64().unwrap() as usize
}

fn sampler(golden: &Golden, mode: MaskMode) -> MultiBlockSampler {
    let side = number(golden, "input_size");
    let grid = PatchGrid::from_image([side, side], number(golden, "patch_size")).unwrap();
    let config = MultiBlockConfig {
        mode,
        min_keep: number(golden, "min_keep"),
        allow_overlap: golden.json["args"]["allow_overlap"].as_bool().unwrap(),
        ..Default::default()
    };
    config.build(grid).unwrap()
}

fn mean_and_variance(values: &[i64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<i64>() as f64 / count;
    (
        mean,
        values
            .iter()
            .map(|&v| (v as f64 - mean).powi(2))
            .sum::<f64>()
            / count,
    )
}

/// The mean of `groups` lengths against the mean of the reference's.
fn check_lengths(name: &str, found: ijepa_masking::LengthStats, groups: usize, expected: &[i64]) {
    let (mean, variance) = mean_and_variance(expected);
    let error = (variance / groups as f64 + variance / expected.len() as f64).sqrt();
    let difference = (found.mean - mean).abs();
    assert!(
        difference <= STANDARD_ERRORS * error,
        "{name}: {} against {mean}",
        found.mean
    );
    let (low, high) = (0.8 * variance.sqrt(), 1.25 * variance.sqrt());
    assert!(
        (low..=high).contains(&found.std),
        "{name}: std {} against {low}-{high}",
        found.std
    );
}

/// Patch by patch; images of one group share their sizes, so groups are the sample.
fn check_map(name: &str, found: &[Vec<f64>], groups: usize, expected: &[f64], batches: usize) {
    for (patch, (&found, &expected)) in found.iter().flatten().zip(expected).enumerate() {
        let variance = expected * (1.0 - expected);
        let error = (variance / groups as f64 + variance / batches as f64).sqrt();
        let difference = (found - expected).abs();
        assert!(
            difference <= STANDARD_ERRORS * error,
            "{name} patch {patch}: {found}, {expected}"
        );
        if expected == 0.0 {
            assert_eq!(found, 0.0, "{name} patch {patch} must never be used");
        }
    }
}

#[test]
fn official_masks_have_the_reference_statistics() {
    for name in STATISTICS {
        let golden = Golden::load(&format!("mask_stats_{name}"));
        let (_, contexts) = golden.i64s("context_sizes_per_batch");
        let (_, targets) = golden.i64s("target_sizes_per_batch");
        let groups = contexts.len();
        let images = golden.json["batch"].as_u64().unwrap() as usize;
        let report = MaskReport::draw(&sampler(&golden, MaskMode::Official), images, groups, 11);
        assert_eq!(report.images, groups * images);
        check_lengths(name, report.context_size, groups, &contexts);
        check_lengths(name, report.target_size, groups, &targets);
        let map = golden.f64s("context_inclusion_prob");
        check_map(name, &report.context_inclusion, groups, &map, groups);
        let map = golden.f64s("target_union_inclusion_prob");
        check_map(name, &report.target_inclusion, groups, &map, groups);
    }
}

#[test]
fn uniform_contexts_have_the_official_lengths() {
    for name in ["224_16_b128", "224_14_b32", "64_8_b32_relax_minkeep4"] {
        let golden = Golden::load(&format!("mask_stats_{name}"));
        let (_, contexts) = golden.i64s("context_sizes_per_batch");
        let images = golden.json["batch"].as_u64().unwrap() as usize;
        let sampler = sampler(&golden, MaskMode::Uniform);
        let report = MaskReport::draw(&sampler, images, contexts.len(), 12);
        check_lengths(name, report.context_size, contexts.len(), &contexts);
    }
}

/// Largest difference between a map and its mirror images.
fn asymmetry(map: &[Vec<f64>]) -> f64 {
    let (rows, cols) = (map.len(), map[0].len());
    let differences = (0..rows).flat_map(|row| {
        (0..cols).flat_map(move |col| {
            let here = map[row][col];
            [
                here - map[rows - 1 - row][col],
                here - map[row][cols - 1 - col],
            ]
        })
    });
    differences.fold(0.0, |largest, difference| difference.abs().max(largest))
}

#[test]
fn uniform_maps_are_symmetric_without_dead_rows_or_columns() {
    let official = MultiBlockConfig::default();
    let uniform = MultiBlockConfig {
        mode: MaskMode::Uniform,
        ..official.clone()
    };
    for (rows, cols) in [(14, 14), (10, 18)] {
        let grid = PatchGrid::new(rows, cols).unwrap();
        let (groups, images) = (400, 32);
        let draw = |config: &MultiBlockConfig| {
            MaskReport::draw(&config.build(grid).unwrap(), images, groups, 13)
        };
        let report = draw(&uniform);
        // Images of one group share sizes but not positions; half the images are independent
        // enough for a standard error of sqrt(2 * 0.25 / (groups * images / 2)) = 0.009.
        for map in [&report.context_inclusion, &report.target_inclusion] {
            assert!(
                asymmetry(map) < STANDARD_ERRORS * 0.009,
                "{}",
                asymmetry(map)
            );
            assert!(map.iter().flatten().all(|&share| share > 0.04), "{map:?}");
        }
        // The check can fail: the official sampler never uses the last row and column.
        let report = draw(&official);
        assert!(
            report.target_inclusion[rows - 1]
                .iter()
                .all(|&share| share == 0.0)
        );
        assert!(asymmetry(&report.target_inclusion) > 0.1);
    }
}

#[test]
fn ablation_samplers_have_the_ratios_of_table_6() {
    let grid = PatchGrid::new(14, 14).unwrap();
    let rasterized = MaskReport::draw(&RasterizedSampler::new(grid).unwrap(), 32, 100, 1);
    assert_eq!(
        (rasterized.context_size.min, rasterized.target_size.max),
        (49, 49)
    );
    let corners = [(0, 0), (0, 13), (13, 0), (13, 13)];
    for (row, col) in corners {
        assert!((rasterized.context_inclusion[row][col] - 0.25).abs() < 0.04);
    }

    let scale = SingleBlockSampler::PAPER_SCALE;
    let block = SingleBlockSampler::new(grid, scale, Range::new(0.75, 1.5)).unwrap();
    let block = MaskReport::draw(&block, 32, 100, 1);
    assert!(
        (block.context_ratio - 0.4).abs() < 0.02,
        "{}",
        block.context_ratio
    );
    assert_eq!(block.context_size.mean + block.target_size.mean, 196.0);

    let random = RandomSampler::new(grid, RandomSampler::PAPER_RATIO).unwrap();
    let random = MaskReport::draw(&random, 32, 100, 1);
    assert_eq!((random.context_size.min, random.context_size.max), (78, 78));
    for share in random.context_inclusion.iter().flatten() {
        assert!(
            (share - 78.0 / 196.0).abs() < STANDARD_ERRORS * 0.009,
            "{share}"
        );
    }
}
