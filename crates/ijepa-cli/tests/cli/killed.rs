//! Runs of `pretrain` that are killed at random moments.
//!
//! `IJEPA_KILLS=20` kills each run that often instead of a few times, and `IJEPA_BIN=PATH` does it
//! to another binary than that of this build, such as one of the release profile:
//!
//! ```sh
//! cargo build --release --workspace
//! IJEPA_KILLS=20 IJEPA_BIN=target/release/ijepa cargo test --workspace --test cli killed
//! ```

use std::{fs, path::Path, process::Stdio, thread::sleep, time::Duration};

use crate::support::{checkpoints, command, json, metrics, tensors, tiny};

/// Kills unless `IJEPA_KILLS` says otherwise.
const KILLS: u64 = 3;
/// Steps of a run for each of its kills.
const STEPS_PER_KILL: u64 = 8;
/// A few steps last about as long.
const WITHIN_STEPS: Duration = Duration::from_millis(60);

fn kills() -> u64 {
    match std::env::var("IJEPA_KILLS") {
        Ok(text) => text.parse().expect("IJEPA_KILLS is a whole number"),
        Err(_) => KILLS,
    }
}

/// Numbers from 0 to 1 that look random.
fn random(state: &mut u64) -> f64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

/// The number of the last logged step.
fn last_step(run: &Path) -> Option<u64> {
    let text = fs::read_to_string(run.join("metrics.csv")).ok()?;
    text.lines().last()?.split(',').nth(1)?.parse().ok()
}

#[test]
fn a_run_killed_again_and_again_ends_as_if_it_had_never_been() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let last = format!("--max-steps {}", (kills() + 1) * STEPS_PER_KILL);
    json(&tiny(&whole, &format!("{last} --workers 0")));
    let outcome = |run: &Path| (metrics(run), tensors(run));
    for workers in [1, 2, 4] {
        let run = folder.path().join(format!("killed-{workers}"));
        let args = tiny(&run, &format!("{last} --workers {workers}"));
        let mut state = workers;
        let mut struck = 0;
        for kill in 0..kills() {
            // Somewhere in this share of the run, and somewhere in a step, in a checkpoint or
            // between them.
            let step = ((kill as f64 + random(&mut state)) * STEPS_PER_KILL as f64) as u64;
            let mut child = command(&args).stdout(Stdio::null()).spawn().unwrap();
            while last_step(&run) < Some(step) && child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(1));
            }
            sleep(WITHIN_STEPS.mul_f64(random(&mut state)));
            struck += u64::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(struck > 0, "every process had ended before its kill");
        json(&args);
        assert_eq!(outcome(&run), outcome(&whole), "{workers} workers");
        // Neither do unfinished checkpoints pile up.
        assert_eq!(checkpoints(&run), checkpoints(&whole));
    }
}
