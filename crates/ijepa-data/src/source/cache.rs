//! Values loaded on demand and kept up to a number of bytes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::DataError;
use crate::fetch::FetchError;

/// The values loaded last; the oldest go first.
#[derive(Debug)]
pub(super) struct Cache<T, K = usize> {
    most_bytes: usize,
    held: Mutex<Held<T, K>>,
}

/// What was loaded, or its place while who has the lock loads it.
type Slot<T> = Arc<Mutex<Option<Result<Arc<T>, Arc<DataError>>>>>;

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
    /// who needs another key. If that fails, all of them have its error; a later call loads again
    /// unless what was read is damaged.
    ///
    /// # Errors
    ///
    /// [`DataError::Shared`].
    pub(super) fn get(
        &self,
        key: K,
        load: impl FnOnce() -> Result<(T, usize), DataError>,
    ) -> Result<Arc<T>, DataError> {
        let slot = Arc::clone(lock(&self.held).slots.entry(key).or_default());
        let mut place = lock(&slot);
        if let Some(known) = &*place {
            return known.clone().map_err(DataError::Shared);
        }
        let loaded = load().map_err(FetchError::from);
        let is_final = matches!(loaded, Ok(_) | Err(FetchError::Corrupt(_)));
        let (value, bytes) = match loaded {
            Ok((value, bytes)) => (Ok(Arc::new(value)), bytes),
            Err(error) => (Err(Arc::new(error.into_error())), 0),
        };
        *place = Some(value.clone());
        drop(place);
        let mut held = lock(&self.held);
        match is_final {
            true => held.keep(key, slot, bytes, self.most_bytes),
            // Those who wait have the slot.
            false => drop(held.slots.remove(&key)),
        }
        value.map_err(DataError::Shared)
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

    fn lost() -> DataError {
        let source = std::io::ErrorKind::TimedOut.into();
        let path = "a".into();
        DataError::Read { path, source }
    }

    #[test]
    fn what_fails_for_now_is_loaded_again_and_what_is_damaged_is_not() {
        let cache: Cache<u8> = Cache::new(10);
        assert!(cache.get(0, || Err(lost())).is_err());
        assert_eq!(*cache.get(0, || Ok((7, 1))).unwrap(), 7);
        let name = "b".to_owned();
        let damaged = cache.get(1, || Err(DataError::MissingImage { name }));
        let again = cache.get(1, || unreachable!("it is known"));
        let [first, second] = [damaged, again].map(|found| found.unwrap_err().to_string());
        assert_eq!((first.as_str(), &second), ("`b` has no image", &first));
        assert_eq!(*cache.get(0, || unreachable!("it is held")).unwrap(), 7);
    }

    #[test]
    fn those_who_wait_for_a_failed_load_have_its_error() {
        const WAITING: usize = 4;
        let (cache, loads) = (Cache::<u8>::new(10), AtomicUsize::new(0));
        let load = || {
            loads.fetch_add(1, Ordering::Relaxed);
            // Until all others wait: the cache, this thread and they hold the slot.
            while Arc::strong_count(&lock(&cache.held).slots[&0]) < WAITING + 2 {
                std::thread::yield_now();
            }
            Err(lost())
        };
        std::thread::scope(|scope| {
            for _ in 0..=WAITING {
                scope.spawn(|| assert!(cache.get(0, load).is_err()));
            }
        });
        assert_eq!(loads.into_inner(), 1);
        assert_eq!(lock(&cache.held).slots.len(), 0);
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
