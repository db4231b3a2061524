//! Errors as Python's exceptions.

use std::{
    error::Error,
    io::{self, ErrorKind},
    iter::successors,
};

use ijepa_data::DataError;
use ijepa_model::{CheckpointError, files::on_one_line, hub::HubError};
use pyo3::{
    PyErr, PyResult,
    exceptions::{
        PyConnectionError, PyFileNotFoundError, PyOSError, PyPermissionError, PyValueError,
    },
};

pub(crate) trait Raise<T> {
    /// The value, or the exception that says the error with its causes.
    fn or_raise(self) -> PyResult<T>;
}

impl<T, E: Error + 'static> Raise<T> for Result<T, E> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(|error| raised(&error))
    }
}

/// `FileNotFoundError` and other kinds of `OSError` where the system or the network is to blame,
/// else `ValueError`.
fn raised(error: &(dyn Error + 'static)) -> PyErr {
    let mut causes = successors(Some(error), |&error| error.source());
    let message = on_one_line(error);
    match causes.find_map(system_error) {
        Some(ErrorKind::NotFound) => PyFileNotFoundError::new_err(message),
        Some(ErrorKind::PermissionDenied) => PyPermissionError::new_err(message),
        Some(ErrorKind::NotConnected) => PyConnectionError::new_err(message),
        Some(ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
        | None => PyValueError::new_err(message),
        Some(_) => PyOSError::new_err(message),
    }
}

/// What kind of failure of the system or the network an error is, if it is one.
fn system_error(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Some(error.kind());
    }
    if let Some(
        DataError::NoFolder { .. }
        | DataError::NoMatch { .. }
        | DataError::ListedMissing { .. }
        | DataError::Vanished { .. },
    ) = error.downcast_ref()
    {
        return Some(ErrorKind::NotFound);
    }
    match error.downcast_ref()? {
        CheckpointError::NotFound { .. } => Some(ErrorKind::NotFound),
        CheckpointError::Hub(error) => hub_error(error),
        _ => None,
    }
}

fn hub_error(error: &HubError) -> Option<ErrorKind> {
    match error {
        HubError::Name { .. } => None,
        HubError::NoRepository { .. }
        | HubError::NoRevision { .. }
        | HubError::NoFile { .. }
        | HubError::NoWeights { .. } => Some(ErrorKind::NotFound),
        HubError::Gated { .. } | HubError::Unauthorized { .. } => Some(ErrorKind::PermissionDenied),
        HubError::Offline { .. } | HubError::Unreachable { .. } | HubError::Cut { .. } => {
            Some(ErrorKind::NotConnected)
        }
        other => {
            let mut causes = successors(other.source(), |&cause| cause.source());
            let system = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
            Some(system.map_or(ErrorKind::Other, io::Error::kind))
        }
    }
}
