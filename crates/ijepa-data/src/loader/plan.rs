//! What each place of each batch holds: a pure function of the configuration.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::LoaderConfig;
use super::queue::AHEAD;
use crate::decode::guard;
use crate::error::{DataError, ImageError};
use crate::fetch::FetchError::{self, Corrupt};
use crate::image::Image;
use crate::reading::{Costs, FetchedImage, ImageReader, Reading};
use crate::rng::{Purpose, sample_rng};
use crate::source::Source;
use crate::transform::Transform;

/// Steps that nobody makes, and what is computed of them fits.
const MOST_STEPS: u64 = 1 << 48;

/// Everything needed to fill any batch; shared by all workers.
#[derive(Debug)]
pub(super) struct Plan {
    source: Arc<dyn Source>,
    config: LoaderConfig<Box<dyn Transform>>,
    reader: ImageReader,
    orders: Mutex<Vec<(u64, Arc<[u32]>)>>,
}

/// A place of the batch of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) step: u64,
    /// Within the whole batch.
    pub(super) place: usize,
}

/// What a slot holds.
#[derive(Debug)]
pub(super) struct Filled {
    /// The image's number and the image; none if too many were bad to go on.
    pub(super) image: Option<(u32, Image)>,
    /// The images before it that could not be used.
    pub(super) bad: Vec<(u32, DataError)>,
}

impl Plan {
    pub(super) fn new<T: Transform + 'static>(
        source: Arc<dyn Source>,
        config: LoaderConfig<T>,
    ) -> Result<Self, DataError> {
        config.augment.validate()?;
        let decoding = config.reading.decoding;
        if config.augment.needs_colors() && decoding.is_float() {
            let channels = decoding.channels;
            return Err(DataError::Image(ImageError::NoColors { channels }));
        }
        let bad = DataError::bad_value;
        if config.batch_size == 0 {
            return Err(bad("batch_size", "0", "at least 1"));
        }
        if config.start_step > MOST_STEPS {
            let found = config.start_step.to_string();
            return Err(bad("start_step", &found, "at most 281474976710656"));
        }
        let places = config.places.as_ref();
        if let Some(places) = places.filter(|it| it.is_empty() || it.end > config.batch_size) {
            return Err(bad("places", &format!("{places:?}"), "some of the batch"));
        }
        if !(0.0..=1.0).contains(&config.max_bad_fraction) {
            let found = config.max_bad_fraction.to_string();
            return Err(bad("max_bad_fraction", &found, "a number from 0 to 1"));
        }
        let images = source.len();
        if images < config.batch_size {
            return Err(DataError::TooFewImages {
                images,
                batch_size: config.batch_size,
            });
        }
        if u32::try_from(images).is_err() {
            return Err(DataError::too_many_images(images));
        }
        let augment: Box<dyn Transform> = Box::new(config.augment);
        Ok(Self {
            source,
            config: LoaderConfig {
                batch_size: config.batch_size,
                places: config.places,
                seed: config.seed,
                start_step: config.start_step,
                workers: config.workers,
                augment,
                max_bad_fraction: config.max_bad_fraction,
                reading: config.reading,
            },
            reader: ImageReader::new(config.reading),
            orders: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.config.reading
    }

    /// What reading has cost so far.
    pub(super) fn costs(&self) -> Costs {
        self.reader.meter().costs()
    }

    pub(super) fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// The places of each batch that are filled here.
    pub(super) fn places(&self) -> Range<usize> {
        let all = 0..self.config.batch_size;
        self.config.places.clone().unwrap_or(all)
    }

    pub(super) fn image_bytes(&self) -> usize {
        let pixels = self.config.augment.size().iter().product::<usize>();
        pixels * self.reading().decoding.pixel_bytes()
    }

    pub(super) fn steps_per_epoch(&self) -> u64 {
        (self.source.len() / self.config.batch_size) as u64
    }

    pub(super) fn epoch(&self, step: u64) -> u64 {
        step / self.steps_per_epoch()
    }

    /// How many images may be bad.
    ///
    /// The share is of the whole data set, not of the images seen so far: one bad image in the
    /// first batch says nothing, and a data set full of them still stops early. Rounded up, it lets
    /// small sets have a bad image, too. One image must always be left to stand in for the others.
    pub(super) fn most_bad(&self) -> usize {
        let images = self.source.len();
        let share = images as f64 * self.config.max_bad_fraction;
        // A product such as 0.07 * 100 is a little too large.
        ((share - 1e-6).ceil() as usize).min(images - 1)
    }

    /// The image that stands `offset` images after that of `slot` in the order of its epoch.
    fn candidate(&self, slot: Slot, offset: usize) -> u32 {
        let order = self.order(slot.step);
        order[(self.position(slot) + offset) % order.len()]
    }

    /// The position of `slot` in its epoch.
    fn position(&self, slot: Slot) -> usize {
        (slot.step % self.steps_per_epoch()) as usize * self.config.batch_size + slot.place
    }

    /// Gets the image that belongs into `slot`.
    pub(super) fn fetch(
        &self,
        slot: Slot,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<FetchedImage, FetchError> {
        self.fetch_instead(slot, 0, cancelled)
    }

    fn fetch_instead(
        &self,
        slot: Slot,
        offset: usize,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<FetchedImage, FetchError> {
        let index = self.candidate(slot, offset) as usize;
        self.reader.fetch_image(self.source(), index, cancelled)
    }

    /// Makes what `slot` holds of what was fetched for it, or of the next image that is not bad.
    ///
    /// # Errors
    ///
    /// Why an image could not be had; once `cancelled`, why the last one was bad.
    pub(super) fn fill(
        &self,
        slot: Slot,
        fetched: Result<FetchedImage, FetchError>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Filled, DataError> {
        let mut fetched = Some(fetched);
        let mut bad = Vec::new();
        // The bad images of one slot are distinct.
        for offset in 0..=self.most_bad() {
            let index = self.candidate(slot, offset);
            let fetch = || self.fetch_instead(slot, offset, cancelled);
            let image = fetched.take().unwrap_or_else(fetch);
            match image.and_then(|image| self.image(slot, index, image).map_err(Corrupt)) {
                Ok(image) => {
                    let image = Some((index, image));
                    return Ok(Filled { image, bad });
                }
                // Nobody waits for the image that would stand in for it.
                Err(Corrupt(why)) if cancelled() => return Err(why),
                Err(Corrupt(why)) => bad.push((index, why)),
                Err(lost) => return Err(lost.into_error()),
            }
        }
        Ok(Filled { image: None, bad })
    }

    /// One transformed image. Its randomness belongs to the slot, so that an image that stands
    /// in for a bad one is cropped differently there.
    fn image(&self, slot: Slot, index: u32, fetched: FetchedImage) -> Result<Image, DataError> {
        let (augment, epoch) = (&self.config.augment, self.epoch(slot.step));
        let position = self.position(slot) as u64;
        let rng = &mut sample_rng(self.config.seed, Purpose::Augment, epoch, position);
        let choose = |width, height| augment.view(width, height, rng);
        let shown = self.reader.view(fetched, choose)?;
        let (name, since) = (self.source.name(index as usize), Instant::now());
        let image = guard(&name, || augment.change(shown, rng))??;
        self.reader.meter().cropped(since);
        let (expected, found) = (augment.size(), [image.height(), image.width()]);
        if found != expected {
            return Err(DataError::Image(ImageError::ImageSize { expected, found }));
        }
        match image.byte_len() == self.image_bytes() {
            true => Ok(image),
            false => {
                let found = format!("{} bytes an image", image.byte_len());
                let expected = "the channels and the depth of what it is shown";
                Err(DataError::bad_value("transform", &found, expected))
            }
        }
    }

    /// The order of the epoch of `step`; those that a batch beside it may be of are kept.
    fn order(&self, step: u64) -> Arc<[u32]> {
        let epoch = self.epoch(step);
        // No batch in the making comes before that.
        let first = self.epoch((step + 1).saturating_sub(AHEAD));
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.retain(|(known, _)| *known >= first);
        if let Some((_, order)) = orders.iter().find(|(known, _)| *known == epoch) {
            return Arc::clone(order);
        }
        let order: Arc<[u32]> = self.source.layout().order(self.config.seed, epoch).into();
        orders.push((epoch, Arc::clone(&order)));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{ScenesConfig, ScenesSource};
    use crate::transform::Augment;

    #[test]
    fn orders_of_epochs_that_are_over_are_dropped() {
        let scenes = "n=40,size=16".parse::<ScenesConfig>().unwrap();
        let source = Arc::new(ScenesSource::new(scenes));
        let plan = Plan::new(source, LoaderConfig::new(4, Augment::default())).unwrap();
        let mut held = Vec::new();
        for step in 0..30 {
            plan.candidate(Slot { step, place: 0 }, 0);
            let orders = plan.orders.lock().unwrap();
            held.push(orders.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>());
        }
        assert_eq!(held[9], [0]);
        // Batches of the epoch before may be in the making.
        assert_eq!(held[10..13], [vec![0, 1], vec![0, 1], vec![1]]);
        assert_eq!(held[29], [2]);
    }
}
