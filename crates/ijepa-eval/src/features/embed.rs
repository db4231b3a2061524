//! Features of more images than memory holds, written to a file as they are computed.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use burn::tensor::Device;
use ijepa_data::{Skipped, Source};
use ijepa_model::{
    Pooling, VisionTransformer,
    files::{FileError, cannot, remove_file, write_bytes},
};

use super::{
    ExtractConfig, FeatureFileError, FeatureFormat,
    digest::weights_digest,
    extract::{on_images, stream, values},
    store::{About, FeatureFile, HowRead, RowShape, Rows},
};
use crate::{Error, progress::Progress};

/// A file of features that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// Shape of the features: `[images, dim]`, `[images, tokens, dim]` or
    /// `[images, rows, cols, dim]`.
    pub shape: Vec<usize>,
    /// Names of the classes by label, as the file has them; empty if the source has none.
    pub classes: Vec<String>,
    /// The images that could not be read, in the order of the source.
    pub skipped: Vec<Skipped>,
    /// The list of them beside a file that does not name its images.
    pub list: Option<PathBuf>,
    /// From the first image read to the last feature written.
    pub elapsed: Duration,
}

/// Writes the features of every image of `source` to the file `out`, in its order; the file says
/// which encoder of its weights this is, such as `target`.
///
/// Images pass as in [`extract`](crate::extract), but memory is that of a few batches however many
/// there are (and a label for each). The format is that of the file's name, see
/// [`FeatureFormat`]; the file appears when it is complete. `progress` is told after each batch.
///
/// # Errors
///
/// A [`FeatureFileError`] if the file cannot be written, an [`ExtractError`](super::ExtractError) as
/// [`extract`](crate::extract) otherwise; the first image whose features are not finite is named.
/// A file that had the name before is untouched then, unless the disk fails after it was replaced,
/// when the list of skipped images is written.
pub fn embed(
    (encoder, which): (&VisionTransformer, &str),
    source: &dyn Source,
    config: &ExtractConfig,
    device: &Device,
    out: &Path,
    progress: impl FnMut(Progress),
) -> Result<Embedded, Error> {
    let mut file = NewFeatures::create((encoder, which), source, config, out)?;
    let forward = |encoder: &VisionTransformer, images| {
        values(encoder.forward_pooled(images, config.pooling))
    };
    let compute = on_images(encoder, config, device, forward);
    let (size, started) = (encoder.config().image_size, Instant::now());
    let skipped = stream(source, size, config, progress, compute, |features, of| {
        file.push(&features, of)
    })?;
    file.finish(skipped, started.elapsed())
}

/// A file of features in the making.
pub(super) struct NewFeatures<'a> {
    source: &'a dyn Source,
    path: &'a Path,
    shape: RowShape,
    images: usize,
    file: Box<dyn FeatureFile>,
}

impl<'a> NewFeatures<'a> {
    /// Begins the file of the features of `source`.
    pub(super) fn create(
        (encoder, which): (&VisionTransformer, &str),
        source: &'a dyn Source,
        config: &ExtractConfig,
        path: &'a Path,
    ) -> Result<Self, Error> {
        config.check(encoder)?;
        let grid = encoder.grid();
        let vectors = match config.pooling {
            Pooling::Mean | Pooling::Concat4 => [None; 2],
            Pooling::Tokens => [Some(grid.num_patches()), None],
            Pooling::Map => [Some(grid.rows()), Some(grid.cols())],
        };
        let shape = RowShape {
            vectors,
            dim: config.dim(encoder) / vectors.iter().flatten().product::<usize>(),
        };
        let about = About {
            pool: Some(config.pooling.name().to_owned()),
            encoder: Some(which.to_owned()),
            weights: Some(weights_digest(encoder)),
            read: Some(HowRead::new(config, encoder)),
            classes: source.classes().to_vec(),
        };
        let format = FeatureFormat::of_new(path, config.pooling)?;
        // Nothing is to be in the way of the last file when the first is there.
        let list = (format != FeatureFormat::Parquet).then(|| list_path(path));
        let mut beside = format.beside(path).into_iter().chain(list);
        if let Some(folder) = beside.find(|file| file.is_dir()) {
            let is_folder = io::ErrorKind::IsADirectory.into();
            return Err(FeatureFileError::from(cannot("write", &folder)(is_folder)).into());
        }
        let file = format.create(path, shape, source.len(), about);
        Ok(Self {
            source,
            path,
            shape,
            images: 0,
            file: file.map_err(unwritten(path))?,
        })
    }

    /// Adds the features of the images `of` of the source.
    pub(super) fn push(&mut self, features: &[f32], of: &[usize]) -> Result<(), Error> {
        self.images += of.len();
        let label = |&index: &usize| self.source.label(index).map_or(-1, i64::from);
        let name = |&index: &usize| self.source.name(index);
        let rows = Rows {
            features,
            labels: &of.iter().map(label).collect::<Vec<_>>(),
            names: &of.iter().map(name).collect::<Vec<_>>(),
        };
        self.file.push(rows).map_err(unwritten(self.path))
    }

    /// As [`push`](Self::push), `batch_size` images at once.
    pub(super) fn push_batches(
        &mut self,
        features: &[f32],
        of: &[usize],
        batch_size: usize,
    ) -> Result<(), Error> {
        let dim = features.len() / of.len().max(1);
        for (number, of) in of.chunks(batch_size).enumerate() {
            let first = number * batch_size * dim;
            self.push(&features[first..first + of.len() * dim], of)?;
        }
        Ok(())
    }

    /// Completes the file.
    pub(super) fn finish(
        self,
        skipped: Vec<Skipped>,
        elapsed: Duration,
    ) -> Result<Embedded, Error> {
        self.file.finish().map_err(unwritten(self.path))?;
        let list = list_beside(self.path, &skipped).map_err(FeatureFileError::from)?;
        Ok(Embedded {
            shape: self.shape.with_rows(self.images),
            classes: self.source.classes().to_vec(),
            skipped,
            list,
            elapsed,
        })
    }
}

/// The list beside a file of the images that it has no rows of.
fn list_path(path: &Path) -> PathBuf {
    let mut list = path.as_os_str().to_owned();
    list.push(".skipped.csv");
    list.into()
}

/// Writes which images a file has no rows of, unless it has names or is no file.
fn list_beside(path: &Path, skipped: &[Skipped]) -> Result<Option<PathBuf>, FileError> {
    let list = list_path(path);
    if matches!(FeatureFormat::of(path), Ok(FeatureFormat::Parquet)) || !path.is_file() {
        return Ok(None);
    }
    if skipped.is_empty() {
        // That of a file which had the name before.
        return remove_file(&list).map(|()| None);
    }
    let line = |image: &Skipped| format!("{},{}\n", image.index, image.to_csv());
    let lines: String = skipped.iter().map(line).collect();
    write_bytes(&list, format!("index,path,why\n{lines}"))?;
    Ok(Some(list))
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |io| FeatureFileError::from(cannot("write", path)(io)).into()
}
