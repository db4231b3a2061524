//! Rectangular blocks of patches and the sizes they can take.

#[cfg(test)]
use std::collections::BTreeSet;

use crate::{MaskError, PatchGrid};

/// A closed interval `[min, max]` of a scale (fraction of all patches) or an aspect ratio
/// (height over width).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// Lower end.
    pub min: f64,
    /// Upper end.
    pub max: f64,
}

impl Range {
    /// The interval from `min` to `max`.
    pub const fn new(min: f64, max: f64) -> Self {
        Self { min, max }
    }

    /// The value at `unit` in `[0, 1]` of the way from `min` to `max`.
    pub fn at(&self, unit: f64) -> f64 {
        self.min + unit * (self.max - self.min)
    }

    /// Where in `[0, 1]` the number of the interval nearest to `value` lies; NaN if all are one.
    fn position(&self, value: f64) -> f64 {
        ((value - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }

    pub(crate) fn check_scale(&self, key: &'static str) -> Result<(), MaskError> {
        let rule = "0 < min <= max <= 1";
        self.check(
            key,
            rule,
            self.min > 0.0 && self.min <= self.max && self.max <= 1.0,
        )
    }

    pub(crate) fn check_aspect(&self, key: &'static str) -> Result<(), MaskError> {
        let rule = "0 < min <= max";
        let valid = self.min > 0.0 && self.min <= self.max && self.max.is_finite();
        self.check(key, rule, valid)
    }

    fn check(&self, key: &'static str, rule: &'static str, valid: bool) -> Result<(), MaskError> {
        let Self { min, max } = *self;
        if valid {
            Ok(())
        } else {
            Err(MaskError::Range {
                key,
                rule,
                min,
                max,
            })
        }
    }
}

/// A rectangle of patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}

impl Block {
    /// The patch numbers of the block on `grid`, ascending.
    pub fn patches(self, grid: PatchGrid) -> impl Iterator<Item = u32> {
        let cols = grid.cols();
        (self.top..self.top + self.height).flat_map(move |row| {
            let first = row * cols + self.left;
            (first..first + self.width).map(|patch| patch as u32)
        })
    }
}

/// How scale and aspect ratio become rows and columns.
///
/// A block of scale `s` and aspect ratio `a` has `k = trunc(patches * s)` patches, spread over
/// `round(sqrt(k * a))` rows and `round(sqrt(k / a))` columns, each cut to `max_rows` and
/// `max_cols`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockSizes {
    patches: f64,
    max_rows: usize,
    max_cols: usize,
    scale: Range,
    aspect: Range,
}

impl BlockSizes {
    /// Sizes on `grid` that leave at least one row and one column free, as the reference has it.
    pub(crate) fn within(grid: PatchGrid, scale: Range, aspect: Range) -> Self {
        let (max_rows, max_cols) = (grid.rows() - 1, grid.cols() - 1);
        Self {
            max_rows,
            max_cols,
            ..Self::covering(grid, scale, aspect)
        }
    }

    /// Sizes on `grid` that may span it entirely.
    pub(crate) fn covering(grid: PatchGrid, scale: Range, aspect: Range) -> Self {
        let patches = grid.num_patches() as f64;
        Self {
            patches,
            max_rows: grid.rows(),
            max_cols: grid.cols(),
            scale,
            aspect,
        }
    }

    /// `(rows, columns)` of the block whose scale and aspect ratio lie at the given places in
    /// `[0, 1]` of their ranges.
    pub(crate) fn at(&self, scale_unit: f64, aspect_unit: f64) -> (usize, usize) {
        self.size(
            (self.patches * self.scale.at(scale_unit)).trunc(),
            self.aspect.at(aspect_unit),
        )
    }

    fn size(&self, patches: f64, aspect: f64) -> (usize, usize) {
        // Python's `round` takes halves to the even neighbour.
        let rows = (patches * aspect).sqrt().round_ties_even() as usize;
        let cols = (patches / aspect).sqrt().round_ties_even() as usize;
        (rows.min(self.max_rows), cols.min(self.max_cols))
    }

    /// Every size that [`Self::at`] can give when both places are the same number.
    #[cfg(test)]
    pub(crate) fn possible_when_tied(&self) -> BTreeSet<(usize, usize)> {
        self.each_when_tied().collect()
    }

    /// The one of these with the fewest patches.
    pub(crate) fn smallest_when_tied(&self) -> (usize, usize) {
        smallest(self.each_when_tied())
    }

    fn each_when_tied(&self) -> impl Iterator<Item = (usize, usize)> {
        let aspects = |patches: f64| {
            if self.scale.min == self.scale.max {
                return self.aspect;
            }
            let unit_from = self.scale.position(patches / self.patches);
            let unit_to = self.scale.position((patches + 1.0) / self.patches);
            Range::new(self.aspect.at(unit_from), self.aspect.at(unit_to))
        };
        let [first, last] = self.fewest_and_most();
        (first..=last).flat_map(move |patches| self.sizes_of(patches, aspects(patches as f64)))
    }

    /// Every size that [`Self::at`] can give when the two places are independent.
    #[cfg(test)]
    pub(crate) fn possible_when_independent(&self) -> BTreeSet<(usize, usize)> {
        let [first, last] = self.fewest_and_most();
        let sizes = (first..=last).flat_map(|patches| self.sizes_of(patches, self.aspect));
        sizes.collect()
    }

    /// Patches of the smallest and of the largest size when the two places are independent: rows
    /// and columns never fall with the number of patches.
    pub(crate) fn extremes_when_independent(&self) -> [(usize, usize); 2] {
        let [first, last] = self.fewest_and_most();
        let smallest = smallest(self.sizes_of(first, self.aspect));
        let largest = self.sizes_of(last, self.aspect);
        let largest = largest.max_by_key(|(rows, cols)| rows * cols);
        [smallest, largest.unwrap_or_default()]
    }

    /// Whole numbers of patches at the ends of the scale.
    fn fewest_and_most(&self) -> [usize; 2] {
        [self.scale.min, self.scale.max].map(|scale| (self.patches * scale).trunc() as usize)
    }

    /// The sizes of a whole number of patches over a range of aspect ratios.
    ///
    /// Rows and columns are step functions of the aspect ratio, so it is enough to look behind
    /// every step, and at the ends. (They never step together: a block of `r + 0.5` rows and `c +
    /// 0.5` columns has no whole number of patches.)
    fn sizes_of(&self, patches: usize, range: Range) -> impl Iterator<Item = (usize, usize)> {
        let patches = patches as f64;
        // Larger sides are cut, so that steps beyond the grid change nothing.
        let steps = |from: f64, to: f64, most: usize| {
            let side = |area: f64| (area.sqrt().round_ties_even() as usize).min(most);
            (side(from)..side(to)).map(|side| (side as f64 + 0.5).powi(2))
        };
        let row_steps = steps(patches * range.min, patches * range.max, self.max_rows)
            .map(move |area| area / patches);
        let col_steps = steps(patches / range.max, patches / range.min, self.max_cols)
            .map(move |area| patches / area);
        let behind = row_steps.chain(col_steps).map(|step| step * (1.0 + 1e-12));
        let inside = behind.filter(move |aspect| (range.min..range.max).contains(aspect));
        let aspects = [range.min, range.max].into_iter().chain(inside);
        aspects.map(move |aspect| self.size(patches, aspect))
    }
}

/// The size with the fewest patches, of several the one with the fewest rows.
fn smallest(sizes: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    let smallest = sizes.min_by_key(|(rows, cols)| (rows * cols, *rows));
    smallest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: usize, cols: usize) -> PatchGrid {
        PatchGrid::new(rows, cols).unwrap()
    }

    #[test]
    fn patches_are_numbered_row_by_row() {
        let block = Block {
            top: 1,
            left: 2,
            height: 2,
            width: 3,
        };
        assert_eq!(
            block.patches(grid(4, 6)).collect::<Vec<_>>(),
            [8, 9, 10, 14, 15, 16]
        );
    }

    /// The sizes the reference's sampler drew in 625 batches at 224/16.
    #[test]
    fn tied_sizes_are_those_the_reference_draws() {
        let sizes = BlockSizes::within(grid(14, 14), Range::new(0.15, 0.2), Range::new(0.75, 1.5));
        let expected = BTreeSet::from([(5, 6), (6, 5), (6, 6), (7, 5), (8, 5)]);
        assert_eq!(sizes.possible_when_tied(), expected);
    }

    #[test]
    fn extreme_aspect_ratios_are_cut_to_the_grid() {
        let sizes = BlockSizes::covering(grid(8, 8), Range::new(0.25, 0.25), Range::new(1.0, 1e18));
        let expected = [
            (4, 4),
            (5, 4),
            (5, 3),
            (6, 3),
            (6, 2),
            (7, 2),
            (8, 2),
            (8, 1),
            (8, 0),
        ];
        assert_eq!(sizes.possible_when_independent(), expected.into());
    }

    #[test]
    fn extremes_are_those_of_all_sizes() {
        for (scale, aspect) in [((0.1, 0.4), (0.3, 3.0)), ((0.01, 0.9), (0.01, 100.0))] {
            let [scale, aspect] = [scale, aspect].map(|(min, max)| Range::new(min, max));
            let sizes = BlockSizes::covering(grid(14, 9), scale, aspect);
            let areas = |sizes: BTreeSet<(usize, usize)>| {
                let areas = sizes.into_iter().map(|(rows, cols)| rows * cols);
                areas.collect::<BTreeSet<usize>>()
            };
            let free = areas(sizes.possible_when_independent());
            let found = sizes.extremes_when_independent();
            let found = found.map(|(rows, cols)| Some(rows * cols));
            assert_eq!(found, [free.first().copied(), free.last().copied()]);
            let (rows, cols) = sizes.smallest_when_tied();
            let tied = areas(sizes.possible_when_tied());
            assert_eq!(Some(&(rows * cols)), tied.first());
        }
    }

    /// Few numbers of patches, so that no other one hides a size that is missed.
    #[test]
    fn possible_sizes_are_those_of_a_dense_search() {
        let scales = [(0.15, 0.15), (0.2, 0.21), (0.4, 0.4), (0.33, 0.35)];
        let aspects = [(0.75, 1.5), (0.3, 3.0), (1.0, 1.3), (0.5, 0.9), (1.2, 1.2)];
        let ranges = scales
            .into_iter()
            .flat_map(|scale| aspects.map(|aspect| (scale, aspect)));
        for ((s0, s1), (a0, a1)) in ranges {
            let (scale, aspect) = (Range::new(s0, s1), Range::new(a0, a1));
            let sizes = BlockSizes::covering(grid(14, 9), scale, aspect);
            let unit = |i: u32| f64::from(i) / 10_000.0;
            let tied = (0..=10_000).map(|i| sizes.at(unit(i), unit(i)));
            assert_eq!(
                sizes.possible_when_tied(),
                tied.collect(),
                "{scale:?} {aspect:?}"
            );
            let scales = [0.0, 0.25, 0.5, 0.75, 1.0];
            let free = scales.map(|at| (0..=10_000).map(move |i| sizes.at(at, unit(i))));
            let free = free.into_iter().flatten().collect();
            assert_eq!(
                sizes.possible_when_independent(),
                free,
                "{scale:?} {aspect:?}"
            );
        }
    }

    #[test]
    fn scales_and_aspect_ratios_are_checked() {
        let scale = |min, max| Range::new(min, max).check_scale("key").is_ok();
        let aspect = |min, max| Range::new(min, max).check_aspect("key").is_ok();
        assert!(scale(0.1, 0.1) && scale(0.1, 1.0) && aspect(0.1, 0.1) && aspect(0.1, 9.0));
        for (min, max) in [(0.0, 0.5), (0.5, 0.4), (-1.0, 0.5), (f64::NAN, 1.0)] {
            assert!(!scale(min, max) && !aspect(min, max), "{min} {max}");
        }
        assert!(!scale(0.5, 1.1) && !aspect(0.5, f64::INFINITY));
    }

    #[test]
    fn no_drawn_size_is_missing_from_the_possible_ones() {
        for (rows, cols) in [(14, 14), (16, 16), (9, 21), (8, 8)] {
            let sizes =
                BlockSizes::covering(grid(rows, cols), Range::new(0.1, 0.4), Range::new(0.3, 3.0));
            let (tied, free) = (
                sizes.possible_when_tied(),
                sizes.possible_when_independent(),
            );
            for i in 0..=2000 {
                let unit = f64::from(i) / 2000.0;
                assert!(tied.contains(&sizes.at(unit, unit)));
                assert!(free.contains(&sizes.at(unit, (unit * 37.0).fract())));
            }
        }
    }
}
