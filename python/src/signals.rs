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

/// What `work` gives in a thread of its own, which is told to stop once a signal handler raises, and
/// what the handler raised.
pub(crate) fn watched<T: Send>(work: impl FnOnce(&AtomicBool) -> T + Send) -> (T, PyResult<()>) {
    let stop = AtomicBool::new(false);
    let (done, result) = channel();
    thread::scope(|scope| {
        let told = &stop;
        let thread = scope.spawn(move || done.send(work(told)));
        let mut raised = Ok(());
        loop {
            match result.recv_timeout(GLANCE) {
                Ok(found) => return (found, raised),
                Err(RecvTimeoutError::Timeout) if raised.is_ok() => {
                    raised = check().inspect_err(|_| stop.store(true, Ordering::Relaxed));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => resume_unwind(
                    thread
                        .join()
                        .expect_err("a thread that sends nothing panicked"),
                ),
            }
        }
    })
}
