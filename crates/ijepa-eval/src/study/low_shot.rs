//! The few labels of low-shot evaluation.

use std::sync::Arc;

use ijepa_data::{Source, epoch_order};

use crate::{
    labels::{LabelsError, Split, classes_of, labels_of},
    subset::Subset,
};

/// Labels of a class below which a share of them is no longer taken at its word.
const FEWEST: usize = 5;

/// How many labels low-shot evaluation uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Labels {
    /// This share of the images of each class, but at least five a class.
    Fraction(f64),
    /// As many of each class, as far as it has them.
    PerClass(usize),
}

impl Labels {
    fn of_class(self, images: usize) -> usize {
        match self {
            Self::Fraction(share) => {
                let wanted = (share * images as f64).round() as usize;
                wanted.max(FEWEST).min(images)
            }
            Self::PerClass(wanted) => wanted.min(images),
        }
    }
}

/// The chosen images.
#[derive(Debug, Clone)]
pub(super) struct LowShot {
    pub(super) source: Arc<dyn Source>,
    /// Labels of the class with the fewest and of that with the most.
    pub(super) per_class: [usize; 2],
}

impl LowShot {
    /// The first images of each class in an order that depends on the number of images alone, so
    /// all seeds and all tables use the same ones.
    pub(super) fn choose(source: &Arc<dyn Source>, labels: Labels) -> Result<Self, LabelsError> {
        let classes = labels_of(source.as_ref(), Split::Train)?;
        let mut images = vec![0; classes_of(&classes)?];
        for &class in &classes {
            images[class as usize] += 1;
        }
        let wanted: Vec<usize> = images.iter().map(|&n| labels.of_class(n)).collect();
        let mut left = wanted.clone();
        let mut chosen = epoch_order(0, 0, classes.len());
        chosen.retain(|&image| {
            let left = &mut left[classes[image as usize] as usize];
            let taken = *left > 0;
            *left -= usize::from(taken);
            taken
        });
        chosen.sort_unstable();
        let shown = wanted.iter().copied().filter(|&labels| labels > 0);
        Ok(Self {
            source: Arc::new(Subset::new(Arc::clone(source), chosen)),
            per_class: [shown.clone().min().unwrap_or(0), shown.max().unwrap_or(0)],
        })
    }
}

#[cfg(test)]
mod tests {
    use ijepa_data::{DataError, FetchError, Fetched};

    use super::*;

    /// Images whose class is a function of their number, the first class having most of them.
    #[derive(Debug)]
    struct Made(usize);

    impl Source for Made {
        fn len(&self) -> usize {
            self.0
        }

        fn label(&self, index: usize) -> Option<u32> {
            Some(u32::from(index.is_multiple_of(10)))
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn fetch(&self, index: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
            let name = self.name(index);
            Err(DataError::MissingImage { name }.into())
        }
    }

    fn chosen(labels: Labels) -> (Vec<usize>, [usize; 2]) {
        let source: Arc<dyn Source> = Arc::new(Made(2000));
        let found = LowShot::choose(&source, labels).unwrap();
        let mut counts = vec![0; 2];
        for image in 0..found.source.len() {
            counts[found.source.label(image).unwrap() as usize] += 1;
        }
        (counts, found.per_class)
    }

    #[test]
    fn each_class_keeps_its_share_but_some_labels() {
        assert_eq!(chosen(Labels::Fraction(0.01)), (vec![18, 5], [5, 18]));
        assert_eq!(chosen(Labels::Fraction(0.1)), (vec![180, 20], [20, 180]));
        assert_eq!(chosen(Labels::PerClass(3)), (vec![3, 3], [3, 3]));
        assert_eq!(chosen(Labels::PerClass(900)), (vec![900, 200], [200, 900]));
    }

    #[test]
    fn the_images_are_the_same_each_time_and_not_the_first() {
        let source: Arc<dyn Source> = Arc::new(Made(2000));
        let names = || {
            let found = LowShot::choose(&source, Labels::PerClass(20)).unwrap();
            (0..40)
                .map(|image| found.source.name(image))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(), names());
        let last: usize = names().last().unwrap().parse().unwrap();
        assert!(last > 1000, "{last}");
    }
}
