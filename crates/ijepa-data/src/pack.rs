//! Any data set as a few large files.

mod encode;
mod parquet;
mod tar;

use std::io;
use std::path::{Path, PathBuf};

use ijepa_files::{FileError, NewFile, cannot, create_folder};

use crate::error::DataError;
use crate::fetch::FetchError;
use crate::loader::Skipped;
use crate::order::{epoch_order, sample};
use crate::reading::{ImageReader, Reading, in_order};
use crate::source::Source;
use crate::verify::ahead;
pub use encode::Shrink;
use encode::encode;

/// The layout of packed files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackFormat {
    /// WebDataset archives: `000000017.jpg` and, if it has a label, `000000017.cls`; the names of
    /// the classes are lines of `classes.txt` beside the archives.
    Tar,
    /// Parquet as Hugging Face writes it: `image` with `bytes` and `path`, and `label`, whose
    /// class names stand in the metadata.
    Parquet,
}

impl PackFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Parquet => "parquet",
        }
    }
}

/// How a data set is packed.
#[derive(Debug, Clone, PartialEq)]
pub struct PackConfig {
    /// The layout.
    pub format: PackFormat,
    /// Begins the name of every file, `NAME-00000.tar`.
    pub name: String,
    /// Images of a file, at least 1.
    pub most_images: usize,
    /// Bytes of the images of a file; one larger image has a file to itself.
    pub most_bytes: u64,
    /// Writes images anew and smaller, instead of the bytes of their files.
    pub shrink: Option<Shrink>,
    /// Shuffles the images by this seed; otherwise they keep their order.
    pub shuffle: Option<u64>,
    /// How images are read.
    pub reading: Reading,
    /// Threads that read; 0 does it in the calling thread.
    pub workers: usize,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Images.
    pub images: usize,
    /// Bytes of the images.
    pub bytes: u64,
    /// The files, in their order.
    pub shards: Vec<PathBuf>,
    /// Images that were left out.
    pub skipped: Vec<Skipped>,
}

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// An image that cannot be had, or a configuration that makes no sense.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file that cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// One image as it will lie in a file.
#[derive(Debug)]
struct Packable {
    bytes: Vec<u8>,
    /// Its kind, as file names end.
    extension: &'static str,
    label: Option<u32>,
    /// The name of its file, without the folders that it came from.
    name: String,
}

/// A file that is being written.
trait Shard {
    fn add(&mut self, number: usize, image: &Packable) -> std::io::Result<()>;

    /// Writes what is left.
    fn finish(self: Box<Self>) -> std::io::Result<NewFile>;
}

/// Writes the images of `source` into large files in the new folder `out`, which appears when all
/// are there.
///
/// Images keep the bytes of their files unless [`PackConfig::shrink`] is set; images that are no
/// files become PNG. Labels and the names of classes are kept. What is no image by its first bytes,
/// or, where images are decoded, cannot be decoded, is left out and listed; original bytes are not
/// decoded, see [`verify`](crate::verify). `progress` is told how many images are done. What is
/// written depends on the source and the configuration, not on the number of workers.
///
/// # Errors
///
/// [`DataError::BadValue`], [`DataError::NothingReadable`], whatever keeps an image from being
/// had, and a [`FileError`] of the kind [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) if
/// there is something called `out`; there is no new file then.
///
/// # Examples
///
/// ```
/// use ijepa_data::{DataSpec, PackConfig, PackFormat, Reading, pack};
///
/// let source = "scenes:n=9,size=16".parse::<DataSpec>()?.open()?;
/// let config = PackConfig {
///     format: PackFormat::Parquet,
///     name: "train".to_owned(),
///     most_images: 4,
///     most_bytes: 1 << 30,
///     shrink: None,
///     shuffle: None,
///     reading: Reading::default(),
///     workers: 2,
/// };
/// let folder = tempfile::tempdir()?;
/// let packed = pack(source.as_ref(), &folder.path().join("scenes"), &config, |_| ())?;
/// assert!(packed.shards[2].ends_with("scenes/train-00002.parquet"));
/// let spec: DataSpec = format!("parquet:{}/scenes", folder.path().display()).parse()?;
/// assert_eq!(spec.open()?.len(), 9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pack(
    source: &dyn Source,
    out: &Path,
    config: &PackConfig,
    mut progress: impl FnMut(usize),
) -> Result<Packed, PackError> {
    config.validate()?;
    if config.format == PackFormat::Tar {
        tar::check_classes(out, source.classes())?;
    }
    let order = match config.shuffle {
        Some(seed) => epoch_order(seed, 0, source.len()),
        None => sample(0, source.len(), source.len()),
    };
    let reader = ImageReader::new(config.reading);
    let read = |number: usize, stopped: &dyn Fn() -> bool| {
        encode(
            &reader,
            source,
            order[number] as usize,
            config.shrink,
            stopped,
        )
    };
    let mut skipped = Vec::new();
    let (mut images, mut bytes, mut shards) = (0, 0, Vec::new());
    create_folder(out, |folder| {
        let mut shards_of = Shards::new(folder, source, config);
        let write = |number: usize, image: Result<Packable, FetchError>| {
            match image {
                Ok(image) => shards_of.add(&image)?,
                Err(error) => skipped.push(error.skips(source, order[number] as usize)?),
            }
            progress(number + 1);
            Ok::<(), PackError>(())
        };
        let workers = config.workers;
        in_order(order.len(), workers, ahead(workers), read, write)??;
        (images, bytes, shards) = shards_of.finish()?;
        match images == 0 && !skipped.is_empty() {
            true => Err(PackError::from(DataError::nothing_readable(&skipped))),
            false => Ok(()),
        }
    })?;
    Ok(Packed {
        images,
        bytes,
        shards: shards.into_iter().map(|name| out.join(name)).collect(),
        skipped,
    })
}

impl PackConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`DataError::BadValue`] naming the field.
    pub fn validate(&self) -> Result<(), DataError> {
        let bad = DataError::bad_value;
        if self.most_images == 0 {
            return Err(bad("most_images", "0", "at least 1"));
        }
        if self.name.is_empty() || self.name.contains(['/', '\\']) {
            return Err(bad("name", &self.name, "the beginning of a file name"));
        }
        match self.shrink {
            Some(Shrink { short_side: 0, .. }) => Err(bad("short_side", "0", "at least 1")),
            Some(Shrink { quality, .. }) if !(1..=100).contains(&quality) => {
                let found = quality.to_string();
                Err(bad("quality", &found, "a number from 1 to 100"))
            }
            _ => Ok(()),
        }
    }
}

/// The files of a folder, one after the other.
struct Shards<'a> {
    folder: &'a Path,
    source: &'a dyn Source,
    config: &'a PackConfig,
    has_labels: bool,
    names: Vec<String>,
    open: Option<Box<dyn Shard>>,
    images: usize,
    bytes: u64,
    /// Images and bytes of the file that is being written.
    here: (usize, u64),
}

impl<'a> Shards<'a> {
    fn new(folder: &'a Path, source: &'a dyn Source, config: &'a PackConfig) -> Self {
        Self {
            folder,
            source,
            config,
            has_labels: (0..source.len()).any(|index| source.label(index).is_some()),
            names: Vec::new(),
            open: None,
            images: 0,
            bytes: 0,
            here: (0, 0),
        }
    }

    fn add(&mut self, image: &Packable) -> Result<(), FileError> {
        let length = image.bytes.len() as u64;
        let (images, bytes) = self.here;
        let is_full = images >= self.config.most_images || bytes + length > self.config.most_bytes;
        if images > 0 && is_full {
            self.close()?;
        }
        if self.open.is_none() {
            self.begin()?;
        }
        let shard = self.open.as_mut().expect("it was begun");
        let added = shard.add(self.images, image);
        added.map_err(|cause| self.cannot_write(cause))?;
        self.here = (self.here.0 + 1, self.here.1 + length);
        self.images += 1;
        self.bytes += length;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), FileError> {
        let PackConfig { format, name, .. } = self.config;
        let name = format!("{name}-{:05}.{}", self.names.len(), format.extension());
        let path = self.folder.join(&name);
        let file = NewFile::create(&path)?;
        let classes = self.source.classes();
        self.open = Some(match format {
            PackFormat::Tar => Box::new(tar::TarShard::new(file)),
            PackFormat::Parquet => {
                let shard = parquet::ParquetShard::new(file, self.has_labels, classes);
                Box::new(shard.map_err(cannot("write", &path))?)
            }
        });
        self.names.push(name);
        Ok(())
    }

    fn close(&mut self) -> Result<(), FileError> {
        self.here = (0, 0);
        match self.open.take() {
            Some(shard) => {
                let file = shard.finish();
                file.map_err(|cause| self.cannot_write(cause))?.commit()
            }
            None => Ok(()),
        }
    }

    /// That the last file cannot be written.
    fn cannot_write(&self, cause: io::Error) -> FileError {
        let name = self.names.last().map_or("", String::as_str);
        cannot("write", &self.folder.join(name))(cause)
    }

    /// Images, bytes and names of the files.
    fn finish(mut self) -> Result<(usize, u64, Vec<String>), PackError> {
        self.close()?;
        if self.config.format == PackFormat::Tar {
            tar::write_classes(self.folder, self.source.classes())?;
        }
        Ok((self.images, self.bytes, self.names))
    }
}
