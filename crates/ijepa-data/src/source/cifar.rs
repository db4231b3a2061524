//! CIFAR-10 and CIFAR-100 in the forms they are usually downloaded in.

mod classes;

use std::path::{Path, PathBuf};

use super::split::folder_and_split;
use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::image::RgbImage8;
use crate::source::file::read_file;
use crate::source::{ParquetSource, Source};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// What distinguishes the two data sets on disk.
#[derive(Debug)]
struct Layout {
    name: &'static str,
    /// The folder inside the official archive.
    archive: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
    expected: &'static str,
    classes: &'static [&'static str],
    /// Bytes before the pixels of an image; the last of them is its class.
    label_bytes: usize,
}

const CIFAR10: Layout = Layout {
    name: "CIFAR-10",
    archive: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
    expected: "data_batch_1.bin to data_batch_5.bin (test_batch.bin), or \
               train-*.parquet (test-*.parquet)",
    classes: &classes::CIFAR10,
    label_bytes: 1,
};

/// A coarse label (one of 20), which is not used, stands before the fine one.
const CIFAR100: Layout = Layout {
    name: "CIFAR-100",
    archive: "cifar-100-binary",
    train: &["train.bin"],
    test: &["test.bin"],
    expected: "train.bin (test.bin), or train-*.parquet (test-*.parquet)",
    classes: &classes::CIFAR100,
    label_bytes: 2,
};

/// The training or test images of CIFAR-10 or CIFAR-100, 32 x 32 pixels.
///
/// The folder holds either the files of the official binary version (`data_batch_1.bin` ...;
/// `train.bin` and `test.bin`), directly or in the folder that the archive unpacks to, or Parquet
/// files of the Hugging Face version (`train-*.parquet`). The binary version is held in memory,
/// 3 KB an image.
#[derive(Debug)]
pub struct CifarSource {
    images: Images,
    classes: Vec<String>,
}

#[derive(Debug)]
enum Images {
    Binary(Binary),
    Parquet(ParquetSource),
}

/// Records of an image each: its labels, then its red, green and blue planes.
#[derive(Debug)]
struct Binary {
    files: Vec<PathBuf>,
    records: Vec<u8>,
    per_file: Vec<usize>,
    label_bytes: usize,
}

impl CifarSource {
    /// Opens CIFAR-10's training images in the folder `path`, or those of one split if `path`
    /// ends in `train` or `test` and is no folder itself: `cifar10/test`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoFolder`], [`DataError::NoSplit`], [`DataError::Inconsistent`] for a binary
    /// file of a wrong length or a label above 9, or an error of [`ParquetSource::open`].
    pub fn cifar10(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::open(path.as_ref(), &CIFAR10)
    }

    /// Opens CIFAR-100 with its 100 fine labels; splits are named as in
    /// [`cifar10`](Self::cifar10).
    ///
    /// # Errors
    ///
    /// As [`cifar10`](Self::cifar10), for labels above 99.
    pub fn cifar100(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::open(path.as_ref(), &CIFAR100)
    }

    fn open(path: &Path, layout: &Layout) -> Result<Self, DataError> {
        let (folder, split) = folder_and_split(path, &["train", "test"])?;
        let names = if split == "test" {
            layout.test
        } else {
            layout.train
        };
        for home in [folder.clone(), folder.join(layout.archive)] {
            let files: Vec<PathBuf> = names.iter().map(|name| home.join(name)).collect();
            if files.iter().all(|file| file.is_file()) {
                return Ok(Self::new(
                    Images::Binary(Binary::read(files, layout)?),
                    layout,
                ));
            }
        }
        match ParquetSource::open_in(&folder, &format!("{split}-*.parquet")) {
            Ok(source) => {
                source.check_names(layout.classes)?;
                source.check_labels(layout.classes.len())?;
                Ok(Self::new(Images::Parquet(source), layout))
            }
            Err(DataError::NoMatch { .. }) => Err(DataError::NoSplit {
                data: layout.name,
                split,
                path: folder,
                expected: layout.expected.to_owned(),
            }),
            Err(other) => Err(other),
        }
    }

    fn new(images: Images, layout: &Layout) -> Self {
        let classes = layout.classes.iter().map(|&name| name.to_owned()).collect();
        Self { images, classes }
    }
}

impl Binary {
    fn read(files: Vec<PathBuf>, layout: &Layout) -> Result<Self, DataError> {
        let label_bytes = layout.label_bytes;
        let record = label_bytes + 3 * PLANE;
        let (mut records, mut per_file) = (Vec::new(), Vec::new());
        for path in &files {
            let bytes = read_file(path)?;
            let wrong = |what, found: usize, expected: usize| DataError::Inconsistent {
                path: path.clone(),
                what,
                found: found as i64,
                expected: expected as i64,
            };
            if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
                let whole = bytes.len().next_multiple_of(record).max(record);
                return Err(wrong("the length in bytes", bytes.len(), whole));
            }
            let most = layout.classes.len() - 1;
            let mut labels = bytes.iter().skip(label_bytes - 1).step_by(record);
            if let Some(&label) = labels.find(|&&label| usize::from(label) > most) {
                return Err(wrong("a label", usize::from(label), most));
            }
            per_file.push(bytes.len() / record);
            records.extend(bytes);
        }
        Ok(Self {
            files,
            records,
            per_file,
            label_bytes,
        })
    }

    fn record_bytes(&self) -> usize {
        self.label_bytes + 3 * PLANE
    }

    /// The label bytes and the pixels of image `index`.
    fn record(&self, index: usize) -> (&[u8], &[u8]) {
        let bytes = self.record_bytes();
        self.records[index * bytes..(index + 1) * bytes].split_at(self.label_bytes)
    }

    /// The file of image `index`, and the image's number in it.
    fn locate(&self, index: usize) -> (&PathBuf, usize) {
        let mut row = index;
        for (file, &images) in self.files.iter().zip(&self.per_file) {
            if row < images {
                return (file, row);
            }
            row -= images;
        }
        panic!("image {index} is beyond the last");
    }
}

impl Source for CifarSource {
    fn len(&self) -> usize {
        match &self.images {
            Images::Binary(binary) => binary.records.len() / binary.record_bytes(),
            Images::Parquet(source) => source.len(),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        match &self.images {
            Images::Binary(binary) => binary.record(index).0.last().map(|&label| label.into()),
            Images::Parquet(source) => source.label(index),
        }
    }

    /// The file and the image in it, counted from 0: `data_batch_1.bin#17`.
    fn name(&self, index: usize) -> String {
        match &self.images {
            Images::Binary(binary) => {
                let (file, row) = binary.locate(index);
                format!("{}#{row}", file.display())
            }
            Images::Parquet(source) => source.name(index),
        }
    }

    fn is_computed(&self) -> bool {
        match &self.images {
            Images::Binary(_) => true,
            Images::Parquet(source) => source.is_computed(),
        }
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        match &self.images {
            Images::Binary(binary) => {
                let (_, planes) = binary.record(index);
                let pixel = |at: usize| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]];
                let pixels = (0..PLANE).flat_map(pixel).collect();
                Ok(Fetched::Pixels(RgbImage8::new(SIDE, SIDE, pixels)?.into()))
            }
            Images::Parquet(source) => source.fetch(index, buffer),
        }
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        match &self.images {
            Images::Binary(binary) => Some(binary.locate(index).0.clone()),
            Images::Parquet(source) => source.file(index),
        }
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
