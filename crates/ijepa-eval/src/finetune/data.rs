//! Labelled images to train on and to judge by.

use std::sync::Arc;

use ijepa_data::Source;

use crate::labels::{Classes, LabelsError, with_classes_of};

/// Two sets of images with the same classes.
#[derive(Debug, Clone)]
pub struct FinetuneData {
    train: Arc<dyn Source>,
    test: Arc<dyn Source>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl FinetuneData {
    /// Checks that every image has a label and that training images show every class of a test image.
    ///
    /// Test images get the classes of the training images by their names ([`with_classes_of`]).
    /// Classes without names are called by their number.
    ///
    /// # Errors
    ///
    /// Any [`LabelsError`].
    pub fn new(train: Arc<dyn Source>, test: Arc<dyn Source>) -> Result<Self, LabelsError> {
        let test = with_classes_of(train.as_ref(), test)?;
        let known = Classes::between(train.as_ref(), test.as_ref())?;
        let classes = match train.classes() {
            [] => (0..known.classes).map(|class| class.to_string()).collect(),
            names => names.to_vec(),
        };
        Ok(Self {
            train,
            test,
            labels: known.train,
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
