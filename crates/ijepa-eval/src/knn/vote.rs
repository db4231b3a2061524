//! Votes of the neighbours of one image.

use std::collections::BTreeMap;

/// Votes per class, counted from the nearest neighbour outwards.
pub(super) struct Votes<'a> {
    /// Similarity and index, the nearest first.
    nearest: &'a [(f64, usize)],
    /// Class by index.
    classes: &'a [u32],
    temperature: f64,
    counted: usize,
    by_class: BTreeMap<u32, f64>,
}

impl<'a> Votes<'a> {
    pub(super) fn new(nearest: &'a [(f64, usize)], classes: &'a [u32], temperature: f64) -> Self {
        Self {
            nearest,
            classes,
            temperature,
            counted: 0,
            by_class: BTreeMap::new(),
        }
    }

    /// Counts the votes of the `k` nearest; `k` must not fall from call to call.
    pub(super) fn count_to(&mut self, k: usize) -> &Self {
        // All weights of an image share the factor exp(-best / temperature), which changes no
        // order and keeps the exponential from overflowing at low temperatures.
        let best = self.nearest[0].0;
        for &(similarity, index) in &self.nearest[self.counted..k] {
            let weight = ((similarity - best) / self.temperature).exp();
            *self.by_class.entry(self.classes[index]).or_insert(0.0) += weight;
        }
        self.counted = k;
        self
    }

    /// How many classes come before `class`; `None` if it has no vote.
    pub(super) fn place(&self, class: u32) -> Option<usize> {
        let own = *self.by_class.get(&class)?;
        let before =
            |&(&other, &votes): &(&u32, &f64)| votes > own || (votes == own && other < class);
        Some(self.by_class.iter().filter(before).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide_and_grow_with_k() {
        let nearest = [(0.9, 0), (0.8, 1), (0.8, 2), (-1.0, 3)];
        let classes = [4, 2, 2, 0];
        // exp(0.1 / 0.2) is less than two votes of weight 1, exp(0.1 / 0.1) is more.
        for (temperature, place) in [(0.2, 1), (0.1, 0)] {
            let mut votes = Votes::new(&nearest, &classes, temperature);
            assert_eq!(votes.count_to(1).place(4), Some(0));
            assert_eq!(votes.count_to(1).place(2), None);
            assert_eq!(votes.count_to(4).place(4), Some(place));
            assert_eq!(votes.place(0), Some(2));
            assert_eq!(votes.place(9), None);
        }
    }

    #[test]
    fn equal_votes_go_to_the_lower_class_even_at_extreme_temperatures() {
        let nearest = [(0.5, 0), (0.5, 1)];
        for temperature in [1e-300, 1.0, 1e300] {
            let mut votes = Votes::new(&nearest, &[7, 3], temperature);
            assert_eq!(votes.count_to(2).place(3), Some(0));
            assert_eq!(votes.place(7), Some(1));
        }
    }
}
