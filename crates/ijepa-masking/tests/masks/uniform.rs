//! What the uniform mode draws, image by image.

use std::iter::{once, repeat_n};

use crate::script::scripted;
use ijepa_masking::{
    MaskGroup, MaskMode, MaskRng, MaskSampler, MultiBlockConfig, PatchGrid, Range,
};

fn uniform() -> MultiBlockConfig {
    MultiBlockConfig {
        mode: MaskMode::Uniform,
        ..Default::default()
    }
}

/// A group has the length of the official group of the same numbers, or the nearest multiple.
#[test]
fn lengths_are_official_ones_rounded_to_the_nearest_multiple() {
    let grid = PatchGrid::new(14, 14).unwrap();
    let official = MultiBlockConfig::default().build(grid).unwrap();
    let mut rounded_up = 0;
    for length_multiple in [1, 7, 8] {
        let config = MultiBlockConfig {
            length_multiple,
            ..uniform()
        };
        let uniform = config.build(grid).unwrap();
        for group in 0..40 {
            let kept = |sampler: &dyn MaskSampler| {
                let group = sampler.sample(8, &mut MaskRng::for_group(22, 0, group));
                group.contexts[0].kept()
            };
            let (length, found) = (kept(&official), kept(&uniform));
            let lower = length / length_multiple * length_multiple;
            let upper = lower + length_multiple;
            let nearest = if length - lower < upper - length {
                lower
            } else {
                upper
            };
            assert_eq!(
                found, nearest,
                "{length} to a multiple of {length_multiple}"
            );
            rounded_up += usize::from(nearest > length);
        }
    }
    assert!(rounded_up > 0);
}

/// Targets of 4x4 and a context of 5x5 patches on a 10x10 grid.
fn small(num_targets: usize) -> MultiBlockConfig {
    let one = |value| Range::new(value, value);
    MultiBlockConfig {
        num_targets,
        target_scale: one(0.16),
        target_aspect: one(1.0),
        context_scale: one(0.25),
        min_keep: 3,
        ..uniform()
    }
}

fn sample(config: &MultiBlockConfig, corners: impl IntoIterator<Item = [u32; 2]>) -> MaskGroup {
    let sampler = config.build(PatchGrid::new(10, 10).unwrap()).unwrap();
    let corners: Vec<[u32; 2]> = corners.into_iter().collect();
    sampler.sample(1, &mut scripted(corners.into_iter().flatten()))
}

#[test]
fn the_longest_of_a_thousand_draws_is_kept() {
    // Corners of target and context; the official group has a context that no target touches.
    let official = [[5, 5], [0, 0]];
    let short = [[0, 0], [0, 0]];
    let long = [[3, 3], [0, 0]];
    let length = |draws_before: usize| {
        let draws = repeat_n(short, draws_before)
            .chain(once(long))
            .chain(repeat_n(short, 1000));
        let group = sample(&small(1), once(official).chain(draws).flatten());
        assert_eq!(group.relaxations, 0);
        group.contexts[0].kept()
    };
    assert_eq!(length(0), 25 - 4);
    assert_eq!(length(1), 25 - 4);
    assert_eq!(length(999), 25 - 4);
    assert_eq!(length(1000), 25 - 16);
}

#[test]
fn a_draw_that_is_long_enough_is_the_last() {
    let official = [[3, 3], [0, 0]];
    let long = [[5, 5], [0, 0]];
    let short = [[0, 0], [0, 0]];
    let group = sample(&small(1), [official, short, long, short].concat());
    assert_eq!(group.targets[0].row(0)[0], 55);
    assert_eq!(group.contexts[0].kept(), 25 - 4);
}

#[test]
fn the_first_of_equally_long_draws_is_kept() {
    let official = [[5, 5], [0, 0]];
    let first = [[0, 0], [0, 0]];
    let draws = once(first).chain(repeat_n([[1, 1], [1, 1]], 1000));
    let group = sample(&small(1), once(official).chain(draws).flatten());
    assert_eq!(
        group.contexts[0].row(0),
        [4, 14, 24, 34, 40, 41, 42, 43, 44]
    );
}

#[test]
fn no_target_is_ignored_for_a_context_that_is_just_long_enough() {
    let official = [[5, 5], [5, 5], [5, 5], [0, 0]];
    let crowded = [[0, 0], [3, 1], [6, 6], [0, 0]];
    let draws = once(official).chain(repeat_n(crowded, 1001));
    let group = sample(&small(3), draws.flatten());
    assert_eq!(group.relaxations, 0);
    assert_eq!(group.contexts[0].row(0), [4, 14, 24, 40]);
}

#[test]
fn targets_are_ignored_one_by_one_from_the_last() {
    let official = [[5, 5], [5, 5], [5, 5], [0, 0]];
    // All three leave two patches of the context, the first two leave six.
    let crowded = [[0, 0], [3, 3], [1, 1], [0, 0]];
    let draws = once(official).chain(repeat_n(crowded, 1001));
    let group = sample(&small(3), draws.flatten());
    assert_eq!(group.relaxations, 1);
    assert_eq!(group.contexts[0].row(0), [4, 14, 24, 40, 41, 42]);
}
