//! How far a long computation is.

use std::fmt;

/// How far a long computation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Images or steps that are done.
    pub done: usize,
    /// Images or steps in all.
    pub total: usize,
    /// What is counted.
    pub unit: ProgressUnit,
}

/// What the progress of a computation is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressUnit {
    /// Images of a source, also those that cannot be read.
    Images,
    /// Training steps.
    Steps,
}

impl fmt::Display for Progress {
    /// `640 of 5000 images`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            ProgressUnit::Images => "images",
            ProgressUnit::Steps => "steps",
        };
        write!(f, "{} of {} {unit}", self.done, self.total)
    }
}
