//! Asking again.

use std::thread::sleep;
use std::time::Duration;

use crate::error::DataError;
use crate::fetch::FetchError;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Pauses are looked up from this often.
const GLANCE: Duration = Duration::from_millis(50);

/// How often and when a request that failed for now is made again.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ijepa_data::Retry;
///
/// let pauses: Vec<_> = Retry::default().pauses().map(|pause| pause.as_secs_f64()).collect();
/// assert_eq!(pauses, [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first one.
    pub retries: u32,
    /// Pause before the first of them; each pause is twice the one before it, up to 8 seconds.
    pub first_pause: Duration,
}

impl Default for Retry {
    /// Eight attempts within 24 seconds.
    fn default() -> Self {
        Self {
            retries: 7,
            first_pause: Duration::from_millis(250),
        }
    }
}

impl Retry {
    /// The pauses between the attempts.
    pub fn pauses(self) -> impl Iterator<Item = Duration> {
        let doubled = |pause: &Duration| Some(pause.saturating_mul(2).min(LONGEST_PAUSE));
        std::iter::successors(Some(self.first_pause), doubled).take(self.retries as usize)
    }

    /// Makes attempts until one succeeds, fails for good or is the last one, or until `stopped`.
    ///
    /// # Errors
    ///
    /// [`FetchError::Corrupt`] and [`FetchError::Missing`] as they come; after the last attempt
    /// [`FetchError::Missing`] with a [`DataError::GaveUp`], which names what was tried.
    pub fn run<T>(
        self,
        stopped: &dyn Fn() -> bool,
        mut attempt: impl FnMut() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let mut attempts = 1;
        let mut pauses = self.pauses();
        loop {
            let error = match attempt() {
                Err(FetchError::Transient(error)) => error,
                done => return done,
            };
            if !pauses.next().is_some_and(|pause| rest(pause, stopped)) {
                let source = Box::new(error);
                return Err(FetchError::Missing(DataError::GaveUp { attempts, source }));
            }
            attempts += 1;
        }
    }
}

/// Waits; false if it was stopped meanwhile.
fn rest(mut pause: Duration, stopped: &dyn Fn() -> bool) -> bool {
    while !stopped() {
        if pause.is_zero() {
            return true;
        }
        let glance = pause.min(GLANCE);
        sleep(glance);
        pause -= glance;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn failing() -> FetchError {
        FetchError::Transient(DataError::Read {
            path: "a.png".into(),
            source: std::io::ErrorKind::TimedOut.into(),
        })
    }

    fn at_once(retries: u32) -> Retry {
        Retry {
            retries,
            first_pause: Duration::ZERO,
        }
    }

    #[test]
    fn what_fails_for_now_is_tried_as_often_as_told() {
        for (failures, expected) in [(0, Some(1)), (3, Some(4)), (4, None)] {
            let tried = Cell::new(0);
            let found = at_once(3).run(&|| false, || {
                tried.set(tried.get() + 1);
                match tried.get() > failures {
                    true => Ok(tried.get()),
                    false => Err(failing()),
                }
            });
            assert_eq!(found.ok(), expected);
            assert_eq!(tried.get(), 4.min(failures + 1));
        }
        let error = at_once(2)
            .run::<()>(&|| false, || Err(failing()))
            .unwrap_err();
        let FetchError::Missing(error @ DataError::GaveUp { attempts: 3, .. }) = error else {
            panic!("{error}");
        };
        assert_eq!(error.to_string(), "gave up after 3 attempts");
    }

    #[test]
    fn what_fails_for_good_is_tried_once() {
        for error in [FetchError::Missing, FetchError::Corrupt] {
            let tried = Cell::new(0);
            let attempt = || -> Result<(), _> {
                tried.set(tried.get() + 1);
                Err(error(DataError::MissingImage { name: "a".into() }))
            };
            assert!(at_once(9).run(&|| false, attempt).is_err());
            assert_eq!(tried.get(), 1);
        }
    }

    #[test]
    fn nobody_waits_once_it_is_stopped() {
        // A pause that the test would not survive.
        let forever = Retry {
            retries: 9,
            first_pause: Duration::from_secs(1 << 30),
        };
        let stopped = Cell::new(false);
        let found = forever.run::<()>(&|| stopped.get(), || {
            stopped.set(true);
            Err(failing())
        });
        assert!(matches!(found, Err(FetchError::Missing(_))));
    }
}
