//! A batch in the making.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::Batch;
use super::plan::{Filled, Plan, Slot};
use crate::error::DataError;
use crate::image::Image;

/// The pixels of a batch, which threads fill place by place.
pub(super) type Slab = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub(super) struct Assembly {
    step: u64,
    /// Of the whole batch.
    places: Range<usize>,
    slab: Slab,
    indices: Vec<u32>,
    missing: usize,
    /// Whether a slot met too many bad images to go on.
    is_spent: bool,
    bad: Vec<(usize, u32, DataError)>,
    lost: Vec<(Slot, DataError)>,
}

impl Assembly {
    /// An empty batch in a used slab.
    pub(super) fn new(plan: &Plan, step: u64, mut slab: Vec<u8>) -> Self {
        let places = plan.places();
        slab.resize(places.len() * plan.image_bytes(), 0);
        Self {
            step,
            slab: Arc::new(Mutex::new(slab)),
            indices: vec![0; places.len()],
            missing: places.len(),
            is_spent: false,
            places,
            bad: Vec::new(),
            lost: Vec::new(),
        }
    }

    pub(super) fn slab(&self) -> Slab {
        Arc::clone(&self.slab)
    }

    /// Notes what became of `slot`, whose pixels are in the slab.
    pub(super) fn put(&mut self, slot: Slot, filled: Result<Filled, DataError>) {
        match filled {
            Ok(Filled { image, bad }) => {
                match image {
                    Some((index, _)) => self.indices[slot.place - self.places.start] = index,
                    None => self.is_spent = true,
                }
                let bad = bad.into_iter();
                self.bad
                    .extend(bad.map(|(index, why)| (slot.place, index, why)));
                self.missing -= 1;
            }
            Err(lost) => self.lost.push((slot, lost)),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// A slot whose image could not be had, and why; it is then as if it had not been tried.
    pub(super) fn take_lost(&mut self) -> Option<(Slot, DataError)> {
        self.lost.pop()
    }

    /// The batch, and the bad images in the order of the places where they were met.
    pub(super) fn finish(mut self, plan: &Plan) -> (Batch, Vec<(u32, DataError)>) {
        self.bad.sort_by_key(|&(place, ..)| place);
        let bad = self.bad.into_iter().map(|(_, index, why)| (index, why));
        let mut slab = self.slab.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = Batch {
            step: self.step,
            epoch: plan.epoch(self.step),
            first: self.places.start,
            images: std::mem::take(&mut *slab),
            indices: self.indices,
        };
        (batch, bad.collect())
    }
}

/// Copies an image to its place, the `place`th of the slab, unless its batch was given up
/// meanwhile.
pub(super) fn write(slab: &Slab, place: usize, image: &Image) {
    let pixels = image.bytes();
    let mut slab = slab.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(own) = slab.get_mut(place * pixels.len()..(place + 1) * pixels.len()) {
        own.copy_from_slice(&pixels);
    }
}
