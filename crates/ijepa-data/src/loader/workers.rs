//! Threads that fill their share of every batch, a few batches ahead.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::plan::{Filled, Plan};
use crate::error::DataError;

/// Finished shares that wait in each worker's queue; one more is in the making.
const QUEUED: usize = 2;
/// Who waits for a share looks this often whether to go on.
const GLANCE: Duration = Duration::from_millis(50);

/// Worker `n` fills the `n`th part of every batch, so order needs no bookkeeping and memory does
/// not grow with the number of workers.
#[derive(Debug)]
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
    queues: Vec<Receiver<Filled>>,
    stop: Arc<AtomicBool>,
}

impl Workers {
    pub(super) fn start(plan: &Arc<Plan>, count: usize, step: u64) -> Result<Self, DataError> {
        let places = plan.places();
        let count = count.min(places.len());
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Self {
            threads: Vec::new(),
            queues: Vec::new(),
            stop,
        };
        for number in 0..count {
            let (sender, queue) = sync_channel(QUEUED);
            let (plan, stop) = (Arc::clone(plan), Arc::clone(&workers.stop));
            let part = part(places.len(), count, number);
            let places = places.start + part.start..places.start + part.end;
            let work = move || {
                let cancelled = || stop.load(Ordering::Relaxed);
                let mut step = step;
                loop {
                    let filled = plan.fill(step, places.clone(), &cancelled);
                    // What could not be had is tried again.
                    step += u64::from(filled.lost.is_none());
                    // Nobody listens any more once the loader is dropped.
                    if cancelled() || sender.send(filled).is_err() {
                        break;
                    }
                }
            };
            let thread = Builder::new()
                .name(format!("ijepa-data-{number}"))
                .spawn(work)
                .map_err(|source| DataError::Threads { count, source })?;
            workers.threads.push(thread);
            workers.queues.push(queue);
        }
        Ok(workers)
    }

    /// Parts that a batch is divided into.
    pub(super) fn parts(&self) -> usize {
        self.queues.len()
    }

    /// The next share of one worker; nothing if it was stopped while it waited.
    pub(super) fn receive(
        &self,
        part: usize,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Filled>, DataError> {
        loop {
            match self.queues[part].recv_timeout(GLANCE) {
                Ok(filled) => return Ok(Some(filled)),
                Err(RecvTimeoutError::Timeout) if stopped() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(DataError::WorkerLost { worker: part });
                }
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Closing the queues wakes workers that wait for room.
        self.queues.clear();
        for thread in self.threads.drain(..) {
            // A worker that panicked has been reported as lost already.
            let _ = thread.join();
        }
    }
}

/// The places of part `number` when a batch is divided into `count` parts.
fn part(batch_size: usize, count: usize, number: usize) -> Range<usize> {
    batch_size * number / count..batch_size * (number + 1) / count
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn parts_cover_the_batch_without_overlap() {
        for (batch_size, count) in [(1, 1), (7, 3), (8, 8), (128, 5)] {
            let places = (0..count).flat_map(|number| part(batch_size, count, number));
            assert!(places.eq(0..batch_size));
        }
    }
}
