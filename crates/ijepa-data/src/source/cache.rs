//! Values loaded on demand and kept up to a number of bytes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::DataError;

/// The values loaded last; the oldest go first.
#[derive(Debug)]
pub(super) struct Cache<T, K = usize> {
    most_bytes: usize,
    held: Mutex<Held<T, K>>,
}

/// A value, or the place of one that is being loaded by who has the lock.
type Slot<T> = Arc<Mutex<Option<Arc<T>>>>;

#[derive(Debug)]
struct Held<T, K> {
    slots: HashMap<K, Slot<T>>,
    /// What is loaded, with its size in bytes.
    oldest_first: VecDeque<(K, usize)>,
    bytes: usize,
}

impl<T, K: Copy + Eq + Hash> Cache<T, K> {
    /// Room for `most_bytes`, or for one value of more.
    pub(super) fn new(most_bytes: usize) -> Self {
        let held = Held {
            slots: HashMap::new(),
            oldest_first: VecDeque::new(),
            bytes: 0,
        };
        Self {
            most_bytes,
            held: Mutex::new(held),
        }
    }

    /// The value of `key`; if it is not held, `load` gives it with its size in bytes.
    ///
    /// Threads that miss the same key at once wait for one of them to load it, and hold up nobody
    /// who needs another key.
    pub(super) fn get(
        &self,
        key: K,
        load: impl FnOnce() -> Result<(T, usize), DataError>,
    ) -> Result<Arc<T>, DataError> {
        let slot = Arc::clone(lock(&self.held).slots.entry(key).or_default());
        let mut place = lock(&slot);
        if let Some(value) = &*place {
            return Ok(Arc::clone(value));
        }
        let (value, bytes) = load()?;
        let value = Arc::new(value);
        *place = Some(Arc::clone(&value));
        drop(place);
        lock(&self.held).keep(key, slot, bytes, self.most_bytes);
        Ok(value)
    }
}

impl<T, K: Copy + Eq + Hash> Held<T, K> {
    /// Counts what was loaded into `slot`, and forgets the oldest values beyond `most_bytes`.
    fn keep(&mut self, key: K, slot: Slot<T>, bytes: usize, most_bytes: usize) {
        self.slots.insert(key, slot);
        self.oldest_first.push_back((key, bytes));
        self.bytes += bytes;
        while self.bytes > most_bytes && self.oldest_first.len() > 1 {
            if let Some((oldest, freed)) = self.oldest_first.pop_front() {
                self.slots.remove(&oldest);
                self.bytes -= freed;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::order::Layout;

    #[test]
    fn the_oldest_values_make_room() {
        let cache = Cache::new(10);
        let get = |key: usize| {
            let mut loaded = false;
            let value = cache.get(key, || {
                loaded = true;
                Ok((key * 2, 4))
            });
            assert_eq!(*value.unwrap(), key * 2);
            loaded
        };
        let loads = [1, 2, 1, 3, 2, 1, 3].map(get);
        assert_eq!(loads, [true, true, false, true, false, true, false]);
        assert_eq!(lock(&cache.held).slots.len(), 2);
    }

    #[test]
    fn a_failed_load_is_tried_again() {
        let cache: Cache<u8> = Cache::new(10);
        let name = "a".to_owned();
        let failed = cache.get(0, || Err(DataError::MissingImage { name }));
        assert!(failed.is_err());
        assert_eq!(*cache.get(0, || Ok((7, 1))).unwrap(), 7);
    }

    #[test]
    fn runs_are_loaded_once_a_window_by_any_number_of_threads_and_two_windows_are_held() {
        // Forty runs of ten images of one byte, in windows of four.
        let ends = (1..=40).map(|run| 10 * run).collect();
        let order = Layout::Runs { ends, window: 4 }.order(3, 0);
        for threads in [1, 2, 8] {
            let (cache, batch_end) = (Cache::new(2 * 4 * 10), Barrier::new(threads));
            let loads = [const { AtomicUsize::new(0) }; 40];
            let work = &|thread: usize| {
                for batch in order.chunks(25) {
                    for &image in batch.iter().skip(thread).step_by(threads) {
                        let run = image as usize / 10;
                        let load = || {
                            std::thread::yield_now();
                            loads[run].fetch_add(1, Ordering::Relaxed);
                            Ok(([run; 10], 10))
                        };
                        assert_eq!(*cache.get(run, load).unwrap(), [run; 10]);
                        assert!(lock(&cache.held).bytes <= 80);
                    }
                    batch_end.wait();
                }
            };
            std::thread::scope(|scope| {
                (0..threads).for_each(|thread| drop(scope.spawn(move || work(thread))));
            });
            let loads = loads.map(AtomicUsize::into_inner);
            assert_eq!(loads, [1; 40], "{threads} threads");
        }
    }
}
