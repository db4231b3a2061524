//! iNaturalist 2018 by its COCO-like annotation files.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::{Listed, ListedSource, numbered, read_json};
use crate::error::DataError;
use crate::source::split::folder_and_split;

/// Species of the 2018 competition, numbered from 0.
const SPECIES: u32 = 8142;

#[derive(Deserialize)]
struct Annotations {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    category_id: i64,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

impl ListedSource {
    /// iNaturalist 2018, labelled by species.
    ///
    /// `path` is the folder with `train2018.json` and the images that it names
    /// (`train_val2018/...`); with `/val` behind it, those of `val2018.json`. The label is the
    /// category's place in the order of ids, which is the id itself in the official files.
    ///
    /// # Errors
    ///
    /// [`DataError::NoFolder`], [`DataError::NoSplit`], [`DataError::Json`],
    /// [`DataError::BadEntry`] for an image without exactly one annotation or of an unknown
    /// category, [`DataError::SubsetEmpty`] or [`DataError::ListedMissing`].
    pub fn inat18(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let (folder, split) = folder_and_split(path.as_ref(), &["train", "val"])?;
        let list = folder.join(format!("{split}2018.json"));
        if !list.is_file() {
            return Err(DataError::NoSplit {
                data: "iNaturalist 2018",
                split,
                path: folder,
                expected: format!("{split}2018.json"),
            });
        }
        let read: Annotations = read_json(&list)?;
        let (labels, classes) = species(read.categories);
        let label_of = labels_of(read.annotations, &labels, &list)?;
        let file = |Image { id, file_name }| match label_of.get(&id) {
            Some(&label) => Ok(Listed::new(file_name, Some(label))),
            None => {
                let found = "no annotation".to_owned();
                Err(bad(&list, format!("image {id}"), found, "one an image"))
            }
        };
        let files = read.images.into_iter().map(file);
        let files = files.collect::<Result<Vec<_>, _>>()?;
        Self::new(&list, &[folder], files, classes)
    }
}

/// The label of every category, by its place in the order of ids, and their names.
fn species(mut categories: Vec<Category>) -> (HashMap<i64, u32>, Vec<String>) {
    if categories.is_empty() {
        let labels = (0..SPECIES).map(|label| (i64::from(label), label));
        return (labels.collect(), numbered(SPECIES));
    }
    categories.sort_unstable_by_key(|category| category.id);
    let labels = categories.iter().map(|category| category.id).zip(0..);
    let labels = labels.collect();
    let names = categories.into_iter().map(|category| category.name);
    (labels, names.collect())
}

/// The label of every image that has an annotation.
fn labels_of(
    annotations: Vec<Annotation>,
    labels: &HashMap<i64, u32>,
    list: &Path,
) -> Result<HashMap<i64, u32>, DataError> {
    let mut label_of = HashMap::with_capacity(annotations.len());
    for Annotation {
        image_id,
        category_id,
    } in annotations
    {
        let entry = || format!("annotation of image {image_id}");
        let Some(&label) = labels.get(&category_id) else {
            let found = format!("category {category_id}");
            return Err(bad(list, entry(), found, "one of the categories"));
        };
        if label_of.insert(image_id, label).is_some() {
            let found = "a second one".to_owned();
            return Err(bad(list, entry(), found, "one an image"));
        }
    }
    Ok(label_of)
}

fn bad(list: &Path, entry: String, found: String, expected: &'static str) -> DataError {
    DataError::BadEntry {
        path: list.to_owned(),
        entry,
        found,
        expected,
    }
}
