//! What all commands that train have in common: how they end, and what they leave behind then.

mod data;
mod kept;
mod signals;

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
    Background, command, f32s, fails, golden, ijepa, json, path_text, photos, program, send, text,
    tiny_on, words,
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
