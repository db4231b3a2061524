//! The extension module behind the Python package `ijepa`: arguments in, one library call, arrays
//! out. Everything that takes time runs without Python's lock, which is taken now and then to look at
//! signals.

mod arguments;
mod encoder;
mod forks;
mod loader;
mod masks;
mod pixels;
mod raise;
mod signals;

use std::ffi::OsString;

use pyo3::{Python, pyfunction, pymodule};

/// What Python's allocator promises, so that no object of ours may want more.
const PYTHON_ALIGNMENT: usize = 16;
const _: () = assert!(
    align_of::<encoder::Encoder>() <= PYTHON_ALIGNMENT
        && align_of::<loader::Loader>() <= PYTHON_ALIGNMENT
        && align_of::<masks::MaskSampler>() <= PYTHON_ALIGNMENT
);

/// Carry out a command line, the program's name first; returns its exit code.
#[pyfunction]
fn run(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| ijepa_cli::run(arguments))
}

/// What the package `ijepa` is made of.
#[pymodule]
mod _ijepa {
    #[pymodule_export]
    use super::{
        encoder::{Encoder, load},
        loader::Loader,
        masks::MaskSampler,
        run,
    };

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
