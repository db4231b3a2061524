//! Threads that work ahead of one that needs the results in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, scope};

use crate::error::DataError;

/// Has `workers` threads do `work` on every number below `count`, and gives the results to `each`,
/// in order and in the calling thread, until it fails.
///
/// Thread `n` takes every `workers`th number from `n` on, so order needs no bookkeeping; about
/// `ahead` results wait in all. `work` can ask whether anybody waits for it still. Without workers
/// the calling thread does all.
///
/// # Errors
///
/// [`DataError::Threads`]; what is returned otherwise is the first error of `each`, if there is
/// one, after which no more work is begun.
///
/// # Panics
///
/// Panics if `work` does.
///
/// # Examples
///
/// ```
/// use ijepa_data::{DataError, in_order};
///
/// let mut squares = Vec::new();
/// in_order(4, 2, 8, |number, _| number * number, |_, square| {
///     squares.push(square);
///     Ok::<(), DataError>(())
/// })??;
/// assert_eq!(squares, [0, 1, 4, 9]);
/// # Ok::<(), DataError>(())
/// ```
pub fn in_order<T: Send, E>(
    count: usize,
    workers: usize,
    ahead: usize,
    work: impl Fn(usize, &dyn Fn() -> bool) -> T + Sync,
    mut each: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<Result<(), E>, DataError> {
    let workers = workers.min(count);
    let ended = AtomicBool::new(false);
    let stopped = || ended.load(Ordering::Relaxed);
    if workers == 0 {
        let all = (0..count).try_for_each(|number| each(number, work(number, &stopped)));
        return Ok(all);
    }
    scope(|scope| {
        let mut queues = Vec::with_capacity(workers);
        for first in 0..workers {
            let (sender, queue) = sync_channel(ahead.min(count).div_ceil(workers));
            let (work, stopped) = (&work, &stopped);
            let share = move || {
                for number in (first..count).step_by(workers) {
                    // Nobody listens any more once the caller has given up.
                    if sender.send(work(number, stopped)).is_err() {
                        break;
                    }
                }
            };
            Builder::new()
                .name(format!("ijepa-ahead-{first}"))
                .spawn_scoped(scope, share)
                .map_err(|source| DataError::Threads {
                    count: workers,
                    source,
                })?;
            queues.push(queue);
        }
        let result = (0..count).try_for_each(|number| {
            let done = queues[number % workers].recv();
            each(number, done.expect("a thread sends all of its share"))
        });
        ended.store(true, Ordering::Relaxed);
        Ok(result)
    })
}
