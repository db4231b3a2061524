//! Multi-block sampling exactly as the reference code does it.

use crate::{
    MaskGroup, MaskRng, MultiBlockConfig, PatchGrid, block::Block, block::BlockSizes, group::Ragged,
};

/// Placements tried before one more target is ignored.
const TRIES_PER_RELAXATION: usize = 20;

/// The reference's sampler: sizes drawn once a group, positions once a block.
#[derive(Debug, Clone)]
pub(crate) struct OfficialSampler {
    pub(crate) config: MultiBlockConfig,
    pub(crate) grid: PatchGrid,
    pub(crate) target_sizes: BlockSizes,
    pub(crate) context_sizes: BlockSizes,
}

impl OfficialSampler {
    pub(crate) fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup {
        assert!(images > 0, "a mask group needs at least one image");
        let target_size = tied_size(&self.target_sizes, rng);
        let context_size = tied_size(&self.context_sizes, rng);

        let ragged = |blocks, size: (usize, usize)| -> Vec<Ragged> {
            (0..blocks)
                .map(|_| Ragged::with_capacity(images, size.0 * size.1))
                .collect()
        };
        let mut targets = ragged(self.config.num_targets, target_size);
        let mut contexts = ragged(self.config.num_contexts, context_size);
        let mut cover = Cover::new(self.grid);
        let mut relaxations = 0;
        let mut blocks = Vec::with_capacity(self.config.num_targets);
        for _ in 0..images {
            blocks.clear();
            for target in &mut targets {
                let block = self.place(target_size, rng);
                target.push(block.patches(self.grid));
                blocks.push(block);
            }
            cover.set(if self.config.allow_overlap {
                &[]
            } else {
                &blocks
            });
            for context in &mut contexts {
                relaxations += self.push_context(context, context_size, &cover, rng);
            }
        }
        MaskGroup {
            grid: self.grid,
            contexts: cut_all(&contexts),
            targets: cut_all(&targets),
            relaxations,
        }
    }

    /// Appends a context that keeps enough patches and returns how many targets were ignored.
    fn push_context(
        &self,
        context: &mut Ragged,
        size: (usize, usize),
        cover: &Cover,
        rng: &mut MaskRng,
    ) -> usize {
        for relaxations in 0.. {
            let targets = cover.targets.saturating_sub(relaxations);
            for _ in 0..TRIES_PER_RELAXATION {
                let block = self.place(size, rng);
                if context.push(cover.visible(block, targets)) > self.config.min_keep {
                    return relaxations;
                }
                context.pop();
            }
        }
        unreachable!("a block without constraint exceeds min_keep, which the constructor checked")
    }

    /// DIFFERENCE(D-01): the upper bounds are exclusive, so the last row and column stay unused.
    fn place(&self, (height, width): (usize, usize), rng: &mut MaskRng) -> Block {
        let top = rng.position(self.grid.rows() - height);
        let left = rng.position(self.grid.cols() - width);
        Block {
            top,
            left,
            height,
            width,
        }
    }
}

/// One random number sets both scale and aspect ratio.
fn tied_size(sizes: &BlockSizes, rng: &mut MaskRng) -> (usize, usize) {
    let unit = rng.size_unit();
    sizes.at(unit, unit)
}

/// Cuts all masks to the length of the shortest by dropping their last patches.
fn cut_all(masks: &[Ragged]) -> Vec<crate::PatchIndices> {
    let kept = masks.iter().map(Ragged::shortest).min().unwrap_or(0);
    masks.iter().map(|mask| mask.cut_to_first(kept)).collect()
}

/// For every patch, the first target block that contains it.
#[derive(Debug)]
pub(crate) struct Cover {
    grid: PatchGrid,
    first_target: Vec<u32>,
    pub(crate) targets: usize,
}

impl Cover {
    pub(crate) fn new(grid: PatchGrid) -> Self {
        Self {
            grid,
            first_target: vec![u32::MAX; grid.num_patches()],
            targets: 0,
        }
    }

    pub(crate) fn set(&mut self, blocks: &[Block]) {
        self.first_target.fill(u32::MAX);
        self.targets = blocks.len();
        for (target, block) in blocks.iter().enumerate().rev() {
            for patch in block.patches(self.grid) {
                self.first_target[patch as usize] = target as u32;
            }
        }
    }

    /// Patches of `block` outside the first `targets` target blocks.
    pub(crate) fn visible(&self, block: Block, targets: usize) -> impl Iterator<Item = u32> {
        let hidden = move |patch: &u32| (self.first_target[*patch as usize] as usize) < targets;
        block.patches(self.grid).filter(move |patch| !hidden(patch))
    }
}
