//! Shards and Parquet files behind URLs, from a server that also does what servers should not.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod content;
mod failing;
mod requests;
mod s3;
mod server;

use std::ops::Range;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ijepa_data::{
    Augment, Batch, DataError, DataSpec, Loader, LoaderConfig, Reading, Retry, Source,
};
use ijepa_testkit::server::Request;
use server::Server;
use tempfile::TempDir;

/// Tells a process that it is one of ours.
const OWN: &str = "IJEPA_TEST_REMOTE";

/// Runs `body` of the test of this name in a process whose caches are its own.
fn isolated(test: &str, body: impl FnOnce()) {
    if std::env::var_os(OWN).is_some() {
        return body();
    }
    let cache = TempDir::new().unwrap();
    run(test, &[("XDG_CACHE_HOME", cache.path().to_str().unwrap())]);
}

/// Runs the test of this name, whatever its module, in a process with variables of its own.
fn run(test: &str, variables: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--include-ignored", "--nocapture"])
        .env(OWN, "1")
        .env("NO_PROXY", "127.0.0.1,localhost")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {told}{errors}");
    assert!(told.contains(" 1 passed"), "{test}: {told}");
}

/// A tar file with images of 20 x 16 pixels of these levels, and their classes.
fn shard(levels: Range<u8>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for level in levels {
        let image = [b"P6 20 16 255\n".as_slice(), &[level; 960]].concat();
        add(format!("{level:03}.ppm"), &image);
        add(
            format!("{level:03}.cls"),
            (level % 3).to_string().as_bytes(),
        );
    }
    tar.into_inner().unwrap()
}

fn open(spec: &str) -> Result<Arc<dyn Source>, DataError> {
    spec.parse::<DataSpec>()?.open()
}

/// A server of the shards `a-0.tar` to `a-3.tar` with 60 images each, and their SPEC.
fn shards() -> (Server, String) {
    let server = Server::start();
    for number in 0..4 {
        let levels = 60 * number..60 * (number + 1);
        server.put(&format!("/set/a-{number}.tar"), &shard(levels), "first");
    }
    let spec = format!("tar:{}", server.url("/set/a-{0..3}.tar"));
    (server, spec)
}

fn loader(source: Arc<dyn Source>, workers: usize, io_depth: usize) -> Loader {
    let config = LoaderConfig {
        seed: 4,
        workers,
        max_bad_fraction: 0.1,
        reading: Reading {
            retry: Retry {
                retries: 5,
                first_pause: Duration::ZERO,
            },
            io_depth,
            ..Reading::default()
        },
        ..LoaderConfig::new(
            16,
            Augment {
                size: [6, 5],
                ..Augment::default()
            },
        )
    };
    Loader::new(source, config).unwrap()
}

/// Two epochs.
fn batches(source: Arc<dyn Source>, workers: usize) -> Vec<Batch> {
    let mut loader = loader(source, workers, 0);
    let found: Vec<Batch> = loader.by_ref().take(30).map(Result::unwrap).collect();
    assert_eq!(loader.skipped(), []);
    found
}

fn is_body(request: &Request) -> bool {
    request.method == "GET" && request.header("range").is_some()
}
