//! CIFAR-10 in the forms it is usually downloaded in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::image::RgbImage8;
use crate::source::{ParquetSource, Source};

const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
/// A label and three planes: red, green, blue.
const RECORD: usize = 1 + 3 * PLANE;
const EXPECTED: &str = "data_batch_1.bin to data_batch_5.bin (test_batch.bin), or \
                        train-*.parquet (test-*.parquet)";

/// CIFAR-10's training or test images, 32 x 32 pixels in ten classes.
///
/// The folder holds either the files of the binary version (`data_batch_1.bin` ...), directly or
/// in `cifar-10-batches-bin`, or Parquet files of the Hugging Face version (`train-*.parquet`).
/// The binary version is held in memory, 3 KB an image.
#[derive(Debug)]
pub struct CifarSource {
    images: Images,
    classes: Vec<String>,
}

#[derive(Debug)]
enum Images {
    Binary {
        files: Vec<PathBuf>,
        records: Vec<u8>,
        per_file: Vec<usize>,
    },
    Parquet(ParquetSource),
}

impl CifarSource {
    /// Opens the training images in the folder `path`, or those of one split if `path` ends in
    /// `train` or `test` and is no folder itself: `cifar10/test`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoFolder`], [`DataError::NoCifar`], [`DataError::Inconsistent`] for a binary
    /// file of a wrong length or with a label above 9, or an error of [`ParquetSource::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let (folder, split) = match path.file_name().and_then(|name| name.to_str()) {
            Some("test") if !path.is_dir() => (path.parent().unwrap_or(path), "test"),
            Some("train") if !path.is_dir() => (path.parent().unwrap_or(path), "train"),
            _ => (path, "train"),
        };
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        if !folder.is_dir() {
            return Err(DataError::NoFolder {
                path: folder.to_owned(),
            });
        }
        let names: &[&str] = match split {
            "test" => &["test_batch.bin"],
            _ => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
        };
        let classes = CLASSES.map(str::to_owned).to_vec();
        for home in [folder.to_owned(), folder.join("cifar-10-batches-bin")] {
            let files: Vec<PathBuf> = names.iter().map(|name| home.join(name)).collect();
            if files.iter().all(|file| file.is_file()) {
                return Ok(Self {
                    images: binary(files)?,
                    classes,
                });
            }
        }
        match ParquetSource::open(folder.join(format!("{split}-*.parquet"))) {
            Ok(source) => Ok(Self {
                images: Images::Parquet(source),
                classes,
            }),
            Err(DataError::NoMatch { .. }) => Err(DataError::NoCifar {
                path: folder.to_owned(),
                split,
                expected: EXPECTED,
            }),
            Err(other) => Err(other),
        }
    }
}

fn binary(files: Vec<PathBuf>) -> Result<Images, DataError> {
    let (mut records, mut per_file) = (Vec::new(), Vec::new());
    for path in &files {
        let bytes = fs::read(path).map_err(|source| DataError::Read {
            path: path.clone(),
            source,
        })?;
        let wrong = |what, found: usize, expected: usize| DataError::Inconsistent {
            path: path.clone(),
            what,
            found: found as i64,
            expected: expected as i64,
        };
        if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
            let whole = bytes.len().next_multiple_of(RECORD).max(RECORD);
            return Err(wrong("the length in bytes", bytes.len(), whole));
        }
        if let Some(&label) = bytes.iter().step_by(RECORD).find(|&&label| label > 9) {
            return Err(wrong("a label", usize::from(label), 9));
        }
        per_file.push(bytes.len() / RECORD);
        records.extend(bytes);
    }
    Ok(Images::Binary {
        files,
        records,
        per_file,
    })
}

impl Source for CifarSource {
    fn len(&self) -> usize {
        match &self.images {
            Images::Binary { records, .. } => records.len() / RECORD,
            Images::Parquet(source) => source.len(),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        match &self.images {
            Images::Binary { records, .. } => Some(u32::from(records[index * RECORD])),
            Images::Parquet(source) => source.label(index),
        }
    }

    /// The file and the image in it, counted from 0: `data_batch_1.bin#17`.
    fn name(&self, index: usize) -> String {
        match &self.images {
            Images::Binary {
                files, per_file, ..
            } => {
                let mut row = index;
                for (file, &images) in files.iter().zip(per_file) {
                    if row < images {
                        return format!("{}#{row}", file.display());
                    }
                    row -= images;
                }
                panic!("image {index} of {}", self.len());
            }
            Images::Parquet(source) => source.name(index),
        }
    }

    fn read(&self, index: usize) -> Result<RgbImage8, DataError> {
        match &self.images {
            Images::Binary { records, .. } => {
                let planes = &records[index * RECORD + 1..(index + 1) * RECORD];
                let pixel = |at: usize| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]];
                RgbImage8::new(SIDE, SIDE, (0..PLANE).flat_map(pixel).collect())
            }
            Images::Parquet(source) => source.read(index),
        }
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
