//! Features of a frozen encoder.

use std::{
    ffi::CString,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use burn::tensor::Device;
use ijepa_data::{ListedSource, Preprocess};
use ijepa_eval::{Embedder, ExtractConfig, Features, Stoppable, extract_with_progress};
use ijepa_model::{
    Checkpoint, Pooling, PositionResampling, Precision, VisionTransformer, VisionTransformerConfig,
    checkpoint::{EncoderRole, OpenOptions},
};
use ijepa_train::DeviceSpec;
use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods};
use pyo3::{
    Bound, PyAny, PyErr, PyResult, Python,
    exceptions::{PyTypeError, PyUserWarning, PyValueError},
    pyclass, pyfunction, pymethods,
    types::{PyAnyMethods, PyTypeMethods},
};

use crate::{
    arguments::{Paths, Size, device_spec, workers},
    forks,
    pixels::Pixels,
    raise::Raise,
    signals,
};

/// A frozen encoder.
#[pyclass(frozen, module = "ijepa")]
pub(crate) struct Encoder {
    /// In memory of its own, since networks want to begin at multiples of 64 bytes.
    network: Box<Mutex<VisionTransformer>>,
    sizes: VisionTransformerConfig,
    extraction: ExtractConfig,
    place: DeviceSpec,
    device: Box<Device>,
}

/// Load an encoder for features.
///
/// `weights` is what the command's `--weights` takes: a run directory, a checkpoint folder, an
/// official `.pth.tar`, a Hugging Face or timm folder, a `.safetensors` file, or
/// `hf:ORG/NAME[@REVISION][/FILE]`, downloaded into the cache of Hugging Face's own tools.
///
/// `device` is "cpu" or a name of the command's `--device`. `encoder` is "target" or "context"; by
/// default the target encoder, or the only one there is. Positions are resampled to `image_size`,
/// the side of a square or (height, width). `num_heads` is for official files of unusual width.
/// `preprocess` is "eval", "fill", "crop:MARGIN", "squash" or "none"; by default what the weights
/// say, else "eval".
///
/// Raises FileNotFoundError, ConnectionError or another OSError where there are no such weights, and
/// ValueError where they do not make an encoder.
#[pyfunction]
#[pyo3(signature = (
    weights, device="cpu", *, encoder=None, image_size=None, num_heads=None, preprocess=None
))]
pub(crate) fn load(
    py: Python<'_>,
    weights: PathBuf,
    device: &str,
    encoder: Option<&str>,
    image_size: Option<Size>,
    num_heads: Option<usize>,
    preprocess: Option<&str>,
) -> PyResult<Encoder> {
    let place = device_spec(device).or_raise()?;
    let role = encoder.map(str::parse::<EncoderRole>).transpose();
    let role = role.map_err(PyValueError::new_err)?;
    let preprocess = preprocess.map(str::parse::<Preprocess>).transpose();
    let preprocess = preprocess.or_raise()?;
    let (encoder, warnings) = py.detach(|| {
        let checkpoint = Checkpoint::open_with(weights, OpenOptions { num_heads }).or_raise()?;
        let device = place.open().or_raise()?;
        let network = match role {
            Some(role) => checkpoint.encoder(role, &device),
            None => checkpoint.feature_encoder(&device),
        };
        let mut network = network.or_raise()?;
        if let Some(size) = image_size {
            let resized = network.with_image_size(size.sides(), PositionResampling::Bicubic);
            network = resized.or_raise()?;
        }
        let mut extraction = ExtractConfig::of(&checkpoint);
        extraction.preprocess = preprocess.unwrap_or(extraction.preprocess);
        // Who calls can ask again, and knows for how long.
        extraction.reading.retry.retries = 0;
        let network = network.with_precision(Precision::F32).frozen();
        let sizes = network.config().clone();
        let encoder = Encoder {
            network: Box::new(Mutex::new(network)),
            sizes,
            extraction,
            place,
            device: Box::new(device),
        };
        PyResult::Ok((encoder, checkpoint.warnings))
    })?;
    let category = py.get_type::<PyUserWarning>();
    for warning in warnings {
        PyErr::warn(py, &category, &CString::new(warning)?, 1)?;
    }
    Ok(encoder)
}

#[pymethods]
impl Encoder {
    /// One feature vector an image, float32 [n, dim], equal to what `ijepa embed` writes.
    ///
    /// `images` are paths (one or a sequence), or an array [n, height, width, channels] of uint8, or
    /// of float32 where white is 1, or [height, width, channels] of one image; any size, since they
    /// are resized as the weights want it. `dim`
    /// is `embed_dim` for `pool="mean"`, and four times as much for "concat4", the means of the last
    /// four layers. `workers` threads decode files.
    ///
    /// Raises FileNotFoundError or another OSError for a file that cannot be read, and ValueError
    /// for one that is no image, and RuntimeError in a child that was forked after something was
    /// encoded. Between two batches, signals are handled: Ctrl-C raises KeyboardInterrupt.
    #[pyo3(signature = (images, pool="mean", *, batch_size=32, workers=None))]
    fn encode<'py>(
        &self,
        images: &Bound<'py, PyAny>,
        pool: &str,
        batch_size: usize,
        workers: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let pooling = Pooling::of_name(pool);
        let pooling = pooling.filter(|it| matches!(it, Pooling::Mean | Pooling::Concat4));
        let unknown = || format!("unknown pool `{pool}`, expected mean or concat4");
        let pooling = pooling.ok_or_else(|| PyValueError::new_err(unknown()))?;
        let features = self.features(images, pooling, batch_size, workers)?;
        let shape = [features.images(), features.dim()];
        PyArray1::from_vec(images.py(), features.into_values()).reshape(shape)
    }

    /// The features of every patch after the last layer, float32 [n, patches, embed_dim], patches
    /// row by row; otherwise as `encode`.
    #[pyo3(signature = (images, *, batch_size=32, workers=None))]
    fn patches<'py>(
        &self,
        images: &Bound<'py, PyAny>,
        batch_size: usize,
        workers: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let features = self.features(images, Pooling::Tokens, batch_size, workers)?;
        let dim = self.sizes.embed_dim;
        let shape = [features.images(), features.dim() / dim, dim];
        PyArray1::from_vec(images.py(), features.into_values()).reshape(shape)
    }

    /// Values of a token.
    #[getter]
    fn embed_dim(&self) -> usize {
        self.sizes.embed_dim
    }

    /// Side of a patch in pixels.
    #[getter]
    fn patch_size(&self) -> usize {
        self.sizes.patch_size
    }

    /// (height, width) in pixels to which images are resized.
    #[getter]
    fn image_size(&self) -> (usize, usize) {
        let [height, width] = self.sizes.image_size;
        (height, width)
    }

    /// Channels of the images.
    #[getter]
    fn channels(&self) -> usize {
        self.sizes.in_chans
    }

    /// How images get their size.
    #[getter]
    fn preprocess(&self) -> String {
        self.extraction.preprocess.to_string()
    }

    /// Where it computes.
    #[getter]
    fn device(&self) -> String {
        self.place.to_string()
    }

    fn __repr__(&self) -> String {
        let [height, width] = self.sizes.image_size;
        format!(
            "Encoder(embed_dim={}, patch_size={}, image_size=({height}, {width}), device='{}')",
            self.sizes.embed_dim, self.sizes.patch_size, self.place
        )
    }
}

impl Encoder {
    fn features(
        &self,
        images: &Bound<'_, PyAny>,
        pooling: Pooling,
        batch_size: usize,
        threads: Option<usize>,
    ) -> PyResult<Features> {
        let config = ExtractConfig {
            pooling,
            batch_size,
            workers: workers(threads),
            ..self.extraction
        };
        forks::check()?;
        let py = images.py();
        let of_array = |pixels: Pixels<'_>| py.detach(|| self.of_array(&pixels, config));
        if let Some(features) = Pixels::of(images, of_array) {
            return features;
        }
        match images.extract::<Paths>() {
            Ok(paths) => py.detach(|| self.of_files(paths, &config)),
            Err(_) => {
                let found = images.get_type().name()?;
                let what = format!("images are paths or an array, found {found}");
                Err(PyTypeError::new_err(what))
            }
        }
    }

    fn of_files(&self, paths: Paths, config: &ExtractConfig) -> PyResult<Features> {
        let source = ListedSource::files_there(paths.all()).or_raise()?;
        let (stop, mut handled) = (AtomicBool::new(false), Ok(()));
        let source = Stoppable {
            source: &source,
            stop: &stop,
            retry: config.reading.retry,
        };
        let look = |_| {
            if handled.is_ok() {
                handled = signals::check();
                stop.store(handled.is_err(), Ordering::Relaxed);
            }
        };
        let network = self.network();
        let extracted = extract_with_progress(&network, &source, config, &self.device, look);
        handled?;
        let extracted = extracted.or_raise()?;
        match extracted.skipped.first() {
            Some(image) => {
                let what = format!("cannot use `{}`: {}", image.path, image.why);
                Err(PyValueError::new_err(what))
            }
            None => Ok(extracted.features),
        }
    }

    fn of_array(&self, pixels: &Pixels<'_>, mut config: ExtractConfig) -> PyResult<Features> {
        let (found, expected) = (pixels.channels(), self.sizes.in_chans);
        if found != expected {
            let what = format!("the encoder takes images of {expected} channels, found {found}");
            return Err(PyValueError::new_err(what));
        }
        if let Some(image) = pixels.first_not_finite() {
            let what = format!("image {image} of the array has a value that is not finite");
            return Err(PyValueError::new_err(what));
        }
        config.reading.decoding = pixels.decoding(config.reading.decoding);
        let network = self.network();
        let mut embedder = Embedder::new(&network, config, &self.device).or_raise()?;
        let (size, images) = (embedder.image_size(), pixels.images());
        let mut values = Vec::with_capacity(images * embedder.dim());
        for first in (0..images).step_by(config.batch_size) {
            let batch = first..images.min(first + config.batch_size);
            let resized = batch.map(|index| pixels.resized(index, config.preprocess, size));
            let resized = resized.collect::<Result<Vec<_>, _>>().or_raise()?;
            values.extend(embedder.embed(&resized.concat()));
            signals::check()?;
        }
        Features::new(embedder.dim(), values, vec![None; images]).or_raise()
    }

    /// The network, whose weights all calls share: a signal handler may call, too.
    fn network(&self) -> VisionTransformer {
        let network = self.network.lock();
        network.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
