//! Runs whose data end, are damaged or away for a while.

use std::cell::Cell;

use super::*;

/// Forty images in two classes, and one file that is none.
fn classes(folder: &Path) -> PathBuf {
    for class in 0..2 {
        photos(&folder.join(format!("class-{class}")), 20);
    }
    let bad = folder.join("class-0/no, image.png");
    fs::write(&bad, "none").unwrap();
    bad
}

#[test]
fn data_that_ends_saves_what_was_trained_and_unreadable_images_are_listed_as_they_are_met() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ALL {
        let [run, data] =
            ["run", "data"].map(|name| folder.path().join(format!("{kind:?}-{name}")));
        let bad = classes(&data);
        let rarely =
            "--retries 1 --set run.checkpoint_every_steps=100000 data.max_bad_fraction=0.1";
        let rarely = format!("{rarely} run.eval_every_epochs=100000");
        let rarely = match kind {
            Kind::Decoder => rarely.replace("run.eval_every_epochs=100000", ""),
            Kind::Pretrain => format!("{rarely} optimizer.steps_per_epoch=100000"),
            Kind::Finetune => format!("{rarely} run.batch_size=8"),
        };
        let spec = path_text(&data);
        let test = match kind {
            Kind::Pretrain => "scenes:n=20,size=32".to_owned(),
            _ => spec.clone(),
        };
        let mut process = Background::start(&kind.on(&spec, &test, &run, &rarely));
        let listed = || fs::read_to_string(run.join("skipped.csv")).unwrap_or_default();
        process.wait_until(|| listed().ends_with('\n'));
        let (bad, text) = (path_text(bad), listed());
        assert!(
            text.starts_with(&format!("path,why\n\"{bad}\",\"")),
            "{text}"
        );
        process.wait_until(|| steps(&run, "metrics.csv").len() > 2);
        if kind != Kind::Finetune {
            assert!(!has_saved(&run), "{kind:?}");
        }
        // At once: a file that is gone from a folder that stands is another matter.
        fs::rename(&data, data.with_extension("away")).unwrap();
        let (status, message) = process.end();
        assert_eq!(status.code(), Some(4), "{kind:?}: {message}");
        let said = format!("gave up after 2 attempts: cannot read `{spec}");
        assert!(message.contains(&said), "{kind:?}: {message}");
        // Nothing was replaced because of that.
        assert_eq!(listed(), text, "{kind:?}");
        let last = steps(&run, "metrics.csv").pop();
        assert_eq!(
            Some(saved_step(&run)),
            last.map(|last| last + 1),
            "{kind:?}"
        );
    }
}

#[test]
fn images_that_an_evaluation_cannot_read_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let [train, test] = ["train", "test"].map(|name| folder.path().join(name));
    fs::remove_file(classes(&train)).unwrap();
    let bad = path_text(classes(&test));
    for kind in EVALUATED {
        let run = folder.path().join(format!("{kind:?}"));
        let [train, test] = [&train, &test].map(path_text);
        let found = json(&kind.on(&train, &test, &run, "--max-steps 2"));
        assert_eq!(found["skipped"], 1, "{kind:?}: {found}");
        if kind == Kind::Finetune {
            assert_eq!(found["test_images"], 40, "{found}");
        }
        let listed = fs::read_to_string(run.join("skipped.csv")).unwrap();
        assert!(
            listed.starts_with(&format!("path,why\n\"{bad}\",\"")),
            "{listed}"
        );
        assert_eq!(listed.lines().count(), 2, "{listed}");
    }
}

/// Waits until a run whose data are away has used up the batches that it had: one that logs every
/// step has said nothing for a while.
fn wait_for_data(process: &mut Background, run: &Path) {
    let (said, looks) = (Cell::new(0), Cell::new(0));
    process.wait_until(|| {
        sleep(Duration::from_millis(20));
        let now = steps(run, "metrics.csv").len();
        looks.set(if said.replace(now) == now {
            looks.get() + 1
        } else {
            0
        });
        looks.get() == 20
    });
}

#[test]
fn a_folder_that_is_away_for_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let [run, data, away] = ["run", "data", "away"].map(|name| folder.path().join(name));
    let bad = classes(&data);
    fs::remove_file(bad).unwrap();
    let endless = "--retries 1000 --set optimizer.epochs=100000 optimizer.steps_per_epoch=100000";
    let args = Kind::Pretrain.on(&path_text(&data), "scenes:n=20,size=32", &run, endless);
    let mut process = Background::start(&args);
    let logged = || steps(&run, "metrics.csv").len();
    process.wait_until(|| logged() > 2);
    fs::rename(&data, &away).unwrap();
    wait_for_data(&mut process, &run);
    fs::rename(&away, &data).unwrap();
    let before = logged();
    process.wait_until(|| logged() > before + 10);
    send("-TERM", process.id());
    let (status, message) = process.end();
    assert_eq!(status.code(), Some(130), "{message}");
    assert!(!run.join("skipped.csv").exists());
}

#[test]
fn ctrl_c_ends_waiting_for_data() {
    let folder = tempfile::tempdir().unwrap();
    let [run, data] = ["run", "data"].map(|name| folder.path().join(name));
    classes(&data);
    let endless = "--retries 1000000 --set optimizer.epochs=100000 data.max_bad_fraction=0.1 \
                   optimizer.steps_per_epoch=100000";
    for workers in [0, 2] {
        let run = run.join(workers.to_string());
        let more = format!("{endless} --workers {workers}");
        let args = Kind::Pretrain.on(&path_text(&data), "scenes:n=20,size=32", &run, &more);
        let mut process = Background::start(&args);
        process.wait_until(|| steps(&run, "metrics.csv").len() > 2);
        let away = data.with_extension("away");
        fs::rename(&data, &away).unwrap();
        wait_for_data(&mut process, &run);
        send("-TERM", process.id());
        let (status, message) = process.end();
        assert_eq!(status.code(), Some(130), "{message}");
        let last = steps(&run, "metrics.csv").pop();
        assert_eq!(Some(saved_step(&run)), last.map(|last| last + 1));
        fs::rename(&away, &data).unwrap();
    }
}
