//! Writing while training goes on.

use std::{
    panic::resume_unwind,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Scope, ScopedJoinHandle},
    time::Duration,
};

use crate::error::TrainError;

/// Bytes a second at which writing takes about two percent of a core.
const RATE: f64 = 50e6;

/// How fast something is written: gently while training goes on, at once where it is waited for.
#[derive(Default)]
pub(super) struct Pace {
    awaited: Mutex<bool>,
    changed: Condvar,
}

impl Pace {
    /// Waits until it is time for `bytes` more.
    pub(super) fn wait(&self, bytes: usize) {
        let time = Duration::from_secs_f64(bytes as f64 / RATE);
        let waited = self
            .changed
            .wait_timeout_while(self.awaited(), time, |awaited| !*awaited);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn hurry(&self) {
        *self.awaited() = true;
        self.changed.notify_all();
    }

    fn awaited(&self) -> MutexGuard<'_, bool> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes in a thread, one thing at a time. What is being written when a run ends, also by an
/// error, is waited for by the scope.
pub(super) struct Writer<'s, 'e> {
    scope: &'s Scope<'s, 'e>,
    writing: Option<Writing<'s>>,
}

struct Writing<'s> {
    thread: ScopedJoinHandle<'s, Result<(), TrainError>>,
    pace: Arc<Pace>,
}

impl<'s, 'e> Writer<'s, 'e> {
    pub(super) fn new(scope: &'s Scope<'s, 'e>) -> Self {
        let writing = None;
        Self { scope, writing }
    }

    /// Has `write` done, after what is being written.
    ///
    /// # Errors
    ///
    /// The error of the latter.
    pub(super) fn start(
        &mut self,
        write: impl FnOnce(&Pace) -> Result<(), TrainError> + Send + 's,
    ) -> Result<(), TrainError> {
        self.finish()?;
        let pace = Arc::new(Pace::default());
        let paced = Arc::clone(&pace);
        let thread = self.scope.spawn(move || write(&paced));
        self.writing = Some(Writing { thread, pace });
        Ok(())
    }

    /// Waits for what is being written.
    ///
    /// # Errors
    ///
    /// Its error.
    pub(super) fn finish(&mut self) -> Result<(), TrainError> {
        let Some(Writing { thread, pace }) = self.writing.take() else {
            return Ok(());
        };
        pace.hurry();
        thread.join().unwrap_or_else(|it| resume_unwind(it))
    }

    /// As [`finish`](Self::finish), but waits for nothing.
    ///
    /// # Errors
    ///
    /// That of what is written.
    pub(super) fn check(&mut self) -> Result<(), TrainError> {
        match &self.writing {
            Some(writing) if writing.thread.is_finished() => self.finish(),
            _ => Ok(()),
        }
    }
}

impl Drop for Writer<'_, '_> {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.pace.hurry();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, thread::scope};

    use super::*;

    #[test]
    fn one_thing_is_written_at_a_time_while_the_run_goes_on() {
        let (go, gone) = channel();
        let (done, order) = channel();
        scope(|scope| {
            let mut writer = Writer::new(scope);
            let first = done.clone();
            writer
                .start(move |_| {
                    gone.recv().unwrap();
                    first.send(1).unwrap();
                    Ok(())
                })
                .unwrap();
            // It waits for what comes after this.
            writer.check().unwrap();
            go.send(()).unwrap();
            let second = done.clone();
            let write = move |_: &Pace| {
                second.send(2).unwrap();
                Ok(())
            };
            writer.start(write).unwrap();
            writer.finish().unwrap();
            writer.finish().unwrap();
        });
        drop(done);
        assert_eq!(order.iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_error_is_told_at_the_next_occasion_and_once() {
        let fails = |_: &Pace| Err(TrainError::OtherRank { rank: 7 });
        scope(|scope| {
            let mut writer = Writer::new(scope);
            writer.start(fails).unwrap();
            assert!(writer.start(|_| Ok(())).is_err());
            writer.start(fails).unwrap();
            assert!(writer.finish().is_err());
            writer.finish().unwrap();
            writer.start(fails).unwrap();
            while writer.check().is_ok() {
                std::thread::yield_now();
            }
        });
    }

    /// As many bytes as take longer than any test.
    const ENDLESS: usize = usize::MAX >> 16;

    #[test]
    fn what_is_written_takes_its_time_until_it_is_waited_for() {
        let (done, written) = channel();
        scope(|scope| {
            let mut writer = Writer::new(scope);
            for _ in 0..2 {
                let done = done.clone();
                let write = move |pace: &Pace| {
                    pace.wait(ENDLESS);
                    done.send(()).unwrap();
                    Ok(())
                };
                writer.start(write).unwrap();
            }
            // The first was waited for by the second.
            written.recv().unwrap();
            writer.check().unwrap();
            assert!(written.try_recv().is_err());
            // The scope waits for the second when the writer is gone.
        });
        written.recv().unwrap();
    }
}
