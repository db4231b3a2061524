//! Test images whose classes have the numbers of training images.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use ijepa_data::{DataError, Depth, FetchError, Fetched, Layout, Mask, Source, distinct_classes};

use super::{LabelsError, Split, labels_of};

/// Unknown classes that are written out.
const NAMED: usize = 5;

/// The images of `test` with the classes of `train`, found by their names: test images need not show
/// all of them, and may have them in another order. Sets of which one names no classes stay as they
/// are. Of classes with one name the first is the first in both, and so on.
///
/// # Errors
///
/// [`LabelsError::UnknownNames`] if `train` has not all of its classes, [`LabelsError::Ambiguous`] if
/// both have a name but not equally often; if numbers change, [`LabelsError::Unlabelled`] and
/// [`LabelsError::Nameless`].
pub fn with_classes_of(
    train: &dyn Source,
    test: Arc<dyn Source>,
) -> Result<Arc<dyn Source>, LabelsError> {
    let Some(numbers) = numbers_by_name(train.classes(), test.classes())? else {
        return Ok(test);
    };
    let labels = labels_of(test.as_ref(), Split::Test)?.into_iter();
    Ok(Arc::new(Renumbered {
        labels: labels.map(|label| numbers[label as usize]).collect(),
        classes: train.classes().to_vec(),
        source: test,
    }))
}

/// The number in `train` of each class of `test`; none if they have the same names in the same order
/// or one has no names.
pub(crate) fn numbers_by_name(
    train: &[String],
    test: &[String],
) -> Result<Option<Vec<u32>>, LabelsError> {
    if train.is_empty() || test.is_empty() || train == test {
        return Ok(None);
    }
    let [in_train, in_test] = [train, test].map(occurrences);
    let unknown = test.iter().filter(|name| !in_train.contains_key(name));
    let unknown: Vec<String> = unknown.cloned().collect();
    if !unknown.is_empty() {
        return Err(LabelsError::UnknownNames {
            unknown,
            classes: test.len(),
        });
    }
    if let Some(name) = test.iter().find(|name| in_train[name] != in_test[name]) {
        return Err(LabelsError::Ambiguous {
            name: name.clone(),
            train: in_train[name],
            test: in_test[name],
        });
    }
    let numbers = distinct_classes(train).into_iter().zip(0..);
    let numbers: HashMap<(String, usize), u32> = numbers.collect();
    let test = distinct_classes(test).into_iter();
    Ok(Some(test.map(|class| numbers[&class]).collect()))
}

/// How often each name stands among `names`.
fn occurrences(names: &[String]) -> HashMap<&String, usize> {
    let mut count = HashMap::new();
    for name in names {
        *count.entry(name).or_default() += 1;
    }
    count
}

/// Names in words, of many the first.
pub(super) fn some(names: &[String]) -> String {
    let first = names.iter().take(NAMED);
    let first: Vec<String> = first.map(|name| format!("`{name}`")).collect();
    let more = if names.len() > NAMED { ", ..." } else { "" };
    format!("{}{more}", first.join(", "))
}

/// Images whose classes have other numbers.
#[derive(Debug)]
struct Renumbered {
    source: Arc<dyn Source>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl Source for Renumbered {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(self.labels[index])
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        self.source.file(index)
    }

    fn is_computed(&self) -> bool {
        self.source.is_computed()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        self.source.fetch(index, buffer)
    }

    fn layout(&self) -> Layout {
        self.source.layout()
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        self.source.mask(index)
    }

    fn depth(&self, index: usize) -> Result<Option<Depth>, DataError> {
        self.source.depth(index)
    }

    fn label_advice(&self) -> &'static str {
        self.source.label_advice()
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn faults(&self) -> Vec<String> {
        self.source.faults()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn classes_are_found_by_name_where_their_order_or_number_differs() {
        let train = names(&["1", "2", "10"]);
        let found = |test: &[&str]| numbers_by_name(&train, &names(test));
        assert_eq!(found(&["1", "10", "2"]), Ok(Some(vec![0, 2, 1])));
        assert_eq!(found(&["10"]), Ok(Some(vec![2])));
        assert_eq!(found(&["1", "2", "10"]), Ok(None));
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(numbers_by_name(&[], &train), Ok(None));
        let twice = names(&["crane", "dog", "crane"]);
        let found = numbers_by_name(&twice, &names(&["dog", "cat", "crane"]));
        let message = "1 of the 3 classes of the test data is none of the training data: `cat`";
        assert!(found.unwrap_err().to_string().starts_with(message));
        let found = numbers_by_name(&twice, &names(&["crane", "crane", "dog"]));
        assert_eq!(found, Ok(Some(vec![0, 2, 1])));
        let found = numbers_by_name(&twice, &names(&["crane", "dog"]));
        let message = "`crane` names 2 classes of the training data and 1 of the test data";
        assert!(found.unwrap_err().to_string().starts_with(message));
    }
}
