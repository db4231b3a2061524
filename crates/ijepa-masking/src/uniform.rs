//! Multi-block sampling without the reference's quirks.

use crate::{
    MaskGroup, MaskRng, PatchGrid, PatchIndices,
    block::{Block, BlockSizes},
    group::Ragged,
    official::{Cover, OfficialSampler},
};

/// Draws of one image before the group settles for the longest context found.
const MAX_REDRAWS: usize = 1000;

/// Blocks that reach every patch, with the context lengths of the official sampler.
#[derive(Debug, Clone)]
pub(crate) struct UniformSampler {
    pub(crate) official: OfficialSampler,
    pub(crate) target_sizes: BlockSizes,
    pub(crate) context_sizes: BlockSizes,
}

/// The blocks of one image.
struct Layout {
    targets: Vec<Block>,
    contexts: Vec<Block>,
    shortest_context: usize,
}

impl UniformSampler {
    pub(crate) fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup {
        let wanted = self.context_length(images, rng);
        let target_size = free_size(&self.target_sizes, rng);
        let context_size = free_size(&self.context_sizes, rng);

        let config = &self.official.config;
        let grid = self.official.grid;
        let mut targets: Vec<Vec<u32>> = vec![Vec::new(); config.num_targets];
        let mut contexts: Vec<Ragged> = (0..config.num_contexts)
            .map(|_| Ragged::default())
            .collect();
        let mut cover = Cover::new(grid);
        let mut kept = wanted;
        for _ in 0..images {
            let layout = self.layout(target_size, context_size, wanted, &mut cover, rng);
            kept = kept.min(layout.shortest_context);
            for (mask, block) in targets.iter_mut().zip(&layout.targets) {
                mask.extend(block.patches(grid));
            }
            for (mask, block) in contexts.iter_mut().zip(&layout.contexts) {
                mask.push(cover.visible(*block, cover.targets));
            }
        }
        let kept = self.shorten(kept);
        let target_patches = target_size.0 * target_size.1;
        MaskGroup {
            grid,
            contexts: contexts
                .iter()
                .map(|mask| mask.cut_at_random(kept, |bound| rng.position(bound)))
                .collect(),
            targets: targets
                .into_iter()
                .map(|indices| PatchIndices::new(target_patches, indices))
                .collect(),
            relaxations: 0,
        }
    }

    /// The context length of a group: that of an official group, rounded to the multiple.
    fn context_length(&self, images: usize, rng: &mut MaskRng) -> usize {
        let multiple = self.official.config.length_multiple;
        let length = self.official.sample(images, rng).contexts[0].kept();
        ((length + multiple / 2) / multiple).max(1) * multiple
    }

    /// The longest allowed length that does not exceed `kept`.
    fn shorten(&self, kept: usize) -> usize {
        let multiple = self.official.config.length_multiple;
        if kept < multiple {
            kept
        } else {
            kept / multiple * multiple
        }
    }

    /// Draws one image until all its contexts have `wanted` patches; leaves its targets in `cover`.
    fn layout(
        &self,
        target_size: (usize, usize),
        context_size: (usize, usize),
        wanted: usize,
        cover: &mut Cover,
        rng: &mut MaskRng,
    ) -> Layout {
        let config = &self.official.config;
        let grid = self.official.grid;
        let constraint = |targets: &[Block], cover: &mut Cover| {
            cover.set(if config.allow_overlap { &[] } else { targets });
        };
        let mut best: Option<Layout> = None;
        for _ in 0..MAX_REDRAWS {
            let mut blocks = |count, size| (0..count).map(|_| place(grid, size, rng)).collect();
            let targets: Vec<Block> = blocks(config.num_targets, target_size);
            let contexts: Vec<Block> = blocks(config.num_contexts, context_size);
            constraint(&targets, cover);
            let lengths = contexts
                .iter()
                .map(|block| cover.visible(*block, cover.targets).count());
            let shortest_context = lengths.min().unwrap_or(0);
            let layout = Layout {
                targets,
                contexts,
                shortest_context,
            };
            if shortest_context >= wanted {
                return layout;
            }
            if best
                .as_ref()
                .is_none_or(|best| best.shortest_context < shortest_context)
            {
                best = Some(layout);
            }
        }
        let best = best.expect("at least one draw was made");
        constraint(&best.targets, cover);
        best
    }
}

/// Scale and aspect ratio have a random number each.
fn free_size(sizes: &BlockSizes, rng: &mut MaskRng) -> (usize, usize) {
    let scale_unit = rng.size_unit();
    sizes.at(scale_unit, rng.size_unit())
}

fn place(grid: PatchGrid, (height, width): (usize, usize), rng: &mut MaskRng) -> Block {
    let top = rng.position(grid.rows() - height + 1);
    let left = rng.position(grid.cols() - width + 1);
    Block {
        top,
        left,
        height,
        width,
    }
}
