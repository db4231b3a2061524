//! Studies: what is trained, for how long, that nothing is trained twice; the paper's tables.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod equal;
mod paper;
mod stopped;
mod sweep;

use std::sync::Arc;

use ijepa_data::{DataSpec, Source};

fn open(spec: &str) -> Arc<dyn Source> {
    spec.parse::<DataSpec>().unwrap().open().unwrap()
}
