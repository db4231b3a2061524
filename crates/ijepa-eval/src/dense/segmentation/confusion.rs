//! How often a class was taken for another.

use ijepa_data::Mask;

/// Pixels by their class and by the class that was found.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dense) struct Confusion {
    classes: usize,
    /// `[class, found]`, last of each row those of which no class was found.
    pixels: Vec<u64>,
}

impl Confusion {
    pub(super) fn new(classes: usize) -> Self {
        Self {
            classes,
            pixels: vec![0; classes * (classes + 1)],
        }
    }

    /// Counts the pixels of a mask that have a class; the number of classes stands for none found.
    pub(super) fn count(&mut self, mask: &[u8], found: &[usize]) {
        let known = mask.iter().zip(found);
        for (&class, found) in known.filter(|(class, _)| **class != Mask::IGNORED) {
            self.pixels[usize::from(class) * (self.classes + 1) + found] += 1;
        }
    }

    /// Pixels that both are and were found to be of `class`, and those that are either, in all
    /// images.
    fn overlap(&self, class: usize) -> [u64; 2] {
        let width = self.classes + 1;
        let are = &self.pixels[class * width..][..width];
        let (both, are) = (are[class], are.iter().sum::<u64>());
        let found: u64 = self.pixels[class..].iter().step_by(width).sum();
        [both, are + found - both]
    }

    /// Intersection over union of each class, percent; none of a class that does not come up.
    pub(super) fn iou(&self) -> Vec<Option<f64>> {
        let of_class = |class| match self.overlap(class) {
            [_, 0] => None,
            [both, either] => Some(100.0 * both as f64 / either as f64),
        };
        (0..self.classes).map(of_class).collect()
    }

    /// Mean of [`iou`](Self::iou) over the classes that come up, percent.
    pub(super) fn miou(&self) -> f64 {
        let known: Vec<f64> = self.iou().into_iter().flatten().collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
    }

    /// Share of the pixels whose class was found, percent.
    pub(super) fn pixel_accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.overlap(class)[0]).sum();
        100.0 * right as f64 / self.pixels.iter().sum::<u64>().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_the_classes_that_come_up_and_ignored_pixels_count_nowhere() {
        let mut table = Confusion::new(4);
        // Class 0: 2 of 3 + 1 wrong = 2 / 4; class 1: 1 of 2, 1 wrong = 1 / 3; class 2: found
        // once, never there = 0 / 1; class 3 does not come up.
        table.count(&[0, 0, 0, 255], &[0, 0, 1, 3]);
        table.count(&[1, 1, 0], &[1, 0, 2]);
        let expected = [Some(100.0 * 2.0 / 5.0), Some(100.0 / 3.0), Some(0.0), None];
        assert_eq!(table.iou(), expected);
        assert_eq!(table.miou(), (40.0 + 100.0 / 3.0) / 3.0);
        assert_eq!(table.pixel_accuracy(), 50.0);
    }
    #[test]
    fn pixels_of_which_no_class_was_found_are_wrong() {
        let mut table = Confusion::new(2);
        table.count(&[0, 0, 1, 1], &[0, 2, 2, 1]);
        assert_eq!(table.iou(), [Some(50.0), Some(50.0)]);
        assert_eq!(table.pixel_accuracy(), 50.0);
    }
}
