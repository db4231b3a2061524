//! What each place of each batch holds: a pure function of the configuration.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::LoaderConfig;
use crate::error::DataError;
use crate::fetch::FetchError;
use crate::image::RgbImage8;
use crate::reading::ImageReader;
use crate::rng::{Purpose, sample_rng};
use crate::source::Source;
use crate::transform::Transform;

/// Everything needed to fill any batch; shared by all workers.
#[derive(Debug)]
pub(super) struct Plan {
    source: Arc<dyn Source>,
    config: LoaderConfig<Box<dyn Transform>>,
    reader: ImageReader,
    orders: Mutex<Vec<(u64, Arc<[u32]>)>>,
}

/// A run of places of one batch.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// `[places, height, width, 3]`; fewer places if too many images were bad to go on or one could
    /// not be had.
    pub(super) images: Vec<u8>,
    pub(super) indices: Vec<u32>,
    pub(super) bad: Vec<(u32, DataError)>,
    /// Why an image could not be had; the places from its own on are missing.
    pub(super) lost: Option<DataError>,
}

impl Plan {
    pub(super) fn new<T: Transform + 'static>(
        source: Arc<dyn Source>,
        config: LoaderConfig<T>,
    ) -> Result<Self, DataError> {
        config.augment.validate()?;
        let bad_value = |key, found: String, expected| DataError::BadValue {
            key,
            found,
            expected,
        };
        if config.batch_size == 0 {
            return Err(bad_value("batch_size", "0".to_owned(), "at least 1"));
        }
        let places = config.places.as_ref();
        if let Some(places) = places.filter(|it| it.is_empty() || it.end > config.batch_size) {
            let expected = "some of the batch";
            return Err(bad_value("places", format!("{places:?}"), expected));
        }
        if !(0.0..=1.0).contains(&config.max_bad_fraction) {
            let found = config.max_bad_fraction.to_string();
            return Err(bad_value("max_bad_fraction", found, "a number from 0 to 1"));
        }
        let images = source.len();
        if images < config.batch_size {
            return Err(DataError::TooFewImages {
                images,
                batch_size: config.batch_size,
            });
        }
        if u32::try_from(images).is_err() {
            return Err(bad_value(
                "images",
                images.to_string(),
                "at most 4294967295",
            ));
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

    pub(super) fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// The places of each batch that are filled here.
    pub(super) fn places(&self) -> Range<usize> {
        let all = 0..self.config.batch_size;
        self.config.places.clone().unwrap_or(all)
    }

    pub(super) fn image_bytes(&self) -> usize {
        self.config.augment.size().iter().product::<usize>() * 3
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

    /// Fills `places` of the batch of `step`; stops between images once `cancelled`.
    pub(super) fn fill(
        &self,
        step: u64,
        places: Range<usize>,
        cancelled: &dyn Fn() -> bool,
    ) -> Filled {
        let epoch = self.epoch(step);
        let order = self.order(epoch);
        let first = (step % self.steps_per_epoch()) as usize * self.config.batch_size;
        let mut filled = Filled::default();
        filled.images.reserve(places.len() * self.image_bytes());
        for place in places {
            if cancelled() {
                break;
            }
            let slot = first + place;
            // The bad images of one slot are distinct, so the search ends.
            for offset in 0..order.len() {
                let index = order[(slot + offset) % order.len()];
                match self.image(epoch, slot, index, cancelled) {
                    Ok(image) => {
                        filled.images.extend_from_slice(image.pixels());
                        filled.indices.push(index);
                        break;
                    }
                    Err(FetchError::Corrupt(why)) => {
                        filled.bad.push((index, why));
                        if offset >= self.most_bad() {
                            return filled;
                        }
                    }
                    Err(lost) => {
                        filled.lost = Some(lost.into_error());
                        return filled;
                    }
                }
            }
        }
        filled
    }

    /// One transformed image. Its randomness belongs to the slot, so that an image that stands
    /// in for a bad one is cropped differently there.
    fn image(
        &self,
        epoch: u64,
        slot: usize,
        index: u32,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<RgbImage8, FetchError> {
        let source = self.source.as_ref();
        self.reader
            .read(source, index as usize, cancelled, |image| {
                let mut rng = sample_rng(self.config.seed, Purpose::Augment, epoch, slot as u64);
                let image = self.config.augment.apply(image, &mut rng)?;
                let (expected, found) =
                    (self.config.augment.size(), [image.height(), image.width()]);
                match found == expected {
                    true => Ok(image),
                    false => Err(DataError::ImageSize { expected, found }),
                }
            })
    }

    /// The order of an epoch; the newest two are kept, since workers may be in either.
    fn order(&self, epoch: u64) -> Arc<[u32]> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = orders.iter().find(|(known, _)| *known == epoch) {
            return Arc::clone(order);
        }
        let order: Arc<[u32]> = self.source.layout().order(self.config.seed, epoch).into();
        if orders.len() == 2 {
            orders.remove(0);
        }
        orders.push((epoch, Arc::clone(&order)));
        order
    }
}
