//! Runs in which something stops being a number.

use super::*;

#[test]
fn weights_that_are_no_numbers_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    // Its gradient is harmless, its update is not.
    let hot = [
        "optimizer.start_lr=3e38",
        "optimizer.lr=3e38",
        "optimizer.weight_decay=1e6",
        "run.checkpoint_every_steps=1",
    ];
    let error = failure(folder.path(), &hot, &mut []);
    let TrainError::Diverged { step: 0, tensor } = &error else {
        panic!("{error}");
    };
    assert!(tensor.starts_with("parameter "), "{tensor}");
    assert_eq!(saved_step(folder.path()), None);
}

/// Images of four channels; where one of them has no data, it says so with the largest numbers.
#[derive(Debug)]
struct Satellite;

/// The image without data.
const EMPTY: usize = 9;

impl Source for Satellite {
    fn len(&self) -> usize {
        16
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn fetch(&self, index: usize, file: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let sample = |at| match index {
            EMPTY => -3e38,
            _ => (at * (index + 3) % 251) as f32 / 251.0,
        };
        let samples = (0..32 * 32 * 4).flat_map(|at| f32::to_le_bytes(sample(at)));
        file.extend(npy("<f4", "(32, 32, 4)", &samples.collect::<Vec<u8>>()));
        Ok(Fetched::File)
    }
}

/// An epoch of these images, one of which no step survives.
fn over_all(run: &Path, on_nan: &str) -> (Result<TrainSummary, TrainError>, Warned) {
    saving_every(1, run, on_nan)
}

fn saving_every(
    steps: u64,
    run: &Path,
    on_nan: &str,
) -> (Result<TrainSummary, TrainError>, Warned) {
    let overrides = [
        &format!("run.on_nan={on_nan}"),
        "data.channels=4",
        "data.mean=[0.5, 0.5, 0.5, 0.5]",
        "data.std=[0.25, 0.25, 0.25, 0.25]",
        "run.log_every_steps=1",
        &format!("run.checkpoint_every_steps={steps}"),
        "run.keep_last=9",
    ];
    let options = up_to(4);
    let mut warned = Warned::default();
    let observers: &mut [&mut dyn Observer<Learner>] = &mut [&mut warned];
    let ended = train_on(Arc::new(Satellite), run, &overrides, &options, observers);
    (ended, warned)
}

#[test]
fn a_gradient_that_is_no_number_ends_a_run_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (ended, _) = over_all(folder.path(), "stop");
    let TrainError::Diverged { step, tensor } = ended.unwrap_err() else {
        panic!("it should have ended");
    };
    assert!(tensor.starts_with("gradient of "), "{tensor}");
    // What was good before is there.
    assert_eq!(
        saved_step(folder.path()),
        Some(step).filter(|&step| step > 0)
    );
}

#[test]
fn a_step_without_numbers_can_be_left_out() {
    let [stopped, left_out] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (ended, _) = over_all(stopped.path(), "stop");
    let TrainError::Diverged { step, tensor } = ended.unwrap_err() else {
        panic!("it should have ended");
    };
    let (ended, Warned(warnings)) = over_all(left_out.path(), "skip");
    assert_eq!(ended.unwrap().steps, 4);
    assert_eq!(
        warnings,
        [format!("step {step} is left out: {tensor} is not finite")]
    );
    let last = Checkpoint::open(left_out.path()).unwrap();
    let moments = last.moments.unwrap();
    assert_eq!((last.state.step, moments.step), (Some(4), 3));
    let kept: Vec<f64> = (0..4)
        .map(|step| step as f64)
        .filter(|&at| at != step as f64)
        .collect();
    assert_eq!(column(left_out.path(), "step"), kept);
}

#[test]
fn a_run_whose_tables_cannot_be_written_leaves_a_checkpoint() {
    let [stopped, unwritable] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (ended, _) = over_all(stopped.path(), "stop");
    let TrainError::Diverged { step, .. } = ended.unwrap_err() else {
        panic!("it should have ended");
    };
    // The step that is left out would be listed there.
    fs::create_dir(unwritable.path().join("warnings.csv")).unwrap();
    let (ended, _) = saving_every(100, unwritable.path(), "skip");
    let error = ended.unwrap_err();
    assert!(matches!(error, TrainError::Io(_)), "{error}");
    assert_eq!(saved_step(unwritable.path()), Some(step));
}

#[test]
fn weights_that_give_no_numbers_end_a_run_that_leaves_steps_out() {
    let folder = tempfile::tempdir().unwrap();
    let hot = [
        "optimizer.start_lr=1e38",
        "optimizer.lr=1e38",
        "run.on_nan=skip",
        "run.checkpoint_every_steps=100",
        "optimizer.epochs=20",
    ];
    let error = failure(folder.path(), &hot, &mut []);
    assert!(
        matches!(error, TrainError::Diverged { step: 11, .. }),
        "{error}"
    );
}
