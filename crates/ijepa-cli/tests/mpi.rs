//! Runs of several processes that a real `mpirun` starts.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[expect(dead_code, reason = "tests of one process use more of it")]
#[path = "cli/support.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ijepa_testkit::device_name;
use serde_json::Value;
use support::{
    Background, Run, binary, checkpoints, finished, golden, ijepa, json, metrics, program, send,
    tensors, tiny_on, words,
};
use tempfile::TempDir;

const SCENES: &str = "scenes:n=48,size=32";

thread_local! {
    /// Where the jobs of a test meet. Open MPI removes a folder for all when a job ends, also if
    /// another one is just beginning.
    static JOBS: TempDir = tempfile::tempdir().unwrap();
}

/// A job of `size` processes, which may be more than there are cores.
fn mpirun(size: usize, args: &[String]) -> Command {
    let mut command = program("mpirun");
    command
        .args([
            "--allow-run-as-root",
            "--oversubscribe",
            "--bind-to",
            "none",
        ])
        .args(["-n", &size.to_string()])
        .arg(binary())
        .args(args)
        // Containers forbid what the other mechanisms need.
        .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
        .env("TMPDIR", JOBS.with(|folder| folder.path().to_owned()));
    command
}

/// A run with four groups a step.
fn run_of(data: &str, out: &Path, more: &str) -> Vec<String> {
    let groups = "--quiet --workers 1 --set mask.group_size=3 data.max_bad_fraction=0.1";
    tiny_on(data, out, &format!("{groups} {more}"))
}

fn succeeds(size: usize, args: &[String]) {
    let run = finished(mpirun(size, args));
    assert_eq!(run.code, Some(0), "{run:?}");
}

/// Trains to `step` with each number of processes of `sizes` and with one.
fn check_equal(data: &str, sizes: &[usize], step: u64, more: &str) {
    let folder = tempfile::tempdir().unwrap();
    let more = format!("--max-steps {step} {more}");
    let alone = folder.path().join("alone");
    json(&run_of(data, &alone, &more));
    for &size in sizes {
        let run = folder.path().join(size.to_string());
        succeeds(size, &run_of(data, &run, &more));
        assert!(tensors(&run) == tensors(&alone), "{size} processes");
        assert_eq!(losses(&run), losses(&alone), "{size} processes");
        assert_eq!(checkpoints(&run), checkpoints(&alone));
    }
}

fn losses(run: &Path) -> Vec<String> {
    metrics(run).into_iter().map(|row| row[3].clone()).collect()
}

/// Images of which one is damaged.
fn images(folder: &Path) -> PathBuf {
    let images = folder.join("images");
    fs::create_dir(&images).unwrap();
    for number in 0..48u32 {
        let pixel = |x: u32, y: u32| {
            let value = |factor: u32| ((x * factor + y * (number % 7) + number * 5) % 256) as u8;
            image::Rgb([value(3), value(5), value(number % 11)])
        };
        let picture = image::RgbImage::from_fn(40, 36, pixel);
        picture
            .save(images.join(format!("{number:02}.png")))
            .unwrap();
    }
    fs::write(images.join("13.png"), "no image").unwrap();
    images
}

/// The process of a rank of a job on this machine.
fn process_of(job: u32, rank: usize) -> Option<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let found = processes.filter(|process| {
        let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
        let status = String::from_utf8(read("status")).unwrap_or_default();
        let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
        status.lines().any(|line| line == format!("PPid:\t{job}"))
            && read("environ")
                .split(|&byte| byte == 0)
                .any(|it| it == variable.as_bytes())
    });
    found.last()?.file_name().to_str()?.parse().ok()
}

/// A job that goes on until it is ended.
fn endless(size: usize, data: &str, run: &Path, more: &str) -> Background {
    let more = format!("--set optimizer.epochs=100000 {more}");
    let mut command = mpirun(size, &run_of(data, run, &more));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut job = Background::spawn(command);
    job.wait_until(|| run.join("checkpoints/step-4").exists());
    job
}

/// The run goes on with one process as if nothing had happened.
fn check_goes_on(data: &str, run: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let step = steps(run).into_iter().max().unwrap();
    let more = format!("--set optimizer.epochs=100000 --max-steps {}", step + 3);
    let whole = folder.path().join("whole");
    json(&run_of(data, &whole, &more));
    json(&run_of(data, run, &more));
    assert!(tensors(run) == tensors(&whole));
    assert_eq!(losses(run), losses(&whole));
}

/// The steps that have a checkpoint.
fn steps(run: &Path) -> Vec<u64> {
    let names = checkpoints(run).into_iter();
    names
        .filter_map(|name| name.to_str()?.strip_prefix("step-")?.parse().ok())
        .collect()
}

#[test]
fn any_number_of_processes_learns_the_same_bits() {
    check_equal(SCENES, &[2, 3, 4], 20, "");
}

#[test]
fn processes_that_share_moments_learn_the_same_bits() {
    check_equal(SCENES, &[3], 6, "--set run.shard_optimizer=true");
}

#[test]
fn processes_share_packed_images() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    for layout in ["tar", "parquet"] {
        let out = folder.path().join(layout);
        let [data, to] = [&images, &out].map(|path| path.to_str().unwrap());
        let pack = format!("data pack --data {data} --to {layout} --out {to} --shard-images 20");
        json(&words(&pack));
        check_equal(&format!("{layout}:{to}"), &[2, 3], 4, "");
    }
}

/// What `size` processes print with `--json`, or one alone.
fn printed(size: usize, args: &str) -> Value {
    let args = words(&format!("{args} --json --quiet --threads 1"));
    let run = match size {
        1 => ijepa(&args),
        _ => finished(mpirun(size, &args)),
    };
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn processes_extract_features_together() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = format!(
        "--arch vit_ti16 --encoder random --image-size 32 --device {}",
        device_name()
    );
    let embedded = |size: usize| {
        let out = folder.path().join(format!("{size}.safetensors"));
        let files = format!("--data {SCENES} --out {}", out.display());
        printed(size, &format!("embed {encoder} {files} --batch-size 8"));
        fs::read(out).unwrap()
    };
    assert!(embedded(3) == embedded(1));
    let scenes =
        "--train scenes:kind=texture,n=48,size=32 --test scenes:kind=texture,n=20,size=32,seed=1";
    for (command, key) in [("knn", "k"), ("probe --epochs 2", "heads")] {
        let of = |size| printed(size, &format!("{command} {encoder} {scenes}"))[key].clone();
        assert_eq!(of(2), of(1), "{command}");
    }
}

#[test]
fn processes_fine_tune_together() {
    let folder = tempfile::tempdir().unwrap();
    let classifier = |size: usize| {
        let out = folder.path().join(size.to_string());
        let args = format!(
            "finetune --weights {} --device {} --out {} --train scenes:kind=texture,n=40,size=32 \
             --test scenes:kind=texture,n=10,size=32,seed=1 --epochs 1 --set run.batch_size=8 \
             run.micro_batch=4 optimizer.warmup_epochs=0.5",
            golden("hf_tiny_saved"),
            device_name(),
            out.display()
        );
        let top1 = printed(size, &args)["top1"].clone();
        (
            top1,
            fs::read(out.join("checkpoints/latest/classifier.safetensors")).unwrap(),
        )
    };
    assert!(classifier(2) == classifier(1));
}

#[test]
fn processes_share_a_folder_with_a_damaged_image() {
    let folder = tempfile::tempdir().unwrap();
    check_equal(images(folder.path()).to_str().unwrap(), &[2, 4], 8, "");
}

#[test]
fn a_run_of_four_goes_on_as_two_and_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let until = |run: &Path, step: u64| run_of(SCENES, run, &format!("--max-steps {step}"));
    json(&until(&whole, 20));
    succeeds(4, &until(&parts, 7));
    succeeds(2, &until(&parts, 13));
    json(&until(&parts, 20));
    assert!(tensors(&parts) == tensors(&whole));
    assert_eq!(losses(&parts), losses(&whole));
}

/// One process finds that an image has gone, and all end after a checkpoint.
#[test]
fn a_process_that_fails_ends_all_with_its_message() {
    let folder = tempfile::tempdir().unwrap();
    let (images, run) = (images(folder.path()), folder.path().join("run"));
    let data = images.to_str().unwrap();
    let job = endless(3, data, &run, "--retries 0");
    let (here, away) = (images.join("20.png"), folder.path().join("away.png"));
    fs::rename(&here, &away).unwrap();
    let (status, said) = job.end();
    assert_eq!(status.code(), Some(4), "{said}");
    let errors = said.lines().filter(|line| line.starts_with("error: "));
    let errors: Vec<&str> = errors.collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].contains("20.png"), "{said}");
    fs::rename(&away, &here).unwrap();
    check_goes_on(data, &run);
}

#[test]
fn a_request_to_one_process_stops_all_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let job = endless(3, SCENES, &run, "");
    send("-TERM", process_of(job.id(), 2).unwrap());
    let (status, said) = job.end();
    assert_eq!(status.code(), Some(130), "{said}");
    let told = said
        .lines()
        .filter(|line| line.contains("interrupted after step"));
    assert_eq!(told.count(), 1, "{said}");
    check_goes_on(SCENES, &run);
}

#[test]
fn a_process_that_is_killed_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let job = endless(2, SCENES, &run, "");
    send("-KILL", process_of(job.id(), 1).unwrap());
    let (status, said) = job.end();
    assert!(!status.success(), "{said}");
    check_goes_on(SCENES, &run);
}

#[test]
fn what_processes_cannot_share_is_refused() {
    let refused = |size: usize, args: &[String], code: i32, what: &str| {
        let run: Run = finished(mpirun(size, args));
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stderr.contains(what), "{run:?}");
    };
    let devices = ["devices".to_owned()];
    refused(
        2,
        &devices,
        2,
        "`ijepa devices` is for one process, not for 2",
    );
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let what = "a step has 4 passes, which 5 processes cannot share";
    refused(5, &run_of(SCENES, &run, ""), 3, what);
}
