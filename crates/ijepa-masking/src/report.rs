//! What the masks of a configuration look like on average.

use std::{borrow::Borrow, fmt};

use serde::Serialize;

use crate::{MaskGroup, MaskRng, MaskSampler, PatchGrid, PatchIndices};

/// Mean, spread and extremes of mask lengths over groups, in patches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LengthStats {
    /// Mean length.
    pub mean: f64,
    /// Population standard deviation.
    pub std: f64,
    /// Shortest.
    pub min: usize,
    /// Longest.
    pub max: usize,
}

impl LengthStats {
    fn of(lengths: &[usize]) -> Self {
        let count = lengths.len() as f64;
        let mean = lengths.iter().sum::<usize>() as f64 / count;
        let variance = lengths
            .iter()
            .map(|&l| (l as f64 - mean).powi(2))
            .sum::<f64>()
            / count;
        let min = lengths.iter().copied().min().unwrap_or(0);
        let max = lengths.iter().copied().max().unwrap_or(0);
        Self {
            mean,
            std: variance.sqrt(),
            min,
            max,
        }
    }
}

/// Sizes, ratios and inclusion maps of the masks that a sampler draws.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaskReport {
    /// Images drawn.
    pub images: usize,
    /// Context length of each group, after all masks were cut to it.
    pub context_size: LengthStats,
    /// Mean context length over the number of patches.
    pub context_ratio: f64,
    /// Target length of each group.
    pub target_size: LengthStats,
    /// How often a target was ignored to leave enough context.
    pub relaxations: usize,
    /// Share of images in whose first context a patch is, `[rows][cols]`.
    pub context_inclusion: Vec<Vec<f64>>,
    /// Share of images in which a patch is in at least one target, `[rows][cols]`.
    pub target_inclusion: Vec<Vec<f64>>,
}

impl MaskReport {
    /// Draws groups `0..groups` of `group_size` images at step 0 of a run with `seed`.
    ///
    /// # Panics
    ///
    /// Panics if `groups` or `group_size` is zero.
    pub fn draw(sampler: &dyn MaskSampler, group_size: usize, groups: usize, seed: u64) -> Self {
        let masks = |group| sampler.sample(group_size, &mut MaskRng::for_group(seed, 0, group));
        Self::of((0..groups as u64).map(masks))
    }

    /// Summarises `groups`, all of the same grid; one of them is held at a time.
    ///
    /// # Panics
    ///
    /// Panics if there is no group.
    pub fn of<G: Borrow<MaskGroup>>(groups: impl IntoIterator<Item = G>) -> Self {
        let mut groups = groups.into_iter().peekable();
        let first = groups.peek().expect("a report needs at least one group");
        let grid = first.borrow().grid;
        let [mut context, mut target] = [(); 2].map(|()| Inclusion::none(grid));
        let (mut context_sizes, mut target_sizes, mut relaxations) = (Vec::new(), Vec::new(), 0);
        for group in groups {
            let group = group.borrow();
            context_sizes.push(group.contexts[0].kept());
            target_sizes.push(group.targets[0].kept());
            relaxations += group.relaxations;
            context.add(&group.contexts[..1]);
            target.add(&group.targets);
        }
        let context_size = LengthStats::of(&context_sizes);
        Self {
            images: context.images,
            context_size,
            context_ratio: context_size.mean / grid.num_patches() as f64,
            target_size: LengthStats::of(&target_sizes),
            relaxations,
            context_inclusion: context.shares(),
            target_inclusion: target.shares(),
        }
    }
}

/// In how many images each patch is in at least one of the masks.
struct Inclusion {
    grid: PatchGrid,
    counts: Vec<usize>,
    images: usize,
}

impl Inclusion {
    fn none(grid: PatchGrid) -> Self {
        Self {
            grid,
            counts: vec![0; grid.num_patches()],
            images: 0,
        }
    }

    fn add(&mut self, masks: &[PatchIndices]) {
        for image in 0..masks[0].images() {
            let mut inside = vec![false; self.counts.len()];
            for &patch in masks.iter().flat_map(|mask| mask.row(image)) {
                inside[patch as usize] = true;
            }
            for (count, inside) in self.counts.iter_mut().zip(inside) {
                *count += usize::from(inside);
            }
            self.images += 1;
        }
    }

    /// Shares of the images, `[rows][cols]`.
    fn shares(&self) -> Vec<Vec<f64>> {
        let share = |&count: &usize| count as f64 / self.images as f64;
        let rows = self.counts.chunks(self.grid.cols());
        rows.map(|row| row.iter().map(share).collect()).collect()
    }
}

impl fmt::Display for MaskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = |stats: &LengthStats| {
            let LengthStats {
                mean,
                std,
                min,
                max,
            } = stats;
            format!("{mean:.1} patches, std {std:.1}, {min} to {max}")
        };
        writeln!(f, "images       {}", self.images)?;
        writeln!(f, "context      {}", lengths(&self.context_size))?;
        writeln!(f, "  of image   {:.1} %", 100.0 * self.context_ratio)?;
        writeln!(f, "target       {}", lengths(&self.target_size))?;
        writeln!(f, "relaxations  {}", self.relaxations)?;
        let maps = [
            ("context", &self.context_inclusion),
            ("any target", &self.target_inclusion),
        ];
        for (name, map) in maps {
            writeln!(f, "\nimages with the patch in {name}, %")?;
            for row in map {
                let cells: Vec<String> = row
                    .iter()
                    .map(|share| format!("{:3.0}", 100.0 * share))
                    .collect();
                writeln!(f, "{}", cells.join(" "))?;
            }
        }
        Ok(())
    }
}
