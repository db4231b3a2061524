//! Threads that wait for storage, and threads that decode and crop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::assembly::{Assembly, write};
use super::plan::{Plan, Slot};
use super::queue::{Job, Queue};
use crate::error::DataError;
use crate::fetch::FetchError;
use crate::reading::FetchedImage;

/// Who waits for a batch looks this often whether to go on.
const GLANCE: Duration = Duration::from_millis(50);
/// Requests that are under way at once if nothing else was said.
const LEAST_DEPTH: usize = 16;
const DEPTH_PER_WORKER: usize = 4;

/// Threads that fill the slots of the next batches; without any, who takes a batch does.
#[derive(Debug)]
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Arc<Plan>,
    /// Requests under way at once; 0 if who decodes also fetches.
    depth: usize,
    queue: Mutex<Queue>,
    stop: AtomicBool,
    /// For those who make requests: there may be another one.
    room: Condvar,
    /// For those who decode: there may be something.
    work: Condvar,
    /// For who takes batches: one may be complete.
    done: Condvar,
}

impl Workers {
    pub(super) fn start(plan: &Arc<Plan>, count: usize, step: u64) -> Result<Self, DataError> {
        let count = count.min(plan.places().len());
        let depth = match plan.reading().io_depth {
            _ if count == 0 || plan.source().is_computed() => 0,
            0 => (DEPTH_PER_WORKER * count).max(LEAST_DEPTH),
            depth => depth,
        };
        let shared = Arc::new(Shared {
            plan: Arc::clone(plan),
            depth,
            queue: Mutex::new(Queue::new(plan, step)),
            stop: AtomicBool::new(false),
            room: Condvar::new(),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let mut workers = Self {
            threads: Vec::new(),
            shared,
        };
        workers.spawn(depth, "io", Shared::make_requests)?;
        workers.spawn(count, "data", Shared::fill_slots)?;
        Ok(workers)
    }

    /// Starts `count` threads that do `work`.
    fn spawn(&mut self, count: usize, kind: &str, work: fn(&Shared)) -> Result<(), DataError> {
        for number in 0..count {
            let shared = Arc::clone(&self.shared);
            let thread = Builder::new()
                .name(format!("ijepa-{kind}-{number}"))
                .spawn(move || work(&shared))
                .map_err(|source| DataError::Threads { count, source })?;
            self.threads.push(thread);
        }
        Ok(())
    }

    /// The next batch, or what there is of it if a slot of it met too many bad images to go on;
    /// nothing if it was stopped while it waited.
    pub(super) fn receive(
        &self,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Assembly>, DataError> {
        let shared = &self.shared;
        let mut queue = shared.lock();
        loop {
            if let Some((slot, error)) = queue.front().and_then(Assembly::take_lost) {
                queue.try_again(slot);
                shared.wake_all();
                return if stopped() { Ok(None) } else { Err(error) };
            }
            if let Some(batch) = queue.take_spent(&shared.plan) {
                return Ok(Some(batch));
            }
            if queue.front().is_some_and(|batch| batch.is_complete()) {
                let batch = queue.deliver();
                shared.wake_all();
                return Ok(batch);
            }
            if stopped() {
                return Ok(None);
            }
            if self.threads.is_empty() {
                let slot = queue.begin(&shared.plan).expect("the batch has free slots");
                drop(queue);
                shared.fill(slot, shared.plan.fetch(slot, stopped), stopped);
                queue = shared.lock();
                continue;
            }
            if let Some(worker) = self.threads.iter().position(JoinHandle::is_finished) {
                return Err(DataError::WorkerLost { worker });
            }
            let waited = shared.done.wait_timeout(queue, GLANCE);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes a slab that is used for a batch to come.
    pub(super) fn recycle(&self, slab: Vec<u8>) {
        self.shared.lock().recycle(slab);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wake_all(&self) {
        self.room.notify_all();
        self.work.notify_all();
    }

    /// What `find` finds, waiting for it on `change`; none once stopped.
    fn next<T>(
        &self,
        change: &Condvar,
        mut find: impl FnMut(&mut Queue) -> Option<T>,
    ) -> Option<T> {
        let mut queue = self.lock();
        while !self.stopped() {
            if let Some(found) = find(&mut queue) {
                return Some(found);
            }
            queue = change.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// What a thread for requests does.
    fn make_requests(&self) {
        let request = |queue: &mut Queue| queue.begin_request(&self.plan, self.depth);
        while let Some(slot) = self.next(&self.room, request) {
            // There may be room for more than one.
            self.room.notify_one();
            let fetched = self.plan.fetch(slot, &|| self.stopped());
            self.lock().fetched(slot, fetched);
            self.work.notify_one();
            self.room.notify_one();
        }
    }

    /// What a thread for decoding does.
    fn fill_slots(&self) {
        let stopped = || self.stopped();
        let job = |queue: &mut Queue| match self.depth {
            0 => queue.begin(&self.plan).map(Job::Fetch),
            _ => queue.pop_fetched(),
        };
        while let Some(job) = self.next(&self.work, job) {
            match job {
                Job::Fetch(slot) => self.fill(slot, self.plan.fetch(slot, &stopped), &stopped),
                Job::Fill(slot, fetched) => {
                    self.room.notify_one();
                    let bytes = fetched.as_ref().map_or(0, FetchedImage::bytes);
                    self.fill(slot, fetched, &stopped);
                    self.lock().release(bytes);
                    self.room.notify_one();
                }
            }
        }
    }

    /// Decodes, crops and puts an image into its batch.
    fn fill(
        &self,
        slot: Slot,
        fetched: Result<FetchedImage, FetchError>,
        stopped: &dyn Fn() -> bool,
    ) {
        let filled = self.plan.fill(slot, fetched, stopped);
        if let Ok(Some((_, image))) = filled.as_ref().map(|filled| &filled.image) {
            let slab = self.lock().batch(slot).slab();
            write(&slab, slot.place - self.plan.places().start, image);
        }
        self.lock().batch(slot).put(slot, filled);
        self.done.notify_one();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        {
            // Under the lock, so that nobody who is about to wait misses it.
            let _queue = self.shared.lock();
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        self.shared.wake_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has been reported as lost already.
            let _ = thread.join();
        }
    }
}
