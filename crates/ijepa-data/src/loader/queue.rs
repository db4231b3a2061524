//! What is to be done next, for the threads of a loader.

use std::collections::VecDeque;

use super::assembly::Assembly;
use super::plan::{Plan, Slot};
use crate::fetch::FetchError;
use crate::reading::FetchedImage;

/// Batches that are in the making or wait.
pub(super) const AHEAD: u64 = 3;

/// Something to do.
#[derive(Debug)]
pub(super) enum Job {
    Fetch(Slot),
    Fill(Slot, Result<FetchedImage, FetchError>),
}

/// The slots of the next batches, in their order.
#[derive(Debug)]
pub(super) struct Queue {
    /// Step of the first batch that was not delivered.
    first: u64,
    /// From that step on.
    batches: VecDeque<Assembly>,
    next: Slot,
    /// Slots that are tried again.
    again: VecDeque<Slot>,
    fetched: VecDeque<(Slot, Result<FetchedImage, FetchError>)>,
    files: Files,
    /// Slabs of batches that nobody needs any more.
    slabs: Vec<Vec<u8>>,
}

/// Bytes of files.
#[derive(Debug)]
struct Files {
    most: u64,
    /// Held until they are decoded, and how many files these are.
    held: u64,
    count: usize,
    under_way: usize,
    largest: u64,
}

impl Queue {
    pub(super) fn new(plan: &Plan, step: u64) -> Self {
        Self {
            first: step,
            batches: VecDeque::new(),
            next: Slot {
                step,
                place: plan.places().start,
            },
            again: VecDeque::new(),
            fetched: VecDeque::new(),
            files: Files {
                most: plan.reading().most_bytes,
                held: 0,
                count: 0,
                under_way: 0,
                largest: 0,
            },
            slabs: Vec::new(),
        }
    }

    /// The next slot, unless enough batches are ahead.
    pub(super) fn begin(&mut self, plan: &Plan) -> Option<Slot> {
        if let Some(slot) = self.again.pop_front() {
            return Some(slot);
        }
        if self.next.step >= self.first + AHEAD {
            return None;
        }
        let (slot, places) = (self.next, plan.places());
        if slot.place == places.start {
            let slab = self.slabs.pop().unwrap_or_default();
            self.batches.push_back(Assembly::new(plan, slot.step, slab));
        }
        self.next.place += 1;
        if self.next.place == places.end {
            self.next = Slot {
                step: slot.step + 1,
                place: places.start,
            };
        }
        Some(slot)
    }

    /// As [`begin`](Self::begin), unless as many files wait as `depth` or there is no room for
    /// another one.
    pub(super) fn begin_request(&mut self, plan: &Plan, depth: usize) -> Option<Slot> {
        if self.fetched.len() >= depth || !self.files.have_room() {
            return None;
        }
        let slot = self.begin(plan)?;
        self.files.under_way += 1;
        Some(slot)
    }

    pub(super) fn fetched(&mut self, slot: Slot, fetched: Result<FetchedImage, FetchError>) {
        self.files.under_way -= 1;
        self.files
            .take(fetched.as_ref().map_or(0, FetchedImage::bytes));
        self.fetched.push_back((slot, fetched));
    }

    /// The next fetched image.
    pub(super) fn pop_fetched(&mut self) -> Option<Job> {
        let (slot, fetched) = self.fetched.pop_front()?;
        Some(Job::Fill(slot, fetched))
    }

    /// Says that `bytes` of a fetched image are held no more.
    pub(super) fn release(&mut self, bytes: u64) {
        self.files.held -= bytes;
        self.files.count -= 1;
    }

    /// The batch that `slot` belongs to.
    pub(super) fn batch(&mut self, slot: Slot) -> &mut Assembly {
        &mut self.batches[(slot.step - self.first) as usize]
    }

    /// The first batch, if it was begun.
    pub(super) fn front(&mut self) -> Option<&mut Assembly> {
        self.batches.front_mut()
    }

    /// Takes the first batch, which makes room for another.
    pub(super) fn deliver(&mut self) -> Option<Assembly> {
        self.first += 1;
        self.batches.pop_front()
    }

    /// Takes the first batch if a slot of it met too many bad images, so that no other slot need be
    /// waited for; the one in its place takes what they still become, and is never complete.
    pub(super) fn take_spent(&mut self, plan: &Plan) -> Option<Assembly> {
        let first = self.batches.front_mut().filter(|batch| batch.is_spent())?;
        let never = Assembly::new(plan, self.first, Vec::new());
        Some(std::mem::replace(first, never))
    }

    pub(super) fn try_again(&mut self, slot: Slot) {
        self.again.push_back(slot);
    }

    pub(super) fn recycle(&mut self, slab: Vec<u8>) {
        if (self.slabs.len() as u64) < AHEAD {
            self.slabs.push(slab);
        }
    }
}

impl Files {
    /// Whether another request may be made. Until the first file came, nobody knows what one takes.
    fn have_room(&self) -> bool {
        let requests = self.under_way as u64 + 1;
        self.under_way + self.count == 0
            || self.largest > 0 && self.held + requests * self.largest <= self.most
    }

    fn take(&mut self, bytes: u64) {
        self.held += bytes;
        self.count += 1;
        self.largest = self.largest.max(bytes);
    }
}
