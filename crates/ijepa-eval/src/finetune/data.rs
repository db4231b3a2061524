//! Labelled images to train on and to judge by.

use std::sync::Arc;

use ijepa_data::Source;

use super::FinetuneError;

/// Two sets of images with the same classes.
#[derive(Debug, Clone)]
pub struct FinetuneData {
    train: Arc<dyn Source>,
    test: Arc<dyn Source>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl FinetuneData {
    /// Checks that every image has a label and that both sets mean the same by it.
    ///
    /// Classes without names are called by their number.
    ///
    /// # Errors
    ///
    /// [`FinetuneError::Unlabelled`], [`FinetuneError::FewerImages`] than classes,
    /// [`FinetuneError::OtherClasses`] or [`FinetuneError::UnknownClass`].
    pub fn new(train: Arc<dyn Source>, test: Arc<dyn Source>) -> Result<Self, FinetuneError> {
        let labels = labels("training", train.as_ref())?;
        let test_labels = self::labels("test", test.as_ref())?;
        let named = train.classes().len();
        let count = match named {
            0 => labels.iter().max().map_or(0, |&most| most as usize + 1),
            _ => named,
        };
        if labels.len() < count {
            return Err(FinetuneError::FewerImages {
                images: labels.len(),
                classes: count,
            });
        }
        same_classes(train.classes(), test.classes())?;
        all_below(count, "training", &labels, train.as_ref())?;
        all_below(count, "test", &test_labels, test.as_ref())?;
        let classes = match named {
            0 => (0..count).map(|class| class.to_string()).collect(),
            _ => train.classes().to_vec(),
        };
        Ok(Self {
            train,
            test,
            labels,
            classes,
        })
    }

    /// Images to train on.
    pub fn train(&self) -> &Arc<dyn Source> {
        &self.train
    }

    /// Images to judge by.
    pub fn test(&self) -> &Arc<dyn Source> {
        &self.test
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of a training image.
    pub(crate) fn label(&self, index: u32) -> u32 {
        self.labels[index as usize]
    }
}

fn labels(set: &'static str, source: &dyn Source) -> Result<Vec<u32>, FinetuneError> {
    let label = |index| {
        let unlabelled = || FinetuneError::Unlabelled {
            set,
            name: source.name(index),
            advice: source.label_advice(),
        };
        source.label(index).ok_or_else(unlabelled)
    };
    (0..source.len()).map(label).collect()
}

/// Checks that every label is that of a class.
fn all_below(
    classes: usize,
    set: &'static str,
    labels: &[u32],
    source: &dyn Source,
) -> Result<(), FinetuneError> {
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(index) => Err(FinetuneError::UnknownClass {
            set,
            name: source.name(index),
            label: labels[index],
            classes,
        }),
        None => Ok(()),
    }
}

/// Sets that name their classes must name the same ones.
fn same_classes(train: &[String], test: &[String]) -> Result<(), FinetuneError> {
    if train.is_empty() || test.is_empty() || train == test {
        return Ok(());
    }
    let only_in = |a: &[String], b: &[String]| a.iter().find(|name| !b.contains(name)).cloned();
    Err(FinetuneError::OtherClasses {
        train: train.len(),
        test: test.len(),
        only_in_train: only_in(train, test),
        only_in_test: only_in(test, train),
    })
}
