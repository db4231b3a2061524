//! Verdicts of real runs: tables of `ijepa pretrain --recipe scenes_vit_nano --lidar` on 8,000
//! rendered images, 6 epochs of 100 steps logged every 20, evaluated before the first and after each.
//!
//! `learning` is the recipe as it is, `nothing` has a learning rate of 1e-9, `collapsed` one of 5e-3
//! and the context encoder as its own target (`ema.start=0 ema.end=0`), `flat` the reference's
//! initial weights (`model.init=normal`), whose ranks fall in so small a network.

use std::path::Path;

use ijepa_report::{History, RunRecord, Verdict, judge};

/// The recorded run after each epoch.
fn after_epochs(name: &str) -> Vec<History> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages/histories");
    let whole = RunRecord::read(folder.join(name)).unwrap().history();
    let until = |epoch: usize| History {
        steps: 100 * epoch as u64,
        monitors: whole.monitors[..5 * epoch].to_vec(),
        epochs: whole.epochs[..=epoch].to_vec(),
    };
    (1..=6).map(until).collect()
}

fn verdicts(name: &str) -> Vec<Verdict> {
    let judged = after_epochs(name).into_iter();
    judged.map(|history| judge(&history).verdict).collect()
}

#[test]
fn a_run_that_learns_is_never_called_collapsing() {
    let found = verdicts("learning");
    let wrong = [Verdict::Collapsing, Verdict::Collapsed];
    assert!(!found.iter().any(|it| wrong.contains(it)), "{found:?}");
    assert_eq!(found.last(), Some(&Verdict::Learning), "{found:?}");
}

#[test]
fn a_run_that_learns_nothing_is_never_called_anything_else() {
    assert_eq!(verdicts("nothing"), [Verdict::NotDistinguishable; 6]);
}

#[test]
fn runs_that_collapse_are_never_called_learning() {
    let ends = [Verdict::Collapsed, Verdict::Collapsing];
    for (name, end) in ["collapsed", "flat"].into_iter().zip(ends) {
        let found = verdicts(name);
        assert!(!found.contains(&Verdict::Learning), "{name}: {found:?}");
        assert_eq!(found.last(), Some(&end), "{name}: {found:?}");
    }
}
