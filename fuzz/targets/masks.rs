//! Configurations of masks: refused, or sampled with what the documentation promises.

#![no_main]

use arbitrary::Arbitrary;
use ijepa_fuzz::{FREE, check};
use ijepa_masking::{
    MaskError, MaskMode, MaskRng, MaskSampler, MultiBlockConfig, PatchGrid, RandomSampler, Range,
    RasterizedSampler, SingleBlockSampler,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    sides: [u8; 2],
    strategy: u8,
    length_multiple: u8,
    blocks: [u8; 2],
    /// Scale and aspect of targets, scale of contexts.
    ranges: [[Number; 2]; 3],
    min_keep: u8,
    allow_overlap: bool,
    images: u8,
    seed: u64,
}

/// Any number, or more often one that a recipe might have.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Number {
    Any(f64),
    Percent(u8),
    Ratio(u8, u8),
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Self::Any(value) => value,
            Self::Percent(value) => f64::from(value) / 100.0,
            Self::Ratio(above, below) => f64::from(above) / f64::from(below),
        }
    }
}

fuzz_target!(|input: Input| check(&[], FREE, 0, || sample(&input)));

fn sample(input: &Input) {
    let [rows, cols] = input.sides.map(|side| usize::from(side % 33));
    let Ok(grid) = PatchGrid::new(rows, cols) else {
        return;
    };
    let images = usize::from(input.images % 4) + 1;
    let min_keep = usize::from(input.min_keep);
    let Ok((sampler, least)) = sampler(input, grid, min_keep) else {
        return;
    };
    let draw = || sampler.sample(images, &mut MaskRng::for_group(input.seed, 0, 0));
    let masks = draw();
    assert_eq!(masks, draw());
    for blocks in [&masks.contexts, &masks.targets] {
        for mask in blocks {
            assert_eq!((mask.images(), mask.kept()), (images, blocks[0].kept()));
            for row in (0..images).map(|image| mask.row(image)) {
                assert!(row.is_sorted_by(|a, b| a < b));
                assert!(
                    row.last()
                        .is_some_and(|&last| (last as usize) < grid.num_patches())
                );
            }
        }
    }
    assert!(masks.contexts[0].kept() >= least, "{masks:?}");
}

/// A sampler, and the patches that its contexts have at least.
fn sampler(
    input: &Input,
    grid: PatchGrid,
    min_keep: usize,
) -> Result<(Box<dyn MaskSampler>, usize), MaskError> {
    let [target_scale, target_aspect, context_scale] = input
        .ranges
        .map(|[min, max]| Range::new(min.value(), max.value()));
    let mode = match input.strategy % 8 {
        0 => return Ok((Box::new(RandomSampler::new(grid, target_scale)?), 1)),
        1 => return Ok((Box::new(RasterizedSampler::new(grid)?), 1)),
        2 => {
            let sampler = SingleBlockSampler::new(grid, target_scale, target_aspect)?;
            return Ok((Box::new(sampler), 1));
        }
        3..6 => MaskMode::Official,
        _ => MaskMode::Uniform,
    };
    let [num_targets, num_contexts] = input.blocks.map(|count| usize::from(count % 8));
    let config = MultiBlockConfig {
        mode,
        length_multiple: usize::from(input.length_multiple),
        num_targets,
        target_scale,
        target_aspect,
        num_contexts,
        context_scale,
        min_keep,
        allow_overlap: input.allow_overlap,
    };
    Ok((Box::new(config.build(grid)?), min_keep + 1))
}
