//! From a source of images to a file of features.

use std::{path::Path, sync::Arc, time::Instant};

use burn::tensor::Tensor;
use clap::ValueEnum;
use ijepa_data::{Preprocess, Source};
use ijepa_model::Pooling;

use crate::{error, error::CliError, progress::StatusLine};

use super::{
    encoder::LoadedEncoder,
    images::{Images, Reading},
    sink::{FileKind, RowShape, Rows, Sink},
};

/// What becomes of the tokens of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pool {
    /// Mean over the tokens of the last layer
    Mean,
    /// Means of the last four layers
    Concat4,
    /// All tokens of the last layer
    Tokens,
}

impl Pool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Concat4 => "concat4",
            Self::Tokens => "tokens",
        }
    }
}

/// A data set on its way through an encoder.
#[derive(Debug)]
pub(crate) struct Extract {
    pub(crate) frozen: LoadedEncoder,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) preprocess: Preprocess,
    pub(crate) pool: Pool,
    pub(crate) batch_size: usize,
    /// Threads that read images.
    pub(crate) workers: usize,
    /// Whether to say how far it is.
    pub(crate) progress: bool,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Extracted {
    /// Images whose features were written.
    pub(crate) images: usize,
    /// Shape of the features of each.
    pub(crate) shape: RowShape,
    /// From the first image read to the last feature computed.
    pub(crate) images_per_s: f64,
    /// Images that could not be read.
    pub(crate) skipped: Vec<Skipped>,
}

/// An image that was left out, and why.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Skipped {
    pub(crate) path: String,
    pub(crate) why: String,
}

impl Extract {
    /// Computes the features of every image and writes them in the order of the source.
    ///
    /// `data` names the source in errors.
    pub(crate) fn run(
        &self,
        data: &str,
        out: &Path,
        kind: FileKind,
    ) -> Result<Extracted, CliError> {
        let shape = self.shape()?;
        let len = self.source.len();
        let mut sink = kind.create(out, shape, len)?;
        let reading = Reading {
            source: Arc::clone(&self.source),
            preprocess: self.preprocess,
            size: self.frozen.encoder.config().image_size,
        };
        let start = Instant::now();
        let mut line = StatusLine::stderr();
        let mut batch = Batch::default();
        let (mut images, mut skipped) = (0, Vec::new());
        let read = Images::start(reading, self.workers, self.batch_size.saturating_mul(2))?;
        for (index, pixels) in read.enumerate() {
            match pixels {
                Ok(pixels) => batch.push(self.source.as_ref(), index, pixels),
                Err(cause) => skipped.push(Skipped {
                    path: self.source.name(index),
                    why: error::on_one_line(&cause),
                }),
            }
            let is_last = index + 1 == len;
            if batch.len() == self.batch_size || (is_last && batch.len() > 0) {
                images += batch.len();
                self.write(std::mem::take(&mut batch), sink.as_mut())?;
                if self.progress {
                    let (done, rate) = (index + 1, images as f64 / start.elapsed().as_secs_f64());
                    line.show(&format!("{done} of {len} images, {rate:.1} images/s"));
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        if let (0, Some(first)) = (images, skipped.first()) {
            return Err(CliError::NoImage {
                images: len,
                data: data.to_owned(),
                path: first.path.clone(),
                why: first.why.clone(),
            });
        }
        sink.finish()?;
        Ok(Extracted {
            images,
            shape,
            images_per_s: images as f64 / seconds,
            skipped,
        })
    }

    fn shape(&self) -> Result<RowShape, CliError> {
        let encoder = &self.frozen.encoder;
        let (dim, depth) = (encoder.embed_dim(), encoder.config().depth);
        let (tokens, dim) = match self.pool {
            Pool::Mean => (None, dim),
            Pool::Concat4 if depth < 4 => return Err(CliError::TooFewBlocks { depth }),
            Pool::Concat4 => (None, 4 * dim),
            Pool::Tokens => (Some(encoder.grid().num_patches()), dim),
        };
        Ok(RowShape { tokens, dim })
    }

    fn write(&self, batch: Batch, sink: &mut dyn Sink) -> Result<(), CliError> {
        let encoder = &self.frozen.encoder;
        let [height, width] = encoder.config().image_size;
        let device = encoder.pos_embed.lazy_device();
        let size = [batch.len(), height, width];
        let images = self
            .frozen
            .normalization
            .images(&batch.pixels, size, &device);
        let features = match self.pool {
            Pool::Mean => values(encoder.forward_pooled(images, Pooling::Mean)),
            Pool::Concat4 => values(encoder.forward_pooled(images, Pooling::Concat4)),
            Pool::Tokens => values(encoder.forward_features(images)),
        };
        sink.push(Rows {
            features: &features,
            labels: &batch.labels,
            names: &batch.names,
        })
    }
}

fn values<const D: usize>(features: Tensor<D>) -> Vec<f32> {
    let data = features.into_data().convert::<f32>();
    data.try_into_vec().expect("the data was converted to f32")
}

/// Images that go through the encoder together.
#[derive(Debug, Default)]
struct Batch {
    pixels: Vec<u8>,
    labels: Vec<i64>,
    names: Vec<String>,
}

impl Batch {
    fn push(&mut self, source: &dyn Source, index: usize, pixels: Vec<u8>) {
        self.pixels.extend(pixels);
        self.labels.push(source.label(index).map_or(-1, i64::from));
        self.names.push(source.name(index));
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}
