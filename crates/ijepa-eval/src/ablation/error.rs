//! Why a table cannot be made.

use ijepa_train::ResolveError;

use crate::{
    Error,
    labels::LabelsError,
    sweep::{OtherRun, SweepError},
};

/// A table that was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AblationError {
    /// Nothing would be trained.
    #[error("a table needs at least one seed")]
    NoSeed,
    /// The table has no such row.
    #[error("table {table} has no row `{found}`, the nearest is `{nearest}`; rows: {}", known.join(", "))]
    UnknownRow {
        /// The name.
        found: String,
        /// Number of the table.
        table: u8,
        /// The row that was probably meant.
        nearest: &'static str,
        /// All rows.
        known: Vec<&'static str>,
    },
    /// A row cannot be carried out.
    #[error("row `{name}`")]
    Row {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: ResolveError,
    },
    /// The folder holds a run of another kind.
    #[error(transparent)]
    OtherRun(#[from] OtherRun),
    /// Training images without labels.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// A run failed or was told to stop.
    #[error(transparent)]
    Run(#[from] SweepError),
    /// A run cannot be judged.
    #[error(transparent)]
    Eval(#[from] Error),
}
