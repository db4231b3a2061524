//! What runs keep: checkpoints, scores and files.

use super::*;

#[test]
fn what_is_not_finite_is_never_saved() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ALL {
        let run = folder.path().join(format!("{kind:?}"));
        text(&kind.args(&run, "--max-steps 2"));
        // No step is logged before the next checkpoint.
        let hot = "--max-steps 8 --set optimizer.lr=1e30 run.log_every_steps=1000";
        fails(&kind.args(&run, hot), 6, "diverged at step");
        assert!(saved_step(&run) >= 2, "{kind:?}");
        let saved = files(&run.join("checkpoints"));
        let tensors = saved.iter().filter(|(path, _)| {
            let extension = path.extension();
            extension.is_some_and(|extension| extension == "safetensors")
        });
        for (path, bytes) in tensors {
            for (name, tensor) in SafeTensors::deserialize(bytes).unwrap().tensors() {
                assert_eq!(tensor.dtype(), Dtype::F32);
                let finite = f32s(tensor.data()).iter().all(|value| value.is_finite());
                assert!(finite, "{}: {name}", path.display());
            }
        }
    }
}

#[test]
fn where_a_run_ends_its_scores_are_told_and_written() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, score) in EVALUATED.into_iter().zip(["rankme", "top1"]) {
        let run = folder.path().join(format!("{kind:?}"));
        let said = text(&kind.args(&run, "--max-steps 3"));
        assert!(said.contains(&format!("\n{score} ")), "{said}");
        let table = fs::read_to_string(run.join("epochs.csv")).unwrap();
        let row = table.lines().last().unwrap();
        assert!(row.starts_with(",3,"), "{table}");
        let cells = row.split(',').filter(|cell| !cell.is_empty());
        assert!(cells.count() > 2, "{table}");
    }
}

#[test]
fn checkpoints_come_by_the_clock_too() {
    let folder = tempfile::tempdir().unwrap();
    let rarely = "--max-steps 3 --set run.checkpoint_every_steps=100 run.keep_last=9";
    for kind in ALL {
        let kept = |minutes: f64| {
            let run = folder.path().join(format!("{kind:?}-{minutes}"));
            let more = format!("{rarely} run.checkpoint_every_minutes={minutes}");
            text(&kind.args(&run, &more));
            let path = |step| run.join(format!("checkpoints/step-{step}"));
            [1, 2, 3].map(|step| path(step).is_dir())
        };
        assert_eq!(kept(0.0), [false, false, true], "{kind:?}");
        assert_eq!(kept(1000.0), [false, false, true], "{kind:?}");
        assert_eq!(kept(1e-9), [true; 3], "{kind:?}");
    }
}

#[test]
fn another_run_and_an_incomplete_checkpoint_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ALL {
        let at = |name: &str| folder.path().join(format!("{kind:?}-{name}"));
        let (run, other) = (at("run"), at("other"));
        text(&kind.args(&run, "--max-steps 2"));
        text(&kind.args(&other, "--max-steps 3 --seed 5"));
        let before = files(&run);
        let theirs = path_text(other.join("checkpoints/step-3"));
        let resume = format!("--max-steps 4 --resume {theirs}");
        fails(&kind.args(&run, &resume), 5, "holds another run");
        assert_eq!(files(&run).len(), before.len());
        assert_eq!(
            (saved_step(&run), steps(&run, "metrics.csv")),
            (2, vec![0, 1])
        );

        for part in ["state.json", "optimizer.safetensors"] {
            let path = run.join("checkpoints/latest").join(part);
            let contents = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fails(&kind.args(&run, "--max-steps 4"), 5, part);
            fs::write(&path, contents).unwrap();
        }

        // A copy without links goes on, and the row of its end is forgotten.
        for link in ["latest", "best"] {
            let _ = fs::remove_file(run.join("checkpoints").join(link));
        }
        text(&kind.args(&run, "--max-steps 3"));
        assert_eq!(steps(&run, "metrics.csv"), [0, 1, 2], "{kind:?}");
    }
}

#[test]
fn where_the_newest_checkpoint_is_damaged_the_one_before_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, weights) in EVALUATED.into_iter().zip(["encoder", "classifier"]) {
        let run = folder.path().join(format!("{kind:?}"));
        text(&kind.args(&run, "--max-steps 4"));
        let weights = run.join(format!("checkpoints/latest/{weights}.safetensors"));
        let whole = fs::read(&weights).unwrap();
        let mut no_numbers = whole.clone();
        let end = whole.len() - 4;
        no_numbers[end..].copy_from_slice(&f32::NAN.to_le_bytes());
        let cut = whole[..100].to_vec();
        let next = kind.args(&run, "--max-steps 5");
        let note = format!(
            "note: --resume {} ",
            path_text(run.join("checkpoints/step-2"))
        );
        for damaged in [no_numbers, cut] {
            fs::write(&weights, damaged).unwrap();
            fails(&next, 5, &note);
        }
        fs::write(&weights, whole).unwrap();
        text(&next);
    }
    // Another network is no fault of the checkpoint.
    let run = folder.path().join("Pretrain");
    let deeper = ijepa(&Kind::Pretrain.args(&run, "--set model.depth=2"));
    assert_eq!(deeper.code, Some(5), "{deeper:?}");
    assert!(!deeper.stderr.contains("note: "), "{deeper:?}");
}

#[test]
fn every_run_has_its_files_and_a_verdict_and_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, settings) in ALL.into_iter().zip(["recipe", "finetune", "decoder"]) {
        let run = folder.path().join(format!("{kind:?}"));
        let mut first = Background::start(&kind.args(&run, ""));
        first.wait_until(|| has_saved(&run));
        fails(&kind.args(&run, ""), 1, "is in use by another process");
        drop(first);
        let step = saved_step(&run) + 1;
        let found = json(&kind.args(&run, &format!("--max-steps {step}")));
        assert_eq!(found["steps"], step, "{found}");
        for key in ["verdict", "reason"] {
            assert!(found[key].is_string(), "{found}");
        }
        for key in [
            "images",
            "loss_first",
            "loss_last",
            "loss_mean",
            "device_hours",
        ] {
            assert!(found[key].is_number(), "{key} of {found}");
        }
        let names: Vec<String> = files(&run)
            .iter()
            .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        for name in [
            &format!("{settings}.toml"),
            "environment.json",
            "metrics.csv",
        ] {
            assert!(names.iter().any(|found| found == name), "{names:?}");
        }
        let events = names
            .iter()
            .any(|name| name.starts_with("events.out.tfevents"));
        assert!(events, "{names:?}");
        let header = fs::read_to_string(run.join("metrics.csv")).unwrap();
        let header = header.lines().next().unwrap();
        assert!(header.starts_with("epoch,step,images,loss,lr,"), "{header}");
        assert!(header.ends_with(",loss_mean"), "{header}");
    }
}
