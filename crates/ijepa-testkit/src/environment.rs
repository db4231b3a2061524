//! What commands know of the machine and the user.

use std::{path::Path, process::Command};

/// Variables by which launchers number the processes that they start.
const LAUNCHERS: [&str; 7] = [
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "PMI_SIZE",
    "MPI_LOCALRANKID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_LOCALID",
    "LOCAL_RANK",
];
/// Variables of the user's account with a hub.
const HUB: [&str; 5] = [
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
];

/// `command` as if it was started by nobody else and for nobody in particular: as one process, with
/// caches in `caches`, with no account of a hub, and without proxies between it and this machine.
pub fn undisturbed<'a>(command: &'a mut Command, caches: &Path) -> &'a mut Command {
    for name in LAUNCHERS.into_iter().chain(HUB) {
        command.env_remove(name);
    }
    let here = "127.0.0.1,localhost";
    command
        .envs([("NO_PROXY", here), ("no_proxy", here)])
        .env("XDG_CACHE_HOME", caches)
}
