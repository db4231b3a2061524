//! The script for Slurm of the examples, with functions in the place of Slurm's programs.

use std::path::Path;

use crate::support::program;

/// Each says its name and arguments; the first exits with a code that is given.
const STUBS: &str = r#"srun() { echo srun "$@"; return "$SRUN"; }
scontrol() { echo scontrol "$@"; }
export -f srun scontrol
exec bash "$0""#;

/// Exit code of the script whose `srun` exits with `code`, and the arguments of both programs.
fn job(code: i32) -> (Option<i32>, Vec<String>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pretrain.slurm");
    let output = program("bash")
        .env_remove("BASH_ENV")
        .args(["-c", STUBS])
        .arg(script)
        .env("SRUN", code.to_string())
        .env("SLURM_JOB_ID", "7")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (
        output.status.code(),
        said.lines().map(str::to_owned).collect(),
    )
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
