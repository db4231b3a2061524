//! Batches as arrays.

use std::{
    mem, process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
};

use ijepa_data::{Batch, DataSpec, IndexCache, LoaderConfig, Reading, Skipped, Source};
use ijepa_train::Recipe;
use numpy::{PyArray1, PyArrayMethods};
use pyo3::{
    Bound, PyAny, PyRef, PyResult, Python,
    exceptions::{PyRuntimeError, PyValueError},
    pyclass, pymethods,
    types::{PyAnyMethods, PyMapping},
};

use crate::{
    arguments::{self, Paths, Size},
    raise::Raise,
    signals,
};

const NOT_DROPPED: &str = "batches are there until the loader is dropped";
const BUSY: &str = "another thread, or what a signal interrupted, waits for a batch of this loader";

/// What the recipe of no name says beside its defaults.
const DEFAULTS: [&str; 1] = ["run.batch_size=256"];

/// Random crops of a data set in shuffled batches.
///
/// `data` is what the command's `--data` takes, or several of them. `iter()` gives the batches of
/// an epoch, each as `(images, labels)`: uint8 [batch, height, width, 3] (float32 for other channels)
/// and int64 [batch], -1 where an image has no label. The next `iter()` gives the next epoch, or what
/// is left of one that was not finished. What a step contains follows from the data, `batch_size`,
/// `seed` and the step alone, whatever the number of `workers`, and is what `ijepa pretrain` sees.
///
/// Without a `recipe`, crops of 0.3 to 1 of the area are resized to `size` (224), nothing else is
/// changed, and a batch has 256 images. `overrides` changes keys of the recipe, such as
/// `{"data.flip": True}`. `start_step` begins later, in any epoch.
///
/// Raises FileNotFoundError or another OSError for data that is not there or cannot be read, and
/// ValueError for data that cannot be used and for a recipe of LeJEPA, whose views are no array.
/// Batches raise RuntimeError in a forked child of the process that made the loader, since its
/// threads are not there. Signals are handled while a batch is waited for.
#[pyclass(frozen, module = "ijepa")]
pub(crate) struct Loader {
    /// There until it is dropped; held while a batch is waited for.
    batches: Option<Mutex<Batches>>,
    /// What is known of it meanwhile.
    step: AtomicU64,
    skipped: Mutex<Vec<Skipped>>,
    /// The process whose threads work for it.
    process: u32,
    source: Arc<dyn Source>,
    /// `[height, width, channels]`.
    image: [usize; 3],
    is_float: bool,
    steps_per_epoch: u64,
    /// Step after the last one of this epoch.
    end: AtomicU64,
}

struct Batches {
    loader: ijepa_data::Loader,
    /// The batch that came while a signal handler raised: the next one.
    pending: Option<Batch>,
}

impl Batches {
    /// The next batch, unless a signal handler raises first.
    fn next(&mut self) -> PyResult<Batch> {
        if let Some(batch) = self.pending.take() {
            return Ok(batch);
        }
        let (batch, raised) = signals::watched(|stop| self.loader.next_batch_unless(stop));
        if let Err(raised) = raised {
            self.pending = batch.ok().flatten();
            return Err(raised);
        }
        let batch = batch.or_raise()?;
        Ok(batch.expect("a loader stops only if a handler raises"))
    }

    fn next_step(&self) -> u64 {
        let pending = self.pending.as_ref().map(|batch| batch.step);
        pending.unwrap_or(self.loader.next_step())
    }
}

#[pymethods]
impl Loader {
    #[new]
    #[pyo3(signature = (
        data, *, size=None, recipe=None, overrides=None, batch_size=None, workers=None, seed=None,
        start_step=0
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "they have names where they are given"
    )]
    fn new(
        py: Python<'_>,
        data: Paths,
        size: Option<Size>,
        recipe: Option<&str>,
        overrides: Option<&Bound<'_, PyMapping>>,
        batch_size: Option<usize>,
        workers: Option<usize>,
        seed: Option<u64>,
        start_step: u64,
    ) -> PyResult<Self> {
        let mut config = of_recipe(&arguments::recipe(recipe, overrides, &DEFAULTS)?)?;
        config.augment.size = size.map_or(config.augment.size, Size::sides);
        config.batch_size = batch_size.unwrap_or(config.batch_size);
        config.workers = arguments::workers(workers);
        config.seed = seed.unwrap_or(config.seed);
        config.start_step = start_step;
        let ([height, width], decoding) = (config.augment.size, config.reading.decoding);
        py.detach(|| {
            let specs = data.all().into_iter();
            let specs = specs.map(|spec| spec.to_string_lossy().parse::<DataSpec>());
            let specs = specs.collect::<Result<Vec<_>, _>>().or_raise()?;
            let source = DataSpec::open_all(&specs, IndexCache::of_user().as_ref());
            let source = source.or_raise()?;
            ijepa_data::check_channels(source.as_ref(), decoding).or_raise()?;
            let loader = ijepa_data::Loader::new(Arc::clone(&source), config).or_raise()?;
            let (step, steps_per_epoch) = (loader.next_step(), loader.steps_per_epoch());
            Ok(Self {
                steps_per_epoch,
                step: AtomicU64::new(step),
                skipped: Mutex::default(),
                batches: Some(Mutex::new(Batches {
                    loader,
                    pending: None,
                })),
                process: process::id(),
                source,
                image: [height, width, decoding.channels],
                is_float: decoding.is_float(),
                end: AtomicU64::new(end_of_epoch(step, steps_per_epoch)),
            })
        })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        let end = end_of_epoch(this.step(), this.steps_per_epoch);
        this.end.store(end, Ordering::Relaxed);
        this
    }

    #[expect(clippy::type_complexity, reason = "images and labels")]
    fn __next__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyArray1<i64>>)>> {
        if self.is_forked() {
            let what = "the threads of a loader are in the process that made it, not in a forked \
                        child; make the loader in the child";
            return Err(PyRuntimeError::new_err(what));
        }
        let batches = self.batches.as_ref().expect(NOT_DROPPED);
        let batch = py.detach(|| {
            let mut batches = match batches.try_lock() {
                Ok(batches) => batches,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                Err(TryLockError::WouldBlock) => return Err(PyRuntimeError::new_err(BUSY)),
            };
            if batches.next_step() >= self.end.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let batch = batches.next();
            self.step.store(batches.next_step(), Ordering::Relaxed);
            let mut skipped = self.skipped();
            let known = skipped.len();
            skipped.extend_from_slice(&batches.loader.skipped()[known..]);
            batch.map(Some)
        })?;
        let Some(batch) = batch else {
            return Ok(None);
        };
        let label = |&index: &u32| self.source.label(index as usize).map_or(-1, i64::from);
        let labels = batch.indices.iter().map(label).collect();
        Ok(Some((
            self.images(py, batch)?,
            PyArray1::from_vec(py, labels),
        )))
    }

    /// Batches of an epoch.
    fn __len__(&self) -> usize {
        self.steps_per_epoch as usize
    }

    /// The step of the next batch, from 0 over all epochs; `start_step` of a loader that goes on.
    #[getter]
    fn step(&self) -> u64 {
        self.step.load(Ordering::Relaxed)
    }

    /// Names of the classes by label; empty where the data names none.
    #[getter]
    fn classes(&self) -> Vec<String> {
        self.source.classes().to_vec()
    }

    /// Images of the data.
    #[getter]
    fn num_images(&self) -> usize {
        self.source.len()
    }

    /// Path and reason of every image found unreadable so far; others took their places.
    #[getter]
    #[pyo3(name = "skipped")]
    fn skipped_images(&self) -> Vec<(String, String)> {
        let pair = |image: &Skipped| (image.path.clone(), image.why.clone());
        self.skipped().iter().map(pair).collect()
    }
}

impl Loader {
    fn skipped(&self) -> MutexGuard<'_, Vec<Skipped>> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_forked(&self) -> bool {
        process::id() != self.process
    }

    /// The pixels of a batch as an array that takes over their memory.
    fn images<'py>(&self, py: Python<'py>, batch: Batch) -> PyResult<Bound<'py, PyAny>> {
        let [height, width, channels] = self.image;
        let shape = (batch.indices.len(), height, width, channels);
        let bytes = PyArray1::from_vec(py, batch.images);
        match self.is_float {
            true => bytes
                .call_method1("view", ("float32",))?
                .call_method1("reshape", (shape,)),
            false => Ok(bytes.reshape(<[usize; 4]>::from(shape))?.into_any()),
        }
    }
}

impl Drop for Loader {
    /// A forked child would wait for ever for threads that it does not have.
    fn drop(&mut self) {
        if self.is_forked() {
            mem::forget(self.batches.take());
        }
    }
}

/// The step after the last one of the epoch of `step`.
fn end_of_epoch(step: u64, steps_per_epoch: u64) -> u64 {
    (step / steps_per_epoch)
        .saturating_add(1)
        .saturating_mul(steps_per_epoch)
}

/// What a recipe says of batches.
fn of_recipe(recipe: &Recipe) -> PyResult<LoaderConfig> {
    match recipe.views().or_raise()? {
        Some(_) => Err(PyValueError::new_err(
            "`objective.kind` = lejepa makes views of several sizes, which are no array",
        )),
        None => Ok(recipe.loader(recipe.augment().or_raise()?, Reading::default())),
    }
}
