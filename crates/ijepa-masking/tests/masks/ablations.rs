//! Rasterized, block and random masks: where they lie and what is refused.
//!
//! Seeds are fixed, so a failure means a change of code; bounds are five standard errors of a
//! binomial share.

use std::collections::BTreeMap;

use ijepa_masking::{
    MaskError, MaskReport, MaskRng, MaskSampler, PatchGrid, RandomSampler, Range,
    RasterizedSampler, SingleBlockSampler,
};

fn grid(rows: usize, cols: usize) -> PatchGrid {
    PatchGrid::new(rows, cols).unwrap()
}

fn check_share(name: &str, found: f64, expected: f64, images: usize) {
    let error = (expected * (1.0 - expected) / images as f64).sqrt();
    assert!(
        (found - expected).abs() <= 5.0 * error,
        "{name}: {found} against {expected}"
    );
}

#[test]
fn a_single_block_lies_everywhere_equally_often() {
    let one = |value| Range::new(value, value);
    // 15 of 48 patches: sqrt(15 * 1.6) = 5 rows and 3 columns.
    let sampler = SingleBlockSampler::new(grid(6, 8), one(0.32), one(1.6)).unwrap();
    let images = 12_000;
    let group = sampler.sample(images, &mut MaskRng::for_group(31, 0, 0));
    assert_eq!(group.targets[0].kept(), 5 * 3);
    let mut corners = BTreeMap::new();
    for image in 0..images {
        let first = group.targets[0].row(image)[0];
        *corners.entry((first / 8, first % 8)).or_insert(0usize) += 1;
    }
    let expected = (0..2).flat_map(|row| (0..6).map(move |col| (row, col)));
    assert!(corners.keys().copied().eq(expected), "{corners:?}");
    for (corner, count) in corners {
        let share = count as f64 / images as f64;
        check_share(&format!("{corner:?}"), share, 1.0 / 12.0, images);
    }
}

#[test]
fn surplus_patches_of_a_quadrant_are_dropped_at_random() {
    // Quadrants of 1x1, 1x2, 2x1 and 2x2 patches, all cut to one patch.
    let sampler = RasterizedSampler::new(grid(3, 3)).unwrap();
    let (images, groups) = (128, 100);
    let report = MaskReport::draw(&sampler, images, groups, 32);
    let in_quadrant = [[1.0, 0.5, 0.5], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]];
    let maps = [
        ("context", report.context_inclusion, 0.25),
        ("target", report.target_inclusion, 0.75),
    ];
    for (name, map, of_images) in maps {
        for (&found, share) in map.iter().flatten().zip(in_quadrant.as_flattened()) {
            check_share(name, found, of_images * share, images * groups);
        }
    }
}

#[test]
fn blocks_that_leave_a_mask_empty_are_refused() {
    let build = |scale| SingleBlockSampler::new(grid(8, 8), scale, Range::new(1.0, 1.0));
    let empty = |min, max| build(Range::new(min, max)).unwrap_err();
    let expected = MaskError::EmptyMask {
        strategy: "block",
        rows: 8,
        cols: 8,
    };
    assert_eq!(empty(0.9, 1.0), expected);
    assert_eq!(empty(0.001, 0.5), expected);
    assert_eq!(
        expected.to_string(),
        "masks of the block strategy can leave context or target of a 8x8 grid without a patch"
    );
    // One patch on either side is enough.
    let all_but_a_row = build(Range::new(0.016, 0.8)).unwrap();
    all_but_a_row.sample(1, &mut MaskRng::for_group(0, 0, 0));
}

#[test]
fn random_sets_that_leave_a_mask_empty_are_refused() {
    let build = |min, max| RandomSampler::new(grid(2, 2), Range::new(min, max));
    let expected = MaskError::EmptyMask {
        strategy: "random",
        rows: 2,
        cols: 2,
    };
    assert_eq!(build(0.5, 0.76).unwrap_err(), expected);
    // So little that the remainder is rounded to everything.
    assert_eq!(build(1e-17, 0.5).unwrap_err(), expected);
    for ratio in [0.01, 0.75] {
        let group = build(ratio, ratio).unwrap();
        let group = group.sample(3, &mut MaskRng::for_group(0, 0, 0));
        assert_eq!(group.contexts[0].kept() + group.targets[0].kept(), 4);
    }
}
