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
        let classes = match train.classes() {
            [] => (0..labels.iter().max().map_or(0, |most| most + 1))
                .map(|class| class.to_string())
                .collect(),
            names => names.to_vec(),
        };
        if labels.len() < classes.len() {
            return Err(FinetuneError::FewerImages {
                images: labels.len(),
                classes: classes.len(),
            });
        }
        same_classes(train.classes(), test.classes())?;
        let unknown = |&(_, &label): &(usize, &u32)| label as usize >= classes.len();
        if let Some((index, &label)) = test_labels.iter().enumerate().find(unknown) {
            return Err(FinetuneError::UnknownClass {
                name: test.name(index),
                label,
                classes: classes.len(),
            });
        }
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
        };
        source.label(index).ok_or_else(unlabelled)
    };
    (0..source.len()).map(label).collect()
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
