//! Processes that were forked after the threads began that compute.

use std::{process, sync::OnceLock};

use pyo3::{PyResult, exceptions::PyRuntimeError};

/// The process that has those threads: there is one pool for everything.
static COMPUTES: OnceLock<u32> = OnceLock::new();

/// Makes sure that this process has the threads that compute, or will have them.
///
/// # Errors
///
/// RuntimeError in a forked child of the process that has them, which would wait for ever.
pub(crate) fn check() -> PyResult<()> {
    if *COMPUTES.get_or_init(process::id) == process::id() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "the threads that compute are in the process that forked this one; use the start method \"spawn\", \
         or fork before anything is encoded",
    ))
}
