//! Running the binary and reading what it wrote.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use safetensors::SafeTensors;
use serde_json::Value;

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn ijepa<S: AsRef<OsStr>>(args: &[S]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ijepa"));
    let output = command.args(args).output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
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

/// The words of a command line without spaces inside words.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
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
