//! CLEVR v1.0 with the labels of the VTAB benchmark: how many objects, and how near the nearest.

use std::path::Path;

use serde::Deserialize;

use super::{Listed, ListedSource, read_json};
use crate::error::DataError;
use crate::source::split::folder_and_split;

/// A scene has 3 to 10 objects, hence eight classes.
const COUNTS: std::ops::RangeInclusive<usize> = 3..=10;
/// A scene belongs to the first class whose edge is not below the nearest object's depth.
const DEPTH_EDGES: [f64; 6] = [8.0, 8.5, 9.0, 9.5, 10.0, 100.0];
const DEPTH_CLASSES: [&str; 6] = [
    "to 8",
    "8 to 8.5",
    "8.5 to 9",
    "9 to 9.5",
    "9.5 to 10",
    "over 10",
];

#[derive(Deserialize)]
struct Scenes {
    scenes: Vec<Scene>,
}

#[derive(Deserialize)]
struct Scene {
    image_filename: String,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    /// Column, row, and depth from the camera.
    pixel_coords: [f64; 3],
}

impl ListedSource {
    /// CLEVR v1.0 labelled by the number of objects less three, 8 classes (Clevr/Count).
    ///
    /// `path` is the unpacked folder with `scenes/CLEVR_train_scenes.json` and `images/train`;
    /// with `/val` behind it, the validation images, which the benchmarks test on.
    ///
    /// # Errors
    ///
    /// [`DataError::NoFolder`], [`DataError::NoSplit`], [`DataError::Json`],
    /// [`DataError::BadEntry`] for a scene without 3 to 10 objects, [`DataError::SubsetEmpty`]
    /// or [`DataError::ListedMissing`].
    pub fn clevr_count(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let classes = COUNTS.map(|count| count.to_string()).collect();
        open(path.as_ref(), classes, "3 to 10 objects", |scene| {
            let count = scene.objects.len();
            match COUNTS.contains(&count) {
                true => Ok((count - COUNTS.start()) as u32),
                false => Err(format!("{count} objects")),
            }
        })
    }

    /// CLEVR v1.0 labelled by the depth of the nearest object, 6 classes (Clevr/Dist).
    ///
    /// The depth is the third of an object's `pixel_coords`; the classes end at 8, 8.5, 9, 9.5,
    /// 10 and 100, edges included.
    ///
    /// # Errors
    ///
    /// As [`clevr_count`](Self::clevr_count), for a scene without an object up to a depth of 100.
    pub fn clevr_distance(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let classes = DEPTH_CLASSES.map(str::to_owned).to_vec();
        open(
            path.as_ref(),
            classes,
            "an object at a depth up to 100",
            |scene| {
                let depths = scene.objects.iter().map(|object| object.pixel_coords[2]);
                let nearest = depths.fold(f64::INFINITY, f64::min);
                let label = DEPTH_EDGES.iter().position(|&edge| nearest <= edge);
                match (label, scene.objects.is_empty()) {
                    (Some(label), _) => Ok(label as u32),
                    (None, true) => Err("no object".to_owned()),
                    (None, false) => Err(format!("the nearest one at {nearest}")),
                }
            },
        )
    }
}

/// Lists one split; `label` gives a scene its class or says what is wrong with it.
fn open(
    path: &Path,
    classes: Vec<String>,
    expected: &'static str,
    label: impl Fn(&Scene) -> Result<u32, String>,
) -> Result<ListedSource, DataError> {
    let (folder, split) = folder_and_split(path, &["train", "val"])?;
    let list = folder.join(format!("scenes/CLEVR_{split}_scenes.json"));
    let images = folder.join("images").join(split);
    if !list.is_file() || !images.is_dir() {
        return Err(DataError::NoSplit {
            data: "CLEVR",
            split,
            path: folder,
            expected: format!("scenes/CLEVR_{split}_scenes.json and images/{split}"),
        });
    }
    let Scenes { scenes } = read_json(&list)?;
    let files = scenes.into_iter().map(|scene| match label(&scene) {
        Ok(label) => Ok(Listed::new(scene.image_filename, Some(label))),
        Err(found) => Err(DataError::BadEntry {
            path: list.clone(),
            entry: format!("scene of `{}`", scene.image_filename),
            found,
            expected,
        }),
    });
    let files = files.collect::<Result<Vec<_>, _>>()?;
    ListedSource::new(&list, &[images], files, classes)
}
