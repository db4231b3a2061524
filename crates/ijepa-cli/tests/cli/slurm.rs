//! The script for Slurm of the examples, with programs in the place of Slurm's.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::program;

/// Exit code of the script whose `srun` exits with `code`, and the arguments of both programs.
fn job(code: i32) -> (Option<i32>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    for (name, code) in [("srun", code), ("scontrol", 0)] {
        let path = folder.path().join(name);
        let script = format!(
            "#!/bin/sh\necho {name} \"$@\" >> '{}'\nexit {code}\n",
            said.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pretrain.slurm");
    let path = std::env::var_os("PATH").unwrap();
    let paths = [folder.path().to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let status = program("bash")
        .arg(script)
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("SLURM_JOB_ID", "7")
        .status()
        .unwrap();
    let said = fs::read_to_string(said).unwrap();
    (status.code(), said.lines().map(str::to_owned).collect())
}

#[test]
fn a_job_that_was_stopped_after_a_checkpoint_is_queued_again_and_no_other() {
    let (code, said) = job(130);
    let [trained, queued] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(
        trained.starts_with("srun --mpi=pmix ijepa pretrain "),
        "{trained}"
    );
    assert_eq!((code, queued.as_str()), (Some(130), "scontrol requeue 7"));
    for code in [0, 1] {
        let (found, said) = job(code);
        assert_eq!((found, said.len()), (Some(code), 1), "{said:?}");
    }
}
