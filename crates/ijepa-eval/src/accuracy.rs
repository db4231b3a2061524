//! How many images are classified correctly.

use std::ops::Add;

use serde::Serialize;

/// Places counted by top-5 accuracy.
const TOP: usize = 5;

/// Share of test images that are classified correctly, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// The first class is right.
    pub top1: f64,
    /// One of the first five classes is right.
    pub top5: f64,
}

/// Images counted so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hits {
    images: usize,
    placed: usize,
    first: usize,
    among_five: usize,
}

impl Hits {
    /// Counts an image whose class has `place` classes before it, or none at all.
    pub(crate) fn count(&mut self, place: Option<usize>) {
        self.images += 1;
        self.placed += usize::from(place.is_some());
        self.first += usize::from(place == Some(0));
        self.among_five += usize::from(place.is_some_and(|place| place < TOP));
    }

    /// One image, as [`count`](Self::count) counts it.
    pub(crate) fn of(place: Option<usize>) -> Self {
        let mut hits = Self::default();
        hits.count(place);
        hits
    }

    /// Whether the class of every image had a place.
    pub(crate) fn all_placed(self) -> bool {
        self.placed == self.images
    }

    /// The shares; of no image they are not a number.
    pub(crate) fn accuracy(self) -> Accuracy {
        let percent = |count| 100.0 * count as f64 / self.images as f64;
        Accuracy {
            top1: percent(self.first),
            top5: percent(self.among_five),
        }
    }
}

impl Add for Hits {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            images: self.images + other.images,
            placed: self.placed + other.placed,
            first: self.first + other.first,
            among_five: self.among_five + other.among_five,
        }
    }
}

/// Classes before `class` by their logits; of equal ones the lower class is first. `None` if a
/// logit is no number, as those of a diverged head.
pub(crate) fn place(logits: &[f32], class: usize) -> Option<usize> {
    let own = logits[class];
    if logits.iter().any(|logit| !logit.is_finite()) {
        return None;
    }
    let before = |&(other, &logit): &(usize, &f32)| logit > own || (logit == own && other < class);
    Some(logits.iter().enumerate().filter(before).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_class_and_diverged_heads_are_wrong() {
        let logits = [0.5, 2.0, 0.5, -1.0];
        let places = [0, 1, 2, 3].map(|class| place(&logits, class));
        assert_eq!(places, [Some(1), Some(0), Some(2), Some(3)]);
        assert_eq!(place(&[f32::NAN, 0.0], 1), None);
        assert_eq!(place(&[0.0, f32::INFINITY], 1), None);
    }

    #[test]
    fn the_five_first_places_count() {
        let mut hits = Hits::default();
        for place in [Some(0), Some(4), Some(5), None] {
            hits.count(place);
        }
        let expected = Accuracy {
            top1: 25.0,
            top5: 50.0,
        };
        assert_eq!(hits.accuracy(), expected);
    }
}
