//! Runs of `pretrain` that are killed at random moments.
//!
//! `IJEPA_KILLS=20` kills each run that often instead of a few times, and `IJEPA_BIN=PATH` does it
//! to another binary than that of this build, such as one of the release profile:
//!
//! ```sh
//! cargo build --release --workspace
//! IJEPA_KILLS=20 IJEPA_BIN=target/release/ijepa cargo test --workspace --test cli killed
//! ```

use std::{fs, path::Path, process::Command, thread::sleep, time::Duration};

use crate::support::{Background, checkpoints, endless, json, metrics, tensors, tiny};

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

/// The run is in its evaluation from the moment it has saved the epoch until long after any test.
#[test]
fn a_run_killed_in_an_evaluation_makes_up_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let evaluated = |n: u64| {
        let images = format!("scenes:n={n},size=32");
        format!("--eval-data {images} --eval-test {images}")
    };
    let scored = |run: &Path| -> Vec<String> {
        let text = fs::read_to_string(run.join("epochs.csv")).unwrap();
        let steps = text.lines().map(|line| line.split(',').nth(1).unwrap());
        steps.skip(1).map(str::to_owned).collect()
    };
    let run = folder.path().join("killed");
    json(&endless(&run, &format!("--max-steps 3 {}", evaluated(24))));
    let mut process = Background::start(&endless(&run, &evaluated(200_000)));
    process.wait_until(|| run.join("checkpoints/step-4").exists());
    drop(process);
    let ended = scored(&run).contains(&"4".to_owned());
    assert!(!ended, "the evaluation has ended");
    let whole = folder.path().join("whole");
    let finish = |run: &Path| {
        json(&endless(run, &format!("--max-steps 6 {}", evaluated(24))));
        let epochs = fs::read_to_string(run.join("epochs.csv")).unwrap();
        (metrics(run), tensors(run), epochs)
    };
    let expected = finish(&whole);
    assert_eq!(finish(&run), expected);
    assert_eq!(scored(&run), ["0", "4", "6"]);
}

/// A checkpoint is renamed away and then deleted file by file: a kill leaves any part of it.
#[test]
fn a_run_killed_in_a_deletion_goes_on_and_finishes_it() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    json(&tiny(&whole, "--max-steps 8"));
    let names = |checkpoint: &Path| {
        let entries = fs::read_dir(checkpoint).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let files = names(&whole.join("checkpoints/latest"));
    assert!(files.len() > 4, "{files:?}");
    let stopped = folder.path().join("stopped");
    json(&tiny(&stopped, "--max-steps 6 --set run.keep_last=3"));
    for deleted in 0..=files.len() {
        let run = folder.path().join(format!("killed-{deleted}"));
        // Links stay links.
        let mut copied = Command::new("cp");
        let copied = copied.arg("-RP").args([&stopped, &run]).status();
        assert!(copied.unwrap().success());
        let kept = run.join("checkpoints");
        let hidden = kept.join(".step-2.Ab3dEf.tmp");
        fs::rename(kept.join("step-2"), &hidden).unwrap();
        for name in &files[..deleted] {
            fs::remove_file(hidden.join(name)).unwrap();
        }
        json(&tiny(&run, "--max-steps 8"));
        assert_eq!(
            (metrics(&run), tensors(&run)),
            (metrics(&whole), tensors(&whole))
        );
        assert_eq!(checkpoints(&run), checkpoints(&whole), "{deleted} deleted");
    }
}
