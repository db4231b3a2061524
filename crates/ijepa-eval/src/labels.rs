//! Classes of two sets of images that belong together.

mod by_name;

use std::collections::BTreeSet;
use std::fmt;

use ijepa_data::Source;

pub(crate) use by_name::numbers_by_name;
pub use by_name::with_classes_of;

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
    #[error("{count} of {images} {split} images have no label, the first is {first}{}", advised(.advice))]
    Unlabelled {
        /// The set.
        split: Split,
        /// The first of them: its name, or its position where features have no names.
        first: String,
        /// Images without a label.
        count: usize,
        /// Images of the set.
        images: usize,
        /// What the source says that labels need, [`Source::label_advice`].
        advice: &'static str,
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
    #[error("test {image} has label {label}, which no training image has")]
    UnknownClass {
        /// Its name, or its position where features have no names.
        image: String,
        /// Its label.
        label: u32,
    },
    /// An image of a class that its data does not name.
    #[error(
        "{split} {image} has label {label}, expected less than the {classes} classes that the data names"
    )]
    Nameless {
        /// The set.
        split: Split,
        /// Its name.
        image: String,
        /// Its label.
        label: u32,
        /// Classes of the set.
        classes: usize,
    },
    /// An image of a class that a classifier does not know.
    #[error(
        "{image} has label {label}, expected less than the {classes} classes of the classifier"
    )]
    Unclassified {
        /// Its name.
        image: String,
        /// Its label.
        label: u32,
        /// Classes of the classifier.
        classes: usize,
    },
    /// Classes of test images that no training image could teach.
    #[error(
        "{} of the {classes} classes of the test data {} none of the training data: {}; leave their \
         images out, or learn from some",
        unknown.len(),
        if unknown.len() == 1 { "is" } else { "are" },
        by_name::some(unknown)
    )]
    UnknownNames {
        /// Their names.
        unknown: Vec<String>,
        /// Classes of the test data.
        classes: usize,
    },
    /// A class of test images that may be one or another of the training images.
    #[error(
        "`{name}` names {train} classes of the training data and {test} of the test data, so which of \
         them is meant is not known"
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// Classes of the training data with it.
        train: usize,
        /// Classes of the test data with it.
        test: usize,
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

/// Advice behind a message, if there is any.
fn advised(advice: &str) -> String {
    match advice {
        "" => String::new(),
        advice => format!("; {advice}"),
    }
}

/// Labels of training and test images, all below `classes`.
#[derive(Debug, Clone)]
pub(crate) struct Classes {
    pub(crate) train: Vec<u32>,
    pub(crate) test: Vec<u32>,
    pub(crate) classes: usize,
}

impl Classes {
    /// Checks that every stored test image has a class that training images show.
    pub(crate) fn of(train: &[Option<u32>], test: &[Option<u32>]) -> Result<Self, LabelsError> {
        let train = all_known(train, Split::Train)?;
        Self::shown(train, all_known(test, Split::Test)?, numbered)
    }

    /// The same of images that teach and stored ones.
    pub(crate) fn taught(train: &dyn Source, test: &[Option<u32>]) -> Result<Self, LabelsError> {
        let train = labels_of(train, Split::Train)?;
        Self::shown(train, all_known(test, Split::Test)?, numbered)
    }

    /// The same of images, whose names are told.
    pub(crate) fn between(train: &dyn Source, test: &dyn Source) -> Result<Self, LabelsError> {
        check_class_names(train.classes(), test.classes())?;
        let labels = labels_of(train, Split::Train)?;
        let name = |image| named(test, image);
        Self::shown(labels, labels_of(test, Split::Test)?, name)
    }

    /// Checks that test labels are among those of training; `name` calls a test image.
    fn shown(
        train: Vec<u32>,
        test: Vec<u32>,
        name: impl Fn(usize) -> String,
    ) -> Result<Self, LabelsError> {
        let seen: BTreeSet<u32> = train.iter().copied().collect();
        let classes = classes_of(&train)?;
        match test.iter().position(|label| !seen.contains(label)) {
            Some(image) => Err(LabelsError::UnknownClass {
                image: name(image),
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

/// The number of classes of training images, which are at least as many.
pub(crate) fn classes_of(labels: &[u32]) -> Result<usize, LabelsError> {
    let classes = labels.iter().max().map_or(0, |&most| most as usize + 1);
    let images = labels.len();
    if classes > images {
        return Err(LabelsError::FewerImages { images, classes });
    }
    Ok(classes)
}

/// Every label of stored features.
pub(crate) fn all_known(labels: &[Option<u32>], split: Split) -> Result<Vec<u32>, LabelsError> {
    known(labels, split, numbered, "")
}

/// The label of every image of a source, each of a class that it names if it names any.
pub(crate) fn labels_of(source: &dyn Source, split: Split) -> Result<Vec<u32>, LabelsError> {
    let labels: Vec<_> = (0..source.len()).map(|image| source.label(image)).collect();
    let name = |image| named(source, image);
    let labels = known(&labels, split, name, source.label_advice())?;
    let classes = source.classes().len();
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(image) if classes > 0 => Err(LabelsError::Nameless {
            split,
            image: named(source, image),
            label: labels[image],
            classes,
        }),
        _ => Ok(labels),
    }
}

/// Checks that a classifier of so many classes can be judged by the images that have labels, and that
/// some have.
pub(crate) fn check_classified(source: &dyn Source, classes: usize) -> Result<(), LabelsError> {
    let mut labels = (0..source.len()).map(|image| (image, source.label(image)));
    if labels.clone().all(|(_, label)| label.is_none()) {
        return labels_of(source, Split::Test).map(|_| ());
    }
    let beyond = labels.find_map(|(image, label)| {
        let label = label.filter(|&label| label as usize >= classes)?;
        let image = named(source, image);
        Some(LabelsError::Unclassified {
            image,
            label,
            classes,
        })
    });
    beyond.map_or(Ok(()), Err)
}

fn known(
    labels: &[Option<u32>],
    split: Split,
    name: impl Fn(usize) -> String,
    advice: &'static str,
) -> Result<Vec<u32>, LabelsError> {
    let unknown = || LabelsError::Unlabelled {
        split,
        first: name(labels.iter().position(Option::is_none).unwrap_or(0)),
        count: labels.iter().filter(|label| label.is_none()).count(),
        images: labels.len(),
        advice,
    };
    let known: Option<Vec<u32>> = labels.iter().copied().collect();
    known.ok_or_else(unknown)
}

/// What an image without a name is called.
pub(crate) fn numbered(image: usize) -> String {
    format!("image {image}")
}

fn named(source: &dyn Source, image: usize) -> String {
    format!("image `{}`", source.name(image))
}

/// Checks before anything is computed that heads can learn from images and be tested on others:
/// all have labels, which mean the same and are known to the images that teach.
///
/// # Errors
///
/// Any [`LabelsError`].
pub fn check_labels(train: &dyn Source, test: &dyn Source) -> Result<(), LabelsError> {
    Classes::between(train, test).map(|_| ())
}

/// Checks before anything is computed that images can vote on others: all have labels, which mean
/// the same. Neighbours need not know every class.
///
/// # Errors
///
/// [`LabelsError::ClassNames`], [`LabelsError::Unlabelled`] or [`LabelsError::Nameless`].
pub fn check_voters(train: &dyn Source, test: &dyn Source) -> Result<(), LabelsError> {
    check_class_names(train.classes(), test.classes())?;
    labels_of(train, Split::Train)?;
    labels_of(test, Split::Test).map(|_| ())
}

/// Checks that labels mean the same in two sets, as far as both name their classes, by label;
/// [`with_classes_of`] makes them mean the same.
fn check_class_names(train: &[String], test: &[String]) -> Result<(), LabelsError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_no_class_number_is_refused_before_classes_are_counted() {
        assert_eq!(classes_of(&[0, 1, 1]), Ok(2));
        let (images, classes) = (2, 1 << 32);
        let expected = LabelsError::FewerImages { images, classes };
        assert_eq!(classes_of(&[0, u32::MAX]), Err(expected));
    }
}
