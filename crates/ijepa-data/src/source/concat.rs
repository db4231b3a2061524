//! Several sources as one.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::depth::Depth;
use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::mask::Mask;
use crate::order::Layout;
use crate::source::Source;

/// The images of several sources, one after the other.
///
/// If all of them name their classes, the classes are those of all, in byte-wise order; those of
/// one source stay apart, also where two have the same name. If none does, labels are numbers and
/// stay as they are. Parts without a single label have none; if others of them name no classes
/// either, but have labels, there are no labels at all.
///
/// # Examples
///
/// ```
/// use ijepa_data::{ConcatSource, DataSpec, Source};
///
/// let open = |spec: &str| spec.parse::<DataSpec>()?.open();
/// let both = ConcatSource::new(vec![open("scenes:n=3")?, open("scenes:n=4,seed=1")?]);
/// assert_eq!(both.len(), 7);
/// assert!(both.name(3).ends_with("seed=1#0"));
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct ConcatSource {
    parts: Vec<Part>,
    classes: Vec<String>,
    labels: Labels,
}

#[derive(Debug)]
struct Part {
    source: Arc<dyn Source>,
    /// The number of its first image.
    first: usize,
    /// The number of each of its classes among those of all.
    classes: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Labels {
    ByName,
    ByNumber,
    None,
}

/// A name, and how many classes before it have the same one.
type Class = (String, usize);

/// The names of classes, each with the number of those before it that are the same, so that no two
/// are: ImageNet has two kinds of cranes.
pub fn distinct_classes(names: &[String]) -> Vec<(String, usize)> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut classes = Vec::new();
    for name in names {
        let before = seen.entry(name).or_default();
        classes.push((name.clone(), *before));
        *before += 1;
    }
    classes
}

/// The classes of all parts in their order if all that have some have the same, else in the
/// byte-wise order of their names.
fn together(parts: &[Vec<Class>]) -> Vec<&Class> {
    let mut named = parts.iter().filter(|classes| !classes.is_empty());
    match named.next() {
        Some(first) if named.all(|classes| classes == first) => first.iter().collect(),
        _ => {
            let all: BTreeSet<&Class> = parts.iter().flatten().collect();
            all.into_iter().collect()
        }
    }
}

impl ConcatSource {
    /// Puts `sources` in a row.
    pub fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        let has_names = |source: &Arc<dyn Source>| !source.classes().is_empty();
        let has_labels = |source: &Arc<dyn Source>| {
            let mut labels = (0..source.len()).map(|index| source.label(index));
            labels.any(|label| label.is_some())
        };
        let labels = if !sources.iter().any(has_names) {
            Labels::ByNumber
        } else if sources.iter().all(|it| has_names(it) || !has_labels(it)) {
            Labels::ByName
        } else {
            Labels::None
        };
        let names = sources
            .iter()
            .map(|source| distinct_classes(source.classes()));
        let names: Vec<Vec<Class>> = names.collect();
        let known = match labels {
            Labels::ByName => together(&names),
            Labels::ByNumber | Labels::None => Vec::new(),
        };
        let numbers = known.iter().zip(0..);
        let numbers: HashMap<&Class, u32> =
            numbers.map(|(&class, number)| (class, number)).collect();
        let mut first = 0;
        let part = |(source, names): (Arc<dyn Source>, &Vec<Class>)| {
            let number = |class| numbers.get(class).copied().unwrap_or_default();
            let part = Part {
                first,
                classes: names.iter().map(number).collect(),
                source,
            };
            first += part.source.len();
            part
        };
        Self {
            parts: sources.into_iter().zip(&names).map(part).collect(),
            classes: known.into_iter().map(|(name, _)| name.clone()).collect(),
            labels,
        }
    }

    /// The part that has image `index`, and the image's number there.
    fn locate(&self, index: usize) -> (&Part, usize) {
        assert!(index < self.len(), "image {index} of {}", self.len());
        let after = self.parts.partition_point(|part| part.first <= index);
        let part = &self.parts[after - 1];
        (part, index - part.first)
    }
}

impl Source for ConcatSource {
    fn len(&self) -> usize {
        let last = self.parts.last();
        last.map_or(0, |part| part.first + part.source.len())
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (part, index) = self.locate(index);
        let label = part.source.label(index)?;
        match self.labels {
            Labels::ByName => part.classes.get(label as usize).copied(),
            Labels::ByNumber => Some(label),
            Labels::None => None,
        }
    }

    fn name(&self, index: usize) -> String {
        let (part, index) = self.locate(index);
        part.source.name(index)
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        let (part, index) = self.locate(index);
        part.source.file(index)
    }

    fn is_computed(&self) -> bool {
        self.parts.iter().all(|part| part.source.is_computed())
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let (part, index) = self.locate(index);
        part.source.fetch(index, buffer)
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        let (part, index) = self.locate(index);
        part.source.mask(index)
    }

    fn depth(&self, index: usize) -> Result<Option<Depth>, DataError> {
        let (part, index) = self.locate(index);
        part.source.depth(index)
    }

    fn layout(&self) -> Layout {
        let parts = self.parts.iter().map(|part| part.source.layout());
        Layout::Parts(parts.collect())
    }

    fn label_advice(&self) -> &'static str {
        let first = self.parts.first();
        first.map_or("", |part| part.source.label_advice())
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn faults(&self) -> Vec<String> {
        let parts = self.parts.iter();
        parts.flat_map(|part| part.source.faults()).collect()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .parts
            .iter()
            .flat_map(|part| part.source.notes())
            .collect();
        if self.labels == Labels::None {
            let note = "labels are left out, since only some of the parts name their classes";
            notes.push(note.to_owned());
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::listed::Listed;
    use crate::source::{ListedSource, ScenesConfig, ScenesSource};

    #[test]
    fn images_without_labels_leave_others_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("0.png");
        std::fs::write(&image, []).unwrap();
        let scenes = "n=3,size=8".parse::<ScenesConfig>().unwrap();
        let labelled: Arc<dyn Source> = Arc::new(ScenesSource::new(scenes));
        let bare: Arc<dyn Source> = Arc::new(ListedSource::files([image]));
        let all = ConcatSource::new(vec![bare, Arc::clone(&labelled)]);
        assert_eq!(all.classes().len(), labelled.classes().len());
        let name = |label: u32, source: &dyn Source| source.classes()[label as usize].clone();
        assert_eq!(all.label(0), None);
        for index in 0..3 {
            let found = name(all.label(index + 1).unwrap(), &all);
            assert_eq!(
                found,
                name(labelled.label(index).unwrap(), labelled.as_ref())
            );
        }
        assert!(all.notes().is_empty());

        let numbered = ConcatSource::new(vec![labelled, Arc::new(Numbered)]);
        assert_eq!((numbered.label(0), numbered.label(3)), (None, None));
        assert!(numbered.notes()[0].starts_with("labels are left out"));
    }

    /// An image with a label that has no name.
    #[derive(Debug)]
    struct Numbered;

    impl Source for Numbered {
        fn len(&self) -> usize {
            1
        }

        fn label(&self, _: usize) -> Option<u32> {
            Some(3)
        }

        fn name(&self, _: usize) -> String {
            "it".to_owned()
        }

        fn fetch(&self, _: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
            unreachable!("nobody asks for it")
        }
    }

    /// ImageNet has two classes called crane, and two called maillot.
    #[test]
    fn classes_of_one_name_stay_apart() {
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str, classes: &[&str]| -> Arc<dyn Source> {
            let list = folder.path().join(name);
            let labels = 0..classes.len() as u32;
            let files = labels.map(|label| Listed::new(format!("{label}.png"), Some(label)));
            std::fs::write(folder.path().join("0.png"), []).unwrap();
            let classes = classes.iter().map(|&class| class.to_owned()).collect();
            let roots = [folder.path().to_owned()];
            Arc::new(ListedSource::new(&list, &roots, files.collect(), classes).unwrap())
        };
        let two_cranes = ["crane", "bus", "crane"];
        let parts = vec![
            part("a", &two_cranes),
            part("b", &["crane", "dog"]),
            part("c", &two_cranes),
        ];
        let all = ConcatSource::new(parts);
        assert_eq!(all.classes(), ["bus", "crane", "crane", "dog"]);
        let labels: Vec<_> = (0..8).map(|index| all.label(index).unwrap()).collect();
        assert_eq!(labels, [1, 0, 2, 1, 3, 1, 0, 2]);
    }

    /// Parts of one data set are as it is: classes that are numbers are in the order of those.
    #[test]
    fn parts_of_the_same_classes_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str, classes: &[&str]| -> Arc<dyn Source> {
            let list = folder.path().join(name);
            let lines = classes.iter().map(|class| format!("0.png\t{class}\n"));
            std::fs::write(folder.path().join("0.png"), []).unwrap();
            std::fs::write(&list, lines.collect::<String>()).unwrap();
            let spec = format!("list:{}", list.display());
            spec.parse::<crate::DataSpec>().unwrap().open().unwrap()
        };
        let same = || part("a", &["3", "10", "9"]);
        let both = ConcatSource::new(vec![same(), part("b", &["10", "9", "3"])]);
        assert_eq!(both.classes(), same().classes());
        assert_eq!(both.classes(), ["3", "9", "10"]);
        assert_eq!((both.label(1), both.label(3)), (Some(2), Some(2)));
        let other = ConcatSource::new(vec![same(), part("c", &["9"])]);
        assert_eq!(other.classes(), ["10", "3", "9"]);
        assert_eq!((other.label(0), other.label(3)), (Some(1), Some(2)));
    }

    #[test]
    fn masks_and_depths_are_those_of_the_parts() {
        let part = |config: &str| -> Arc<dyn Source> {
            Arc::new(ScenesSource::new(config.parse::<ScenesConfig>().unwrap()))
        };
        let specs = ["kind=texture,n=2,size=16", "kind=count,n=2,size=16"];
        let both = ConcatSource::new(specs.map(part).into());
        let [first, second] = specs.map(part);
        assert_eq!(both.mask(1).unwrap(), first.mask(1).unwrap());
        assert_eq!(both.mask(3).unwrap(), second.mask(1).unwrap());
        assert_eq!(both.depth(1).unwrap(), None);
        assert_eq!(both.depth(3).unwrap(), second.depth(1).unwrap());
        assert!(both.depth(3).unwrap().is_some() && both.mask(1).unwrap().is_some());
    }
}
