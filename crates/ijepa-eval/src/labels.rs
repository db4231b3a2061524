//! Classes of two sets of images that belong together.

use std::collections::BTreeSet;
use std::fmt;

use ijepa_data::Source;

use crate::features::Features;

/// One of the two sets of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The images that teach.
    Train,
    /// The images that are classified.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "training",
            Self::Test => "test",
        })
    }
}

/// Labels that nothing can be learned from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// Images without a class.
    #[error("{count} of {images} {split} images have no label, the first is image {first}")]
    Unlabelled {
        /// The set.
        split: Split,
        /// Position of the first in the set.
        first: usize,
        /// Images without a label.
        count: usize,
        /// Images of the set.
        images: usize,
    },
    /// Not one image a class.
    #[error("{images} training images for {classes} classes, expected at least one a class")]
    FewerImages {
        /// Training images.
        images: usize,
        /// The largest label plus one.
        classes: usize,
    },
    /// A test image of a class without a training image.
    #[error("test image {image} has label {label}, which no training image has")]
    UnknownClass {
        /// Position of the image in its set.
        image: usize,
        /// Its label.
        label: u32,
    },
    /// Sets whose labels mean different things.
    #[error("class {class} is {train} in the training data and {test} in the test data")]
    ClassNames {
        /// The first label that differs.
        class: usize,
        /// Its name in the training data.
        train: String,
        /// Its name in the test data.
        test: String,
    },
}

/// Labels of training and test images, all below `classes`.
#[derive(Debug, Clone)]
pub(crate) struct Classes {
    pub(crate) train: Vec<u32>,
    pub(crate) test: Vec<u32>,
    pub(crate) classes: usize,
}

impl Classes {
    /// Checks that every test image has a class that training images show.
    pub(crate) fn of(train: &[Option<u32>], test: &Features) -> Result<Self, LabelsError> {
        let train = all_known(train, Split::Train)?;
        let test = all_known(test.labels(), Split::Test)?;
        let seen: BTreeSet<u32> = train.iter().copied().collect();
        let classes = seen.last().map_or(0, |&most| most as usize + 1);
        if classes > train.len() {
            return Err(LabelsError::FewerImages {
                images: train.len(),
                classes,
            });
        }
        match test.iter().position(|label| !seen.contains(label)) {
            Some(image) => Err(LabelsError::UnknownClass {
                image,
                label: test[image],
            }),
            None => Ok(Self {
                train,
                test,
                classes,
            }),
        }
    }
}

/// Every label of a set.
pub(crate) fn all_known(labels: &[Option<u32>], split: Split) -> Result<Vec<u32>, LabelsError> {
    let unknown = || LabelsError::Unlabelled {
        split,
        first: labels.iter().position(Option::is_none).unwrap_or(0),
        count: labels.iter().filter(|label| label.is_none()).count(),
        images: labels.len(),
    };
    let known: Option<Vec<u32>> = labels.iter().copied().collect();
    known.ok_or_else(unknown)
}

/// Checks that labels mean the same in two sources, as far as these name their classes.
///
/// # Errors
///
/// [`LabelsError::ClassNames`] with the first class that differs.
pub fn check_class_names(train: &dyn Source, test: &dyn Source) -> Result<(), LabelsError> {
    let (train, test) = (train.classes(), test.classes());
    if train.is_empty() || test.is_empty() || train == test {
        return Ok(());
    }
    let name = |names: &[String], class: usize| match names.get(class) {
        Some(name) => format!("`{name}`"),
        None => "missing".to_owned(),
    };
    let differs = |&class: &usize| train.get(class) != test.get(class);
    let most = train.len().max(test.len());
    match (0..most).find(differs) {
        Some(class) => Err(LabelsError::ClassNames {
            class,
            train: name(train, class),
            test: name(test, class),
        }),
        None => Ok(()),
    }
}
