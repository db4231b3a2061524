//! Exit codes, stable for scripts.

/// The command did what it was told.
pub(crate) const SUCCESS: u8 = 0;
/// Anything without a code of its own, such as a file that cannot be written.
pub(crate) const FAILURE: u8 = 1;
/// The command line makes no sense, as clap's own code.
pub(crate) const USAGE: u8 = 2;
/// A recipe that cannot be read or carried out, or images of other channels than it or weights take.
pub(crate) const RECIPE: u8 = 3;
/// Data that cannot be read.
pub(crate) const DATA: u8 = 4;
/// A checkpoint that cannot be read, written or used.
pub(crate) const CHECKPOINT: u8 = 5;
/// A bug of this program.
pub(crate) const BUG: u8 = 70;
/// The run diverged or collapsed.
pub(crate) const DIVERGED: u8 = 6;
/// Stopped by the user after a clean checkpoint.
pub(crate) const INTERRUPTED: u8 = 130;
