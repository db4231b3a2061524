//! Flags that every command takes.

use clap::Args;

use super::{ComputeArgs, positive};

/// Flags that every command takes, so that a script can pass the same ones to all.
///
/// A command that gives one a meaning has a field of its own of the same name, which replaces
/// the one here; the others are read by nobody.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common flags")]
pub(crate) struct CommonArgs {
    /// Print the result as one JSON object on stdout; everything else goes to stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but the result
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more: every cause of an error on a line of its own
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Seed of what is random
    #[arg(long, value_name = "N", global = true)]
    seed: Option<u64>,
    /// Threads that load images
    #[arg(long, value_name = "N", global = true)]
    workers: Option<usize>,
    /// Images of a batch
    #[arg(long, value_name = "N", value_parser = positive, global = true)]
    batch_size: Option<usize>,
}
