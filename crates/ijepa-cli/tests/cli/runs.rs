//! What all commands that train have in common: how they end, and what they leave behind then.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use ijepa_testkit::device_name;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::support::{
    Background, command, f32s, golden, ijepa, json, path_text, text, tiny_on, words,
};

/// A command that trains.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Pretrain,
    Finetune,
    Decoder,
}

const ALL: [Kind; 3] = [Kind::Pretrain, Kind::Finetune, Kind::Decoder];
/// Those that evaluate.
const EVALUATED: [Kind; 2] = [Kind::Pretrain, Kind::Finetune];

const DATA: &str = "scenes:kind=texture,n=48,size=32";
const FEW: &str = "scenes:kind=texture,n=10,size=32,seed=2";
/// No test waits for all of them.
const MANY: &str = "scenes:kind=texture,n=200000,size=32,seed=2";

impl Kind {
    /// A run of little work on `data` that logs each step, saves every second and does not end by
    /// itself while a test lasts; one that evaluates does so on `test` every four or six steps.
    fn on(self, data: &str, test: &str, out: &Path, more: &str) -> Vec<String> {
        let own = match self {
            Self::Pretrain => {
                let evaluated = format!("--eval-data {test} --eval-test {test}");
                let more = format!("--quiet --set optimizer.epochs=100000 {evaluated} {more}");
                return tiny_on(data, out, &more);
            }
            Self::Finetune => format!(
                "finetune --train {data} --test {test} --epochs 100000 \
                 --set run.batch_size=8 optimizer.warmup_epochs=0.5"
            ),
            Self::Decoder => format!(
                "visualize rcdm train --data {data} --steps 100000 \
                 --set run.batch_size=8 decoder.size=8 decoder.channels=8 decoder.multipliers=[1,1] \
                 decoder.groups=4 decoder.heads=2"
            ),
        };
        let (device, weights, out) = (device_name(), golden("hf_tiny_saved"), path_text(out));
        let every = "run.log_every_steps=1 run.checkpoint_every_steps=2";
        let common = format!("--quiet --threads 1 --device {device} --weights {weights}");
        words(&format!("{own} {every} {common} --out {out} {more}"))
    }

    /// A run on rendered images.
    fn args(self, out: &Path, more: &str) -> Vec<String> {
        let few = match self {
            // Twenty neighbours need as many images.
            Self::Pretrain => "scenes:n=20,size=32",
            _ => FEW,
        };
        self.on(DATA, few, out, more)
    }
}

fn fails(args: &[String], code: i32, message: &str) {
    let run = ijepa(args);
    assert_eq!(run.code, Some(code), "{args:?}: {run:?}");
    assert!(run.stderr.contains(message), "{run:?}");
}

/// Step of the newest checkpoint, as it says itself.
fn saved_step(run: &Path) -> u64 {
    let state = fs::read_to_string(run.join("checkpoints/latest/state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    state["step"].as_u64().unwrap()
}

fn has_saved(run: &Path) -> bool {
    run.join("checkpoints/latest").exists()
}

/// The steps of a table.
fn steps(run: &Path, table: &str) -> Vec<u64> {
    let text = fs::read_to_string(run.join(table)).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let step = |line: &str| line.split(',').nth(1).unwrap().parse().unwrap();
    whole.lines().skip(1).map(step).collect()
}

/// Contents of all files below a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

fn send(signal: &str, process: &Background) {
    let id = process.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status();
    assert!(sent.unwrap().success());
}

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

/// Forty images in two classes, and one file that is none.
fn photos(folder: &Path) -> PathBuf {
    for class in 0..2u8 {
        let class_folder = folder.join(format!("class-{class}"));
        fs::create_dir_all(&class_folder).unwrap();
        for index in 0..20u8 {
            let shade = |x: u32, y: u32| image::Rgb([(x * 8) as u8, (y * 8) as u8, index * 12]);
            let image = image::RgbImage::from_fn(32, 32, shade);
            image
                .save(class_folder.join(format!("{index:02}.png")))
                .unwrap();
        }
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
        let bad = photos(&data);
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
        fs::remove_dir_all(&data).unwrap();
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
fn a_folder_that_is_away_for_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let [run, data, away] = ["run", "data", "away"].map(|name| folder.path().join(name));
    let bad = photos(&data);
    fs::remove_file(bad).unwrap();
    let endless = "--set optimizer.epochs=100000 optimizer.steps_per_epoch=100000";
    let args = Kind::Pretrain.on(&path_text(&data), "scenes:n=20,size=32", &run, endless);
    let mut process = Background::start(&args);
    let logged = || steps(&run, "metrics.csv").len();
    process.wait_until(|| logged() > 2);
    fs::rename(&data, &away).unwrap();
    // Far longer than the batches last that are there already.
    sleep(Duration::from_millis(300));
    fs::rename(&away, &data).unwrap();
    let before = logged();
    process.wait_until(|| logged() > before + 10);
    send("-TERM", &process);
    let (status, message) = process.end();
    assert_eq!(status.code(), Some(130), "{message}");
    assert!(!run.join("skipped.csv").exists());
}

#[test]
fn ctrl_c_ends_waiting_for_data() {
    let folder = tempfile::tempdir().unwrap();
    let [run, data] = ["run", "data"].map(|name| folder.path().join(name));
    photos(&data);
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
        sleep(Duration::from_millis(300));
        send("-TERM", &process);
        let (status, message) = process.end();
        assert_eq!(status.code(), Some(130), "{message}");
        let last = steps(&run, "metrics.csv").pop();
        assert_eq!(Some(saved_step(&run)), last.map(|last| last + 1));
        fs::rename(&away, &data).unwrap();
    }
}

#[test]
fn a_signal_ends_an_evaluation_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, epoch) in EVALUATED.into_iter().zip([4, 6]) {
        let beginning = if kind == Kind::Pretrain {
            vec![0]
        } else {
            vec![]
        };
        let rows = |ends: &[u64]| [&beginning, ends].concat();
        let run = folder.path().join(format!("{kind:?}"));
        let before = format!("--max-steps {}", epoch - 1);
        text(&kind.args(&run, &before));
        let mut process = Background::start(&kind.on(DATA, MANY, &run, ""));
        // It is saved before it is evaluated, which takes longer than anybody waits.
        process.wait_until(|| run.join(format!("checkpoints/step-{epoch}")).exists());
        send("-TERM", &process);
        let (status, message) = process.end();
        assert_eq!(status.code(), Some(130), "{kind:?}: {message}");
        let said = format!("interrupted after step {epoch};");
        assert!(message.contains(&said), "{message}");
        assert_eq!(steps(&run, "epochs.csv"), rows(&[epoch - 1]), "{kind:?}");
        // What was not measured then is measured now, and so is the end.
        let more = format!("--max-steps {}", epoch + 1);
        text(&kind.args(&run, &more));
        assert_eq!(
            steps(&run, "epochs.csv"),
            rows(&[epoch, epoch + 1]),
            "{kind:?}"
        );
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
fn a_second_ctrl_c_ends_at_once_and_the_first_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, settings) in ALL.into_iter().zip(["recipe", "finetune", "decoder"]) {
        let run = folder.path().join(format!("{kind:?}"));
        let said = folder.path().join(format!("{kind:?}.txt"));
        // A step of minutes.
        let data = "scenes:kind=texture,n=24000,size=32";
        let args = match kind {
            Kind::Pretrain => {
                let args = kind.on(data, "scenes:n=20,size=32", &run, "");
                [args, words("--batch-size 24000")].concat()
            }
            Kind::Finetune => {
                let large = "--set run.batch_size=24000 run.micro_batch=8";
                kind.on(data, FEW, &run, large)
            }
            Kind::Decoder => kind.on(data, FEW, &run, "--set run.batch_size=6000"),
        };
        let mut process = command(&args);
        process.stdout(Stdio::null());
        process.stderr(File::create(&said).unwrap());
        let mut process = Background::spawn(process);
        let path = run.join(format!("{settings}.toml"));
        process.wait_until(|| path.exists());
        send("-INT", &process);
        let stopping = "another Ctrl-C stops at once";
        process.wait_until(|| fs::read_to_string(&said).unwrap().contains(stopping));
        send("-INT", &process);
        let (status, _) = process.end();
        assert_eq!(status.code(), Some(130), "{kind:?}");
        assert!(!has_saved(&run), "{kind:?}");
    }
}

#[test]
fn a_hang_up_leaves_a_checkpoint_unless_it_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ALL {
        for ignored in [false, true] {
            let run = folder.path().join(format!("{kind:?}-{ignored}"));
            let mut process = match ignored {
                false => command(&kind.args(&run, "")),
                true => {
                    // As `nohup` does it.
                    let ijepa = command::<String>(&[]);
                    let mut shell = Command::new("sh");
                    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
                    shell.arg(ijepa.get_program()).args(kind.args(&run, ""));
                    shell
                }
            };
            process.stdout(Stdio::null()).stderr(Stdio::piped());
            let mut process = Background::spawn(process);
            process.wait_until(|| has_saved(&run));
            send("-HUP", &process);
            if ignored {
                let step = saved_step(&run);
                process.wait_until(|| has_saved(&run) && saved_step(&run) > step + 2);
                send("-INT", &process);
            }
            let (status, message) = process.end();
            assert_eq!(status.code(), Some(130), "{kind:?}: {message}");
            assert!(message.contains("interrupted after step"), "{message}");
        }
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
        let theirs = path_text(other.join("checkpoints/step-2"));
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
