//! Runs of `pretrain` that are killed at random moments.
//!
//! `IJEPA_KILLS=20` kills each run that often instead of a few times, and `IJEPA_BIN=PATH` does it
//! to another binary than that of this build, such as one of the release profile:
//!
//! ```sh
//! cargo build --release --workspace
//! IJEPA_KILLS=20 IJEPA_BIN=target/release/ijepa cargo test --workspace --test cli killed
//! ```

use std::{fs, path::Path, thread::sleep, time::Duration};

use crate::support::{Background, checkpoints, endless, json, metrics, tensors};

/// Kills unless `IJEPA_KILLS` says otherwise.
const KILLS: u64 = 3;
/// Steps between two kills, at most and but for a few.
const STEPS: u64 = 8;
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
    let runs = [1, 2, 4].map(|workers| {
        let run = folder.path().join(format!("killed-{workers}"));
        let args = endless(&run, &format!("--workers {workers}"));
        let mut state = workers;
        for _ in 0..kills() {
            let more = 1 + (random(&mut state) * STEPS as f64) as u64;
            let step = last_step(&run).unwrap_or(0) + more;
            let mut process = Background::start(&args);
            process.wait_until(|| last_step(&run) >= Some(step));
            // Somewhere in a step, in a checkpoint or between them.
            sleep(WITHIN_STEPS.mul_f64(random(&mut state)));
        }
        (run, workers)
    });
    let reached = runs.iter().filter_map(|(run, _)| last_step(run)).max();
    let last = reached.unwrap() + STEPS;
    let finish = |run: &Path, workers: u64| {
        json(&endless(
            run,
            &format!("--workers {workers} --max-steps {last}"),
        ));
        (metrics(run), tensors(run))
    };
    let whole = folder.path().join("whole");
    let expected = finish(&whole, 0);
    for (run, workers) in runs {
        assert_eq!(finish(&run, workers), expected, "{workers} workers");
        // Neither do unfinished checkpoints pile up.
        assert_eq!(checkpoints(&run), checkpoints(&whole));
    }
}
