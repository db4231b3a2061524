//! Any number of ranks learns the same.

use std::{collections::HashSet, fs, path::Path};

use safetensors::SafeTensors;

use super::{column, tensors, trained};

#[test]
fn any_number_of_ranks_learns_the_same_bits() {
    for accumulated in ["run.micro_batch=0", "run.micro_batch=6"] {
        let folder = tempfile::tempdir().unwrap();
        let overrides = [
            "optimizer.clip_grad=0.5",
            "model.drop_path=0.2",
            "model.position_noise=0.25",
            "objective.center_targets=true",
            accumulated,
        ];
        let run = |size: usize| {
            let run = folder.path().join(size.to_string());
            trained(&run, &overrides, size, 4);
            run
        };
        let alone = run(1);
        for size in [2, 3, 4, 5] {
            if size > 3 && accumulated.ends_with('6') {
                // Three passes.
                continue;
            }
            let together = run(size);
            assert!(
                tensors(&together) == tensors(&alone),
                "{size}, {accumulated}"
            );
            for name in ["loss", "grad_norm", "images", "ema"] {
                assert_eq!(column(&together, name), column(&alone, name), "{name}");
            }
            let skipped = |run: &Path| {
                let text = fs::read_to_string(run.join("skipped.csv")).unwrap();
                text.lines().map(str::to_owned).collect::<HashSet<_>>()
            };
            assert_eq!(skipped(&together), skipped(&alone));
        }
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    trained(&whole, &[], 1, 4);
    for (size, step) in [(4, 1), (2, 3), (1, 4)] {
        trained(&parts, &[], size, step);
    }
    assert!(tensors(&parts) == tensors(&whole));
    assert_eq!(column(&parts, "loss"), column(&whole, "loss"));
    assert_eq!(column(&parts, "processes"), ["4", "2", "2", ""]);
}

/// What the first group of a step shows does not depend on how many follow.
#[test]
fn monitors_are_those_of_one_group() {
    let folder = tempfile::tempdir().unwrap();
    let monitors = |size: usize, batch: &str| {
        let run = folder.path().join(size.to_string());
        trained(&run, &[batch], size, 1);
        fs::read_to_string(run.join("monitors.csv")).unwrap()
    };
    let (alone, first) = (
        monitors(1, "run.batch_size=3"),
        monitors(6, "run.batch_size=18"),
    );
    assert_eq!(alone, first);
}

/// The largest difference of any two numbers of the encoders.
fn difference(a: &[u8], b: &[u8]) -> f32 {
    let [a, b] = [a, b].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let values = |bytes: &[u8]| -> Vec<f32> {
        let words = bytes.chunks(4);
        words
            .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
            .collect()
    };
    let pairs = a.tensors().into_iter().flat_map(|(name, tensor)| {
        let other = b.tensor(&name).unwrap();
        let pairs = values(tensor.data()).into_iter().zip(values(other.data()));
        pairs.collect::<Vec<_>>()
    });
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// An update is the gradient over its size, which makes much of the rounding of small ones unless
/// `optimizer.eps` is larger than these.
#[test]
fn the_fast_order_learns_the_same_but_for_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let run = |size: usize| {
        let run = folder.path().join(size.to_string());
        trained(&run, &["run.reduce=fast", "optimizer.eps=1e-3"], size, 4);
        tensors(&run)
    };
    let (alone, together) = (run(1), run(3));
    assert!(difference(&together[0], &alone[0]) < 1e-6);
}
