//! `probe` on images, on pixels and on files of `embed`.

mod files;
mod heads;
mod refused;

use ijepa_testkit::device_name;
use serde_json::Value;

use crate::support::{fails, golden, json, words};

const TRAIN: &str = "scenes:kind=texture,n=40,size=32,seed=1";
const TEST: &str = "scenes:kind=texture,n=10,size=32,seed=2";

fn line(flags: &str) -> Vec<String> {
    let device = device_name();
    words(&format!("probe --quiet --device {device} {flags}"))
}

/// The result without its one number that differs from run to run, how long the heads took.
fn run(flags: &str) -> Value {
    let mut found = json(&line(flags));
    let took = found.as_object_mut().unwrap().remove("probe_s").unwrap();
    assert!(took.as_f64().unwrap() > 0.0, "{took}");
    found
}

/// On the images above, with the weights of a small checkpoint.
fn on_images(flags: &str) -> String {
    let saved = golden("hf_tiny_saved");
    format!("--weights {saved} --train {TRAIN} --test {TEST} {flags}")
}

fn check(flags: &str, code: i32, message: &str) {
    fails(&line(flags), code, message);
}
