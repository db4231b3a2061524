//! Values loaded on demand and kept up to a number of bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::DataError;

/// The values loaded last; the oldest go first.
#[derive(Debug)]
pub(super) struct Cache<T> {
    most_bytes: usize,
    held: Mutex<Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    values: HashMap<usize, (Arc<T>, usize)>,
    oldest_first: VecDeque<usize>,
    bytes: usize,
}

impl<T> Cache<T> {
    pub(super) fn new(most_bytes: usize) -> Self {
        let held = Held {
            values: HashMap::new(),
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
    /// Threads that miss the same key at once each load it, since waiting for one another would
    /// also make those wait that need other keys.
    pub(super) fn get(
        &self,
        key: usize,
        load: impl FnOnce() -> Result<(T, usize), DataError>,
    ) -> Result<Arc<T>, DataError> {
        let lock = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, _)) = lock().values.get(&key) {
            return Ok(Arc::clone(value));
        }
        let (value, bytes) = load()?;
        let value = Arc::new(value);
        let mut held = lock();
        if held
            .values
            .insert(key, (Arc::clone(&value), bytes))
            .is_none()
        {
            held.oldest_first.push_back(key);
            held.bytes += bytes;
        }
        while held.bytes > self.most_bytes && held.oldest_first.len() > 1 {
            if let Some(oldest) = held.oldest_first.pop_front()
                && let Some((_, freed)) = held.values.remove(&oldest)
            {
                held.bytes -= freed;
            }
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn a_failed_load_is_tried_again() {
        let cache: Cache<u8> = Cache::new(10);
        assert!(
            cache
                .get(0, || Err(DataError::NotBuilt { kind: "tar" }))
                .is_err()
        );
        assert_eq!(*cache.get(0, || Ok((7, 1))).unwrap(), 7);
    }
}
