//! Batches in a fixed order, prepared ahead by worker threads.

mod assembly;
mod plan;
mod queue;
mod skipped;
mod workers;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;

pub use skipped::{Skipped, csv_cell};

use crate::error::DataError;
use crate::reading::{Costs, Reading};
use crate::source::Source;
use crate::transform::{Augment, Transform};
use plan::Plan;
use skipped::Tally;
use workers::Workers;

/// Threads that decode images unless told otherwise: as many as there are cores, up to eight.
pub fn default_workers() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().min(8))
}

/// What a [`Loader`] delivers.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderConfig<T = Augment> {
    /// Images a batch, at least 1.
    pub batch_size: usize,
    /// The places of each batch that are delivered, where other processes deliver the others;
    /// `None` is all.
    pub places: Option<Range<usize>>,
    /// Decides the order of the images and every crop.
    pub seed: u64,
    /// The first step delivered, from 0 over all epochs; not 0 when a run is resumed.
    pub start_step: u64,
    /// Threads that decode and crop; 0 does it in the calling thread, reading included.
    pub workers: usize,
    /// The [`Transform`] of every image; its size is the batch's.
    pub augment: T,
    /// Share of the data set's images that may be unreadable, `[0, 1]`, rounded up to whole images.
    pub max_bad_fraction: f64,
    /// What is waited for and how much is decoded at once.
    pub reading: Reading,
}

impl<T> LoaderConfig<T> {
    /// Whole batches from the first step on, by seed 0, with four threads; one image in a hundred
    /// may be unreadable.
    pub fn new(batch_size: usize, augment: T) -> Self {
        Self {
            batch_size,
            places: None,
            seed: 0,
            start_step: 0,
            workers: 4,
            augment,
            max_bad_fraction: 0.01,
            reading: Reading::default(),
        }
    }
}

/// The images of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The step, from 0 over all epochs.
    pub step: u64,
    /// The epoch that the step belongs to, from 0.
    pub epoch: u64,
    /// Place of the first image, 0 unless the batch is shared with other processes.
    pub first: usize,
    /// `[batch, height, width, channels]`: bytes of red, green and blue, or samples in full depth
    /// ([`Decoding::is_float`](crate::Decoding::is_float)), each the four bytes of an f32 in the
    /// order of this machine.
    pub images: Vec<u8>,
    /// Which image of the source fills each place of the batch.
    pub indices: Vec<u32>,
}

/// An endless iterator over batches, from a given step on.
///
/// What a step contains depends on the source, the batch size, the seed and the step only: not
/// on the number of workers, on timing, or on where the loader started; processes that share its
/// [`places`](LoaderConfig::places) deliver together what one delivers alone. Each epoch is a fresh
/// permutation ([`Layout::order`](crate::Layout::order)); its last partial batch is dropped. A
/// damaged image is listed in [`skipped`](Self::skipped), and the next readable one in the epoch's
/// order takes its place. Storage that fails for now is waited for; an image that cannot be had is
/// an error and never replaced.
///
/// Threads ask the storage for the files of the next three batches ([`Reading::io_depth`] requests
/// at once, whatever the number of workers), and workers decode what came. Batches in the making,
/// finished ones that wait and the one that was delivered last take `4 * batch_size * height *
/// width` pixels (of 3 bytes, or of 4 a channel in full depth), whose memory is used again if
/// batches are [recycled](Self::recycle); files that were asked for or wait to be decoded at most
/// [`Reading::most_bytes`], or one file of more (files have at most 1 GiB); what is being decoded
/// [`Reading::most_pixels`] pixels, or one image of more. All threads are stopped and joined on
/// drop.
///
/// # Examples
///
/// ```
/// use ijepa_data::{Augment, DataSpec, Loader, LoaderConfig};
///
/// let spec: DataSpec = "scenes:n=64,size=32".parse()?;
/// let config = LoaderConfig {
///     workers: 2,
///     ..LoaderConfig::new(16, Augment { size: [24, 24], ..Augment::default() })
/// };
/// let mut loader = Loader::new(spec.open()?, config)?;
/// assert_eq!(loader.steps_per_epoch(), 4);
/// let batch = loader.next_batch()?;
/// assert_eq!(batch.images.len(), 16 * 24 * 24 * 3);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Loader {
    plan: Arc<Plan>,
    workers: Workers,
    tally: Tally,
    next_step: u64,
}

impl Loader {
    /// Checks the configuration and starts the workers.
    ///
    /// # Errors
    ///
    /// [`DataError::TooFewImages`] if the source cannot fill one batch, [`DataError::BadValue`]
    /// or [`ImageError::OutputSize`](crate::ImageError::OutputSize) for a configuration out of
    /// range, [`ImageError::NoColors`](crate::ImageError::NoColors) if colours are to be changed
    /// where there are none, [`DataError::Threads`] if a worker cannot be started.
    pub fn new<T: Transform + 'static>(
        source: Arc<dyn Source>,
        config: LoaderConfig<T>,
    ) -> Result<Self, DataError> {
        let (workers, next_step) = (config.workers, config.start_step);
        let plan = Arc::new(Plan::new(source, config)?);
        let tally = Tally::new(plan.source().len(), plan.most_bad());
        Ok(Self {
            workers: Workers::start(&plan, workers, next_step)?,
            plan,
            tally,
            next_step,
        })
    }

    /// The images.
    pub fn source(&self) -> &dyn Source {
        self.plan.source()
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
    /// data set, [`DataError::NothingReadable`] once all are; the loader then stays at this step.
    /// Whatever keeps an image from being had, such as [`DataError::GaveUp`] or
    /// [`DataError::Read`]; the next call tries again.
    /// [`DataError::WorkerLost`] if a thread died.
    pub fn next_batch(&mut self) -> Result<Batch, DataError> {
        let batch = self.next_batch_unless(&AtomicBool::new(false))?;
        Ok(batch.expect("nobody stops it"))
    }

    /// As [`next_batch`](Self::next_batch), but gives up waiting, and gives nothing, once `stop`
    /// is set; the next call goes on waiting for the same batch.
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub fn next_batch_unless(&mut self, stop: &AtomicBool) -> Result<Option<Batch>, DataError> {
        self.tally.check()?;
        let stopped = || stop.load(Ordering::Relaxed);
        let Some(assembly) = self.workers.receive(&stopped)? else {
            return Ok(None);
        };
        let (batch, bad) = assembly.finish(&self.plan);
        for (index, why) in bad {
            let source = self.plan.source();
            self.tally.add(Skipped::new(source, index as usize, &why));
        }
        self.tally.check()?;
        self.next_step += 1;
        Ok(Some(batch))
    }

    /// Gives back a batch that is needed no more, so that its memory is used for one to come.
    pub fn recycle(&self, batch: Batch) {
        self.workers.recycle(batch.images);
    }

    /// What the images have cost so far, also those of batches that were not yet delivered.
    pub fn costs(&self) -> Costs {
        self.plan.costs()
    }

    /// Counts images that other processes found unreadable as if they had been met here.
    ///
    /// # Errors
    ///
    /// [`DataError::TooManyBad`] once there are more than `max_bad_fraction` of the data set,
    /// [`DataError::NothingReadable`] once all are.
    pub fn add_skipped(&mut self, images: Vec<Skipped>) -> Result<(), DataError> {
        images.into_iter().for_each(|image| self.tally.add(image));
        self.tally.check()
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
