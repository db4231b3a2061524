//! How many processes were started together, and which of them this is.

use std::sync::Arc;

use super::{Ranks, Single};
use crate::device::{DeviceList, DeviceSpec};

/// Variables in which launchers say how many processes they have started: Open MPI, MPICH and Intel
/// MPI, Slurm.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
/// Variables that number the processes of a machine: Open MPI, Slurm, MPICH, others.
const LOCAL_RANKS: [&str; 4] = [
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "SLURM_LOCALID",
    "MPI_LOCALRANKID",
    "LOCAL_RANK",
];
/// Variables that list the GPUs that a process may use.
const VISIBLE: [&str; 3] = [
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
];

/// Processes that were started together and cannot work together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RanksError {
    /// The binary knows no MPI.
    #[error(
        "started as one of {size} processes, but built without MPI; rebuild with --features mpi"
    )]
    NotCompiledIn {
        /// Processes that the launcher started.
        size: usize,
    },
    /// Each process believes that it is alone.
    #[error(
        "the launcher started {size} processes, but MPI knows of {known}; start them with the \
         launcher of the MPI that ijepa was built with (with Slurm: srun --mpi=pmix)"
    )]
    Strangers {
        /// Processes that the launcher started.
        size: usize,
        /// Processes that MPI has connected.
        known: usize,
    },
    /// MPI cannot be used.
    #[error("MPI does not start")]
    NotStarted,
}

/// The processes that were started together with this one, by `mpirun` or `srun`; for programs to
/// call once, at their start.
///
/// # Errors
///
/// A [`RanksError`] if there are several that cannot talk to each other: each would carry out the
/// whole run.
pub fn start() -> Result<Arc<dyn Ranks>, RanksError> {
    let size = SIZES.iter().filter_map(number).max().unwrap_or(1);
    match size {
        0 | 1 => Ok(Single::shared()),
        size => connected(size),
    }
}

#[cfg(feature = "mpi")]
fn connected(size: usize) -> Result<Arc<dyn Ranks>, RanksError> {
    let ranks = super::mpi::Mpi::start().ok_or(RanksError::NotStarted)?;
    match ranks.size() {
        known if known != size => Err(RanksError::Strangers { size, known }),
        _ => Ok(super::on_device(Arc::new(ranks))),
    }
}

#[cfg(not(feature = "mpi"))]
fn connected(size: usize) -> Result<Arc<dyn Ranks>, RanksError> {
    Err(RanksError::NotCompiledIn { size })
}

/// The device of this process where `first` is that of the first of its machine: GPUs are counted
/// on from there, and again from 0 after the last where a variable such as `CUDA_VISIBLE_DEVICES`
/// says which the process may use.
pub fn device_of(first: DeviceSpec) -> DeviceSpec {
    let visible = VISIBLE.iter().find_map(|name| std::env::var(name).ok());
    let visible = visible.map(|list| list.split(',').count());
    numbered(first, local_rank(), visible)
}

/// The device of this process where those of a machine take the ones of `devices` in turn.
pub fn device_among(devices: &DeviceList) -> DeviceSpec {
    let specs = devices.specs();
    specs[local_rank() % specs.len()]
}

/// Which process of its machine this is.
fn local_rank() -> usize {
    LOCAL_RANKS.iter().find_map(number).unwrap_or(0)
}

fn numbered(first: DeviceSpec, local: usize, visible: Option<usize>) -> DeviceSpec {
    if !first.backend.is_gpu() {
        return first;
    }
    let index = first.index + local;
    let index = visible.map_or(index, |visible| index % visible);
    DeviceSpec { index, ..first }
}

fn number(name: &&str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_a_machine_take_its_devices_in_turn() {
        let spec = |text: &str| text.parse::<DeviceSpec>().unwrap();
        let given = |first: &str, local, visible| numbered(spec(first), local, visible).to_string();
        assert_eq!(given("cuda", 3, None), "cuda:3");
        assert_eq!(given("cuda:4", 3, None), "cuda:7");
        // A launcher that gives each process one GPU has numbered it 0.
        assert_eq!(given("cuda", 3, Some(1)), "cuda");
        assert_eq!(given("rocm", 3, Some(4)), "rocm:3");
        assert_eq!(given("flex", 3, None), "flex");
    }
}
