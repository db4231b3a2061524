//! Batches in a fixed order, prepared ahead by worker threads.

mod plan;
mod skipped;
mod workers;

use std::sync::Arc;

pub use skipped::Skipped;

use crate::error::DataError;
use crate::source::Source;
use crate::transform::{Augment, Transform};
use plan::Plan;
use skipped::Tally;
use workers::Workers;

/// What a [`Loader`] delivers.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderConfig<T = Augment> {
    /// Images a batch, at least 1.
    pub batch_size: usize,
    /// Decides the order of the images and every crop.
    pub seed: u64,
    /// The first step delivered, from 0 over all epochs; not 0 when a run is resumed.
    pub start_step: u64,
    /// Threads that read, decode and crop; 0 does it in the calling thread.
    pub workers: usize,
    /// The [`Transform`] of every image; its size is the batch's.
    pub augment: T,
    /// Share of the data set's images that may be unreadable, `[0, 1]`.
    pub max_bad_fraction: f64,
}

/// The images of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The step, from 0 over all epochs.
    pub step: u64,
    /// The epoch that the step belongs to, from 0.
    pub epoch: u64,
    /// `[batch, height, width, 3]`, red, green and blue.
    pub images: Vec<u8>,
    /// Which image of the source fills each place of the batch.
    pub indices: Vec<u32>,
}

/// An endless iterator over batches, from a given step on.
///
/// What a step contains depends on the source, the batch size, the seed and the step only: not
/// on the number of workers, on timing, or on where the loader started. Each epoch is a fresh
/// permutation; its last partial batch is dropped. An image that cannot be read is listed in
/// [`skipped`](Self::skipped), and the next readable one in the epoch's order takes its place.
///
/// Workers share every batch and are at most three batches ahead, so the pixels held are at
/// most `4 * batch_size * height * width * 3` bytes. They are stopped and joined on drop.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use ijepa_data::{Augment, DataSpec, Loader, LoaderConfig};
///
/// let spec: DataSpec = "scenes:n=64,size=32".parse()?;
/// let config = LoaderConfig {
///     batch_size: 16,
///     seed: 0,
///     start_step: 0,
///     workers: 2,
///     augment: Augment { size: [24, 24], ..Augment::default() },
///     max_bad_fraction: 0.01,
/// };
/// let mut loader = Loader::new(Arc::from(spec.open()?), config)?;
/// assert_eq!(loader.steps_per_epoch(), 4);
/// let batch = loader.next_batch()?;
/// assert_eq!(batch.images.len(), 16 * 24 * 24 * 3);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Loader {
    plan: Arc<Plan>,
    workers: Option<Workers>,
    tally: Tally,
    next_step: u64,
}

impl Loader {
    /// Checks the configuration and starts the workers.
    ///
    /// # Errors
    ///
    /// [`DataError::TooFewImages`] if the source cannot fill one batch, [`DataError::BadValue`]
    /// or [`DataError::OutputSize`] for a configuration out of range, [`DataError::Threads`] if
    /// a worker cannot be started.
    pub fn new<T: Transform + 'static>(
        source: Arc<dyn Source>,
        config: LoaderConfig<T>,
    ) -> Result<Self, DataError> {
        let (workers, next_step) = (config.workers, config.start_step);
        let plan = Arc::new(Plan::new(source, config)?);
        let tally = Tally::new(plan.source().len(), plan.most_bad());
        let workers = match workers {
            0 => None,
            count => Some(Workers::start(&plan, count, next_step)?),
        };
        Ok(Self {
            plan,
            workers,
            tally,
            next_step,
        })
    }

    /// Batches in an epoch; at least 1.
    pub fn steps_per_epoch(&self) -> u64 {
        self.plan.steps_per_epoch()
    }

    /// The step that the next batch will have.
    pub fn next_step(&self) -> u64 {
        self.next_step
    }

    /// Delivers the batch of the next step, waiting for it if it is not ready.
    ///
    /// # Errors
    ///
    /// [`DataError::TooManyBad`] once more images are unreadable than `max_bad_fraction` of the
    /// data set; the loader then stays at this step. [`DataError::WorkerLost`] if a thread died.
    pub fn next_batch(&mut self) -> Result<Batch, DataError> {
        self.tally.check()?;
        let step = self.next_step;
        let slots = self.plan.config().batch_size;
        let mut batch = Batch {
            step,
            epoch: self.plan.epoch(step),
            images: Vec::with_capacity(slots * self.plan.image_bytes()),
            indices: Vec::with_capacity(slots),
        };
        let parts = self.workers.as_ref().map_or(1, Workers::parts);
        for part in 0..parts {
            let filled = match &self.workers {
                None => self.plan.fill(step, 0..slots, || false),
                Some(workers) => workers.receive(part)?,
            };
            batch.images.extend_from_slice(&filled.images);
            batch.indices.extend_from_slice(&filled.indices);
            self.tally.add(&self.plan, filled.bad);
        }
        self.tally.check()?;
        self.next_step += 1;
        Ok(batch)
    }

    /// The images found unreadable so far, in the order in which they were met.
    pub fn skipped(&self) -> &[Skipped] {
        self.tally.skipped()
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_batch())
    }
}
