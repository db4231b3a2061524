//! What the masks of a configuration look like on average.

use std::fmt;

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
        assert!(groups > 0, "a report needs at least one group");
        let masks = |group| sampler.sample(group_size, &mut MaskRng::for_group(seed, 0, group));
        let groups: Vec<MaskGroup> = (0..groups as u64).map(masks).collect();
        Self::of(&groups)
    }

    /// Summarises `groups`, all of the same grid.
    ///
    /// # Panics
    ///
    /// Panics if there is no group.
    pub fn of(groups: &[MaskGroup]) -> Self {
        let grid = groups[0].grid;
        let lengths = |masks: fn(&MaskGroup) -> &[PatchIndices]| -> Vec<usize> {
            groups.iter().map(|group| masks(group)[0].kept()).collect()
        };
        let context_size = LengthStats::of(&lengths(|group| &group.contexts));
        let images: usize = groups.iter().map(|group| group.contexts[0].images()).sum();
        Self {
            images,
            context_size,
            context_ratio: context_size.mean / grid.num_patches() as f64,
            target_size: LengthStats::of(&lengths(|group| &group.targets)),
            relaxations: groups.iter().map(|group| group.relaxations).sum(),
            context_inclusion: inclusion(grid, groups, |group| &group.contexts[..1]),
            target_inclusion: inclusion(grid, groups, |group| &group.targets),
        }
    }
}

/// Share of images in which each patch is in at least one of the masks.
fn inclusion(
    grid: PatchGrid,
    groups: &[MaskGroup],
    masks: impl Fn(&MaskGroup) -> &[PatchIndices],
) -> Vec<Vec<f64>> {
    let mut counts = vec![0usize; grid.num_patches()];
    let mut images = 0;
    for group in groups {
        let masks = masks(group);
        for image in 0..masks[0].images() {
            let mut inside = vec![false; grid.num_patches()];
            for &patch in masks.iter().flat_map(|mask| mask.row(image)) {
                inside[patch as usize] = true;
            }
            for (count, inside) in counts.iter_mut().zip(inside) {
                *count += usize::from(inside);
            }
            images += 1;
        }
    }
    let share = |&count: &usize| count as f64 / images as f64;
    counts
        .chunks(grid.cols())
        .map(|row| row.iter().map(share).collect())
        .collect()
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
