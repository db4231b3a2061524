//! How many pixels are in memory.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Pixels that threads share.
#[derive(Debug)]
pub(super) struct PixelBudget {
    most: u64,
    taken: Mutex<u64>,
    returned: Condvar,
}

/// Pixels that are taken until it is dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    budget: &'a PixelBudget,
    pixels: u64,
}

impl PixelBudget {
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            taken: Mutex::new(0),
            returned: Condvar::new(),
        }
    }

    /// Waits until `pixels` are left, or all of them if they are more than there are.
    ///
    /// A large image does not wait forever for small ones, since threads stop where nobody takes
    /// what they have made.
    pub(super) fn take(&self, pixels: u64) -> Share<'_> {
        let pixels = pixels.min(self.most);
        let taken = self.returned.wait_while(self.taken(), |taken| {
            *taken > 0 && *taken + pixels > self.most
        });
        *taken.unwrap_or_else(PoisonError::into_inner) += pixels;
        Share {
            budget: self,
            pixels,
        }
    }

    fn taken(&self) -> MutexGuard<'_, u64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.taken() -= self.pixels;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn threads_never_hold_more_than_there_is_but_one_that_needs_more() {
        let budget = PixelBudget::new(10);
        let (held, holders) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (budget, held, holders) = (&budget, &held, &holders);
                scope.spawn(move || {
                    for turn in 0..200 {
                        let pixels = [3, 5, 10, 70][((thread + turn) % 4) as usize];
                        let share = budget.take(pixels);
                        let others = holders.fetch_add(1, Ordering::SeqCst);
                        let now = held.fetch_add(pixels, Ordering::SeqCst) + pixels;
                        assert!(now <= 10 || (pixels == 70 && others == 0), "{now}");
                        std::thread::yield_now();
                        held.fetch_sub(pixels, Ordering::SeqCst);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(share);
                    }
                });
            }
        });
        assert_eq!(*budget.taken(), 0);
    }
}
