//! Multi-block sampling without the reference's quirks.

use crate::{
    MaskGroup, MaskRng, PatchGrid, PatchIndices,
    block::{Block, BlockSizes},
    group::Ragged,
    official::{Cover, OfficialSampler},
};

/// Draws of one image before the longest context found is taken.
const MAX_REDRAWS: usize = 1000;

/// Blocks that reach every patch, with the context lengths of the official sampler.
#[derive(Debug, Clone)]
pub(crate) struct UniformSampler {
    pub(crate) official: OfficialSampler,
    pub(crate) target_sizes: BlockSizes,
    pub(crate) context_sizes: BlockSizes,
    /// Shortest context: a multiple of the configured length that exceeds `min_keep`.
    pub(crate) least_context: usize,
}

/// The blocks of one image.
struct Layout {
    targets: Vec<Block>,
    contexts: Vec<Block>,
    /// The contexts avoid this many of the targets, all but in a crowded image.
    avoided: usize,
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
        let mut relaxations = 0;
        let mut kept = wanted;
        for _ in 0..images {
            let layout = self.layout(target_size, context_size, wanted, &mut cover, rng);
            relaxations += cover.targets - layout.avoided;
            kept = kept.min(layout.shortest_context);
            for (mask, block) in targets.iter_mut().zip(&layout.targets) {
                mask.extend(block.patches(grid));
            }
            for (mask, block) in contexts.iter_mut().zip(&layout.contexts) {
                mask.push(cover.visible(*block, layout.avoided));
            }
        }
        let kept = kept / config.length_multiple * config.length_multiple;
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
            relaxations,
        }
    }

    /// The context length of a group: that of an official group, rounded to the multiple.
    fn context_length(&self, images: usize, rng: &mut MaskRng) -> usize {
        let multiple = self.official.config.length_multiple;
        let length = self.official.sample(images, rng).contexts[0].kept();
        ((length + multiple / 2) / multiple * multiple).max(self.least_context)
    }

    /// Draws one image until all its contexts have `wanted` patches; leaves its targets in `cover`.
    ///
    /// If no draw has even the least, the best one ignores targets, the last one first.
    fn layout(
        &self,
        target_size: (usize, usize),
        context_size: (usize, usize),
        wanted: usize,
        cover: &mut Cover,
        rng: &mut MaskRng,
    ) -> Layout {
        let mut best = self.draw(target_size, context_size, cover, rng);
        // Contexts that may overlap are as long as they are.
        let draws = if self.official.config.allow_overlap {
            1
        } else {
            MAX_REDRAWS
        };
        for _ in 1..draws {
            if best.shortest_context >= wanted {
                break;
            }
            let layout = self.draw(target_size, context_size, cover, rng);
            if layout.shortest_context > best.shortest_context {
                best = layout;
            }
        }
        self.hide(&best.targets, cover);
        while best.shortest_context < self.least_context {
            best.avoided -= 1;
            best.shortest_context = shortest(&best.contexts, best.avoided, cover);
        }
        best
    }

    /// Places all blocks of one image anywhere.
    fn draw(
        &self,
        target_size: (usize, usize),
        context_size: (usize, usize),
        cover: &mut Cover,
        rng: &mut MaskRng,
    ) -> Layout {
        let OfficialSampler { config, grid, .. } = &self.official;
        let mut blocks = |count, size| (0..count).map(|_| place(*grid, size, rng)).collect();
        let targets: Vec<Block> = blocks(config.num_targets, target_size);
        let contexts: Vec<Block> = blocks(config.num_contexts, context_size);
        self.hide(&targets, cover);
        Layout {
            avoided: cover.targets,
            shortest_context: shortest(&contexts, cover.targets, cover),
            targets,
            contexts,
        }
    }

    /// Makes `cover` hide `targets`, or nothing where contexts may overlap them.
    fn hide(&self, targets: &[Block], cover: &mut Cover) {
        let overlap = self.official.config.allow_overlap;
        cover.set(if overlap { &[] } else { targets });
    }
}

/// Patches of the smallest of `contexts` outside the first `avoided` targets.
fn shortest(contexts: &[Block], avoided: usize, cover: &Cover) -> usize {
    let lengths = contexts
        .iter()
        .map(|block| cover.visible(*block, avoided).count());
    lengths.min().unwrap_or(0)
}

/// Scale and aspect ratio have a random number each.
pub(crate) fn free_size(sizes: &BlockSizes, rng: &mut MaskRng) -> (usize, usize) {
    let scale_unit = rng.size_unit();
    sizes.at(scale_unit, rng.size_unit())
}

/// A block of `[rows, columns]` patches at a random place.
pub(crate) fn place(grid: PatchGrid, (height, width): (usize, usize), rng: &mut MaskRng) -> Block {
    let top = rng.position(grid.rows() - height + 1);
    let left = rng.position(grid.cols() - width + 1);
    Block {
        top,
        left,
        height,
        width,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::{
        MaskGroup, MaskMode, MaskRng, MaskSampler, MultiBlockConfig, PatchGrid, Range,
        SingleBlockSampler, block::BlockSizes,
    };

    /// Rows and columns of the first target of the first image.
    fn target_size(group: &MaskGroup) -> (usize, usize) {
        let patches = group.targets[0].row(0);
        let row = |patch: u32| patch as usize / group.grid.cols();
        let height = row(patches[patches.len() - 1]) - row(patches[0]) + 1;
        (height, patches.len() / height)
    }

    #[test]
    fn scale_and_aspect_ratio_are_independent() {
        let grid = PatchGrid::new(14, 14).unwrap();
        let config = MultiBlockConfig {
            mode: MaskMode::Uniform,
            ..MultiBlockConfig::default()
        };
        let multi_block = config.build(grid).unwrap();
        let (scale, aspect) = (Range::new(0.3, 0.4), config.target_aspect);
        let block = SingleBlockSampler::new(grid, scale, aspect).unwrap();
        let cases: [(&dyn MaskSampler, Range); 2] =
            [(&multi_block, config.target_scale), (&block, scale)];
        for (sampler, scale) in cases {
            // The rarest size is drawn in one of a few hundred groups.
            let draw =
                |group| target_size(&sampler.sample(1, &mut MaskRng::for_group(21, 0, group)));
            let drawn: BTreeSet<(usize, usize)> = (0..3000).map(draw).collect();
            let sizes = BlockSizes::covering(grid, scale, aspect);
            assert_eq!(drawn, sizes.possible_when_independent());
        }
    }
}
