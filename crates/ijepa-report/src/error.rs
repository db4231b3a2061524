//! Why there is no report.

use std::path::PathBuf;

/// A run that cannot be reported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// There is nothing at the path.
    #[error("there is no `{}`", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The folder holds no run.
    #[error("`{}` is no run directory: it has neither metrics.csv nor the settings of a run, nor have its folders", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the run cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
