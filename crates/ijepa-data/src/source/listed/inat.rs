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
    file_name: Box<str>,
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
        let bad = |entry, found, expected| DataError::BadEntry {
            path: list.clone(),
            entry,
            found,
            expected,
        };
        let Annotations {
            images,
            annotations,
            mut categories,
        } = read_json(&list)?;

        categories.sort_unstable_by_key(|category| category.id);
        let labels: HashMap<i64, u32> = match categories.is_empty() {
            true => (0..SPECIES)
                .map(|label| (i64::from(label), label))
                .collect(),
            false => categories
                .iter()
                .map(|category| category.id)
                .zip(0..)
                .collect(),
        };
        let classes = match categories.is_empty() {
            true => numbered(SPECIES),
            false => categories
                .into_iter()
                .map(|category| category.name)
                .collect(),
        };

        let mut label_of = HashMap::with_capacity(annotations.len());
        for Annotation {
            image_id,
            category_id,
        } in annotations
        {
            let entry = || format!("annotation of image {image_id}");
            let Some(&label) = labels.get(&category_id) else {
                let found = format!("category {category_id}");
                return Err(bad(entry(), found, "one of the categories"));
            };
            if label_of.insert(image_id, label).is_some() {
                return Err(bad(entry(), "a second one".to_owned(), "one an image"));
            }
        }
        let files = images
            .into_iter()
            .map(|Image { id, file_name }| match label_of.get(&id) {
                Some(&label) => Ok(Listed {
                    name: file_name,
                    label: Some(label),
                }),
                None => Err(bad(
                    format!("image {id}"),
                    "no annotation".to_owned(),
                    "one an image",
                )),
            });
        let files = files.collect::<Result<Vec<_>, _>>()?;
        Self::new(&list, &[folder], files, classes)
    }
}
