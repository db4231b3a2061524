//! Running the binary and reading what it wrote.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

pub(crate) use ijepa_testkit::run::{metrics, tensors};
use ijepa_testkit::{device_name, undisturbed};
use safetensors::SafeTensors;
use serde_json::Value;

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary under test: that of this build unless `IJEPA_BIN` names another.
pub(crate) fn binary() -> OsString {
    let built = || env!("CARGO_BIN_EXE_ijepa").into();
    std::env::var_os("IJEPA_BIN").unwrap_or_else(built)
}

/// A program that starts the binary or is it, whatever has started the tests and whoever runs them.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    undisturbed(&mut command, Path::new(env!("CARGO_TARGET_TMPDIR")));
    command
}

pub(crate) fn command<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = program(binary());
    command.args(args);
    command
}

pub(crate) fn ijepa<S: AsRef<OsStr>>(args: &[S]) -> Run {
    finished(command(args))
}

/// Runs a command to its end.
pub(crate) fn finished(mut command: Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Checks that a run prints nothing and says in the words of `message` why it exits with `code`.
pub(crate) fn fails<S: AsRef<OsStr> + std::fmt::Debug>(args: &[S], code: i32, message: &str) {
    let run = ijepa(args);
    let outcome = (run.code, run.stdout.as_str());
    assert_eq!(outcome, (Some(code), ""), "{args:?}: {run:?}");
    assert!(run.stderr.contains(message), "{args:?}: {run:?}");
}

/// The text that a successful run prints.
pub(crate) fn text<S: AsRef<OsStr>>(args: &[S]) -> String {
    let run = ijepa(args);
    assert_eq!(run.code, Some(0), "{run:?}");
    run.stdout
}

/// The object that a successful run with `--json` prints, and nothing else.
pub(crate) fn json<S: AsRef<OsStr>>(args: &[S]) -> Value {
    let mut args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
    args.push("--json".as_ref());
    let stdout = text(&args);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let value: Value = serde_json::from_str(&stdout).unwrap();
    assert!(value.is_object());
    value
}

pub(crate) fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// A file of the model's golden folder.
pub(crate) fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ijepa-model/tests/golden");
    path_text(folder.join(name))
}

pub(crate) fn path_text(path: impl Into<PathBuf>) -> String {
    path.into().into_os_string().into_string().unwrap()
}

/// Creates a folder with images of 32x32 pixels `00.png`, `01.png` and so on, each of another shade.
pub(crate) fn photos(folder: &Path, images: u8) {
    std::fs::create_dir_all(folder).unwrap();
    for index in 0..images {
        let shade = |x: u32, y: u32| image::Rgb([(x * 8) as u8, (y * 8) as u8, index * 12]);
        let path = folder.join(format!("{index:02}.png"));
        image::RgbImage::from_fn(32, 32, shade).save(path).unwrap();
    }
}

/// The words of a command line without spaces inside words.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

const TINY: &str = "pretrain --recipe scenes_vit_nano --set model.embed_dim=16 model.depth=1 \
    model.predictor_dim=8 model.predictor_depth=1 mask.group_size=6 run.batch_size=12 \
    optimizer.steps_per_epoch=4 run.log_every_steps=1 run.checkpoint_every_steps=2 --threads 1";

/// A run of little work on rendered images.
pub(crate) fn tiny(out: &Path, more: &str) -> Vec<String> {
    tiny_on("scenes:n=48,size=32", out, &format!("--quiet {more}"))
}

/// A run of little work on `data` and the device under test, which says what it does.
pub(crate) fn tiny_on(data: &str, out: &Path, more: &str) -> Vec<String> {
    let mut args = words(TINY);
    args.extend(["--data", data, "--out"].map(str::to_owned));
    args.push(path_text(out));
    if !more.contains("--device") {
        args.extend(["--device".to_owned(), device_name()]);
    }
    args.extend(words(more));
    args
}

/// A run of little work that no test outlives, unless `more` ends it.
pub(crate) fn endless(out: &Path, more: &str) -> Vec<String> {
    tiny(out, &format!("--set optimizer.epochs=100000 {more}"))
}

/// What a process may take to do anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A process in the background that is killed when its test is done with it.
pub(crate) struct Background(Child);

impl Background {
    /// Starts the binary on a quiet command.
    pub(crate) fn start(args: &[String]) -> Self {
        let mut command = command(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts any command.
    pub(crate) fn spawn(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for something that the process does before it ends.
    pub(crate) fn wait_until(&mut self, done: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            if let Some(status) = self.0.try_wait().unwrap() {
                // It may have done it since it was asked.
                if done() {
                    return;
                }
                panic!("the process ended too early with {status}: {}", self.said());
            }
            assert!(Instant::now() < deadline, "the process takes too long");
            sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the end and returns what stderr has said, too.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return (status, self.said());
            }
            assert!(Instant::now() < deadline, "the process does not end");
            sleep(Duration::from_millis(1));
        }
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(stderr) = self.0.stderr.as_mut() {
            stderr.read_to_string(&mut said).unwrap();
        }
        said
    }
}

/// Sends a signal, such as `-TERM`, by the shell's own command: not every system has a program.
pub(crate) fn send(signal: &str, process: u32) {
    let script = ["-c", "kill \"$@\"", "sh", signal];
    let mut sent = Command::new("sh");
    let status = sent.args(script).arg(process.to_string()).status();
    assert!(status.unwrap().success());
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What lies in the folder of checkpoints.
pub(crate) fn checkpoints(run: &Path) -> BTreeSet<OsString> {
    let entries = std::fs::read_dir(run.join("checkpoints")).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

/// Contents of a feature file.
#[derive(Debug, PartialEq)]
pub(crate) struct Features {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
    pub(crate) labels: Vec<i64>,
}

impl Features {
    pub(crate) fn read(path: impl AsRef<Path>) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let names: BTreeSet<&str> = file.names().into_iter().collect();
        assert_eq!(names, BTreeSet::from(["embedding", "label"]));
        let (embedding, label) = (
            file.tensor("embedding").unwrap(),
            file.tensor("label").unwrap(),
        );
        assert_eq!(embedding.dtype(), safetensors::Dtype::F32);
        assert_eq!(label.dtype(), safetensors::Dtype::I64);
        assert_eq!(label.shape(), &embedding.shape()[..1]);
        Self {
            shape: embedding.shape().to_vec(),
            values: f32s(embedding.data()),
            labels: i64s(label.data()),
        }
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        let len = self.shape[1..].iter().product::<usize>();
        &self.values[row * len..][..len]
    }
}

pub(crate) fn f32s(bytes: &[u8]) -> Vec<f32> {
    let value = |word: &[u8]| f32::from_le_bytes(word.try_into().unwrap());
    bytes.chunks(4).map(value).collect()
}

pub(crate) fn i64s(bytes: &[u8]) -> Vec<i64> {
    let value = |word: &[u8]| i64::from_le_bytes(word.try_into().unwrap());
    bytes.chunks(8).map(value).collect()
}
