//! Writing while training goes on.

use std::{
    panic::resume_unwind,
    thread::{Scope, ScopedJoinHandle},
};

use crate::error::TrainError;

/// Writes in a thread, one thing at a time. What is being written when a run ends, also by an error,
/// is waited for by the scope.
pub(super) struct Writer<'s, 'e> {
    scope: &'s Scope<'s, 'e>,
    writing: Option<ScopedJoinHandle<'s, Result<(), TrainError>>>,
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
        write: impl FnOnce() -> Result<(), TrainError> + Send + 's,
    ) -> Result<(), TrainError> {
        self.finish()?;
        self.writing = Some(self.scope.spawn(write));
        Ok(())
    }

    /// Waits for what is being written.
    ///
    /// # Errors
    ///
    /// Its error.
    pub(super) fn finish(&mut self) -> Result<(), TrainError> {
        let written = self.writing.take().map(ScopedJoinHandle::join);
        written.map_or(Ok(()), |written| {
            written.unwrap_or_else(|it| resume_unwind(it))
        })
    }

    /// As [`finish`](Self::finish), but waits for nothing.
    ///
    /// # Errors
    ///
    /// That of what is written.
    pub(super) fn check(&mut self) -> Result<(), TrainError> {
        match &self.writing {
            Some(writing) if writing.is_finished() => self.finish(),
            _ => Ok(()),
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
                .start(move || {
                    gone.recv().unwrap();
                    first.send(1).unwrap();
                    Ok(())
                })
                .unwrap();
            // It waits for what comes after this.
            writer.check().unwrap();
            go.send(()).unwrap();
            let second = done.clone();
            let write = move || {
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
        let fails = || Err(TrainError::OtherRank { rank: 7 });
        scope(|scope| {
            let mut writer = Writer::new(scope);
            writer.start(fails).unwrap();
            assert!(writer.start(|| Ok(())).is_err());
            writer.start(fails).unwrap();
            assert!(writer.finish().is_err());
            writer.finish().unwrap();
            writer.start(fails).unwrap();
            while writer.check().is_ok() {
                std::thread::yield_now();
            }
        });
    }
}
