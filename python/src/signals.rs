//! Ctrl-C during what takes time.

use std::{
    panic::resume_unwind,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use pyo3::{PyResult, Python};

/// Time between two looks at signals while another thread works.
const GLANCE: Duration = Duration::from_millis(50);

/// Lets Python handle the signals that came meanwhile.
///
/// # Errors
///
/// What a handler raises, such as `KeyboardInterrupt`.
pub(crate) fn check() -> PyResult<()> {
    Python::attach(|py| py.check_signals())
}

/// What `work` gives in a thread of its own, which is told to stop once a signal handler raises.
///
/// # Errors
///
/// What the handler raised, after the thread has ended.
pub(crate) fn unless_raised<T: Send>(work: impl FnOnce(&AtomicBool) -> T + Send) -> PyResult<T> {
    let stop = AtomicBool::new(false);
    let (done, result) = channel();
    thread::scope(|scope| {
        let told = &stop;
        let thread = scope.spawn(move || done.send(work(told)));
        loop {
            match result.recv_timeout(GLANCE) {
                Ok(found) => return Ok(found),
                Err(RecvTimeoutError::Timeout) => {
                    check().inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                }
                Err(RecvTimeoutError::Disconnected) => resume_unwind(
                    thread
                        .join()
                        .expect_err("a thread that sends nothing panicked"),
                ),
            }
        }
    })
}
