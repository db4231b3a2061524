//! Shards and Parquet files behind URLs, from a server that also does what servers should not.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod server;

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ijepa_data::{
    Augment, Batch, DataError, DataSpec, FetchError, Loader, LoaderConfig, PackConfig, PackFormat,
    Reading, Retry, Source, pack, verify,
};
use ijepa_testkit::server::Request;
use server::{Answer, Server};
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

/// Runs a test of this file in a process with variables of its own.
fn run(test: &str, variables: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env(OWN, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {told}{errors}");
    assert!(told.contains("1 passed"), "{test}: {told}");
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

fn open(spec: &str) -> Result<Box<dyn Source>, DataError> {
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

fn loader(source: Box<dyn Source>, workers: usize, io_depth: usize) -> Loader {
    let config = LoaderConfig {
        batch_size: 16,
        places: None,
        seed: 4,
        start_step: 0,
        workers,
        augment: Augment {
            size: [6, 5],
            ..Augment::default()
        },
        max_bad_fraction: 0.1,
        reading: Reading {
            retry: Retry {
                retries: 5,
                first_pause: Duration::ZERO,
            },
            io_depth,
            ..Reading::default()
        },
    };
    Loader::new(Arc::from(source), config).unwrap()
}

/// Two epochs.
fn batches(source: Box<dyn Source>, workers: usize) -> Vec<Batch> {
    let mut loader = loader(source, workers, 0);
    let found: Vec<Batch> = loader.by_ref().take(30).map(Result::unwrap).collect();
    assert_eq!(loader.skipped(), []);
    found
}

/// Labels and levels of all images.
fn contents(source: &dyn Source) -> Vec<(Option<u32>, u8)> {
    let of = |index| {
        (
            source.label(index),
            source.read(index).unwrap().pixel(3, 3)[0],
        )
    };
    (0..source.len()).map(of).collect()
}

fn is_body(request: &Request) -> bool {
    request.method == "GET" && request.header("range").is_some()
}

#[test]
fn shards_are_read_by_ranges_and_indexed_once() {
    isolated("shards_are_read_by_ranges_and_indexed_once", || {
        let (server, spec) = shards();
        server.put("/set/classes.txt", b"owl\nelk\nbee\n", "first");
        // One of them is elsewhere.
        server.put("/other/b.tar", &shard(60..120), "first");
        server.answer(|request| match request.path.as_str() {
            "/set/a-1.tar" => Answer::Elsewhere("/other/b.tar".to_owned()),
            _ => Answer::File,
        });
        let source = open(&spec).unwrap();
        assert_eq!(source.classes(), ["owl", "elk", "bee"]);
        let expected: Vec<_> = (0..240)
            .map(|level| (Some(u32::from(level) % 3), level))
            .collect();
        assert_eq!(contents(source.as_ref()), expected);
        assert_eq!(source.name(61), server.url("/set/a-1.tar/061.ppm"));
        assert_eq!(source.file(61), None);
        let is_ranged =
            |it: &Request| it.header("range").is_some() || it.path.ends_with("classes.txt");
        let gets = server
            .take_requests()
            .into_iter()
            .filter(|it| it.method == "GET");
        assert!(gets.into_iter().all(|it| is_ranged(&it)));

        // From the index: each shard is only asked whether it is the same.
        server.answer(|_| Answer::File);
        let again = open(&spec).unwrap();
        assert_eq!(again.len(), 240);
        assert!(!server.take_requests().iter().any(is_body));
        // Another shard under the name is indexed anew.
        server.put("/set/a-3.tar", &shard(0..20), "second");
        assert_eq!(open(&spec).unwrap().len(), 200);
        assert!(server.take_requests().iter().any(is_body));
    });
}

#[test]
fn batches_are_those_of_files_also_of_parquet() {
    isolated("batches_are_those_of_files_also_of_parquet", || {
        let (server, spec) = shards();
        let folder = TempDir::new().unwrap();
        for number in 0..4 {
            let path = folder.path().join(format!("a-{number}.tar"));
            std::fs::write(path, shard(60 * number..60 * (number + 1))).unwrap();
        }
        let files = format!("tar:{}", folder.path().display());
        let expected = batches(open(&files).unwrap(), 0);
        for workers in [0, 3] {
            let found = batches(open(&spec).unwrap(), workers);
            assert!(found == expected, "{workers} workers");
        }

        let out = folder.path().join("packed");
        let config = PackConfig {
            format: PackFormat::Parquet,
            name: "a".to_owned(),
            most_images: 150,
            most_bytes: 1 << 30,
            shrink: None,
            shuffle: None,
            reading: Reading::default(),
            workers: 0,
        };
        let packed = pack(open(&files).unwrap().as_ref(), &out, &config, |_| ()).unwrap();
        for file in &packed.shards {
            let name = file.file_name().unwrap().to_str().unwrap();
            server.put(
                &format!("/rows/{name}"),
                &std::fs::read(file).unwrap(),
                "first",
            );
        }
        let files = format!("parquet:{},window=2", out.display());
        let spec = format!(
            "parquet:{},window=2",
            server.url("/rows/a-{00000..00001}.parquet")
        );
        let [expected, source, fresh] = [&files, &spec, &spec].map(|spec| open(spec).unwrap());
        assert_eq!(contents(source.as_ref()), contents(expected.as_ref()));
        server.answer(|_| Answer::File);
        assert!(batches(fresh, 3) == batches(expected, 0));
        // Three row groups, of which four are kept.
        let bodies = server
            .take_requests()
            .iter()
            .filter(|it| is_body(it))
            .count();
        assert_eq!(bodies, 3);
    });
}

#[test]
fn headers_are_read_and_not_what_lies_between() {
    isolated("headers_are_read_and_not_what_lies_between", || {
        let server = Server::start();
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["a.ppm", "b.ppm", "c.ppm", "d.ppm"] {
            let mut header = tar::Header::new_ustar();
            header.set_size(1 << 20);
            tar.append_data(&mut header, name, &vec![1; 1 << 20][..])
                .unwrap();
        }
        server.put("/large.tar", &tar.into_inner().unwrap(), "first");
        let source = open(&format!("tar:{}", server.url("/large.tar"))).unwrap();
        assert_eq!(source.len(), 4);
        assert!(server.sent() < 64 << 10, "{} bytes", server.sent());
        // Small members are read through, since a request costs more.
        server.put("/small.tar", &shard(0..200), "first");
        server.answer(|_| Answer::File);
        let source = open(&format!("tar:{}", server.url("/small.tar"))).unwrap();
        assert_eq!(source.len(), 200);
        let bodies = server
            .take_requests()
            .iter()
            .filter(|it| is_body(it))
            .count();
        assert!(bodies < 20, "{bodies} requests");
    });
}

#[test]
fn images_in_order_take_few_requests() {
    isolated("images_in_order_take_few_requests", || {
        let (server, spec) = shards();
        let source = open(&spec).unwrap();
        server.answer(|_| Answer::File);
        let bad = verify(source.as_ref(), Reading::default(), 3, |_| ()).unwrap();
        assert_eq!(bad, []);
        // Sixteen of each shard, before it is known that they are read in order.
        let bodies = server
            .take_requests()
            .iter()
            .filter(|it| is_body(it))
            .count();
        assert!(bodies < 240 / 2, "{bodies} requests");
    });
}

#[test]
fn requests_are_under_way_together() {
    isolated("requests_are_under_way_together", || {
        let (server, spec) = shards();
        let source = open(&spec).unwrap();
        server.gather(24);
        let mut loader = loader(source, 1, 24);
        assert!(loader.by_ref().take(10).all(|batch| batch.is_ok()));
        assert_eq!(server.most_under_way(), 24);
    });
}

#[test]
fn a_server_that_fails_for_now_is_asked_again() {
    isolated("a_server_that_fails_for_now_is_asked_again", || {
        let (server, spec) = shards();
        let expected = batches(open(&spec).unwrap(), 0);
        for failure in [Answer::Status(500), Answer::Status(429), Answer::Cut(400)] {
            let source = open(&spec).unwrap();
            let (told, mut asked) = (failure.clone(), 0);
            server.answer(move |_| {
                asked += 1;
                // Three times, then once as it should be.
                if asked % 4 == 0 {
                    Answer::File
                } else {
                    told.clone()
                }
            });
            assert!(batches(source, 0) == expected, "{failure:?}");
            server.answer(|_| Answer::File);
        }
        // Also while an index is made.
        let mut asked = 0;
        server.put("/set/new.tar", &shard(0..30), "first");
        server.answer(move |_| {
            asked += 1;
            if asked % 2 == 0 {
                Answer::File
            } else {
                Answer::Cut(100)
            }
        });
        let source = open(&format!("tar:{}", server.url("/set/new.tar"))).unwrap();
        assert_eq!((source.len(), source.notes().len()), (30, 0));
    });
}

#[test]
fn a_shard_that_is_replaced_ends_the_run() {
    isolated("a_shard_that_is_replaced_ends_the_run", || {
        let (server, spec) = shards();
        for (bytes, tag) in [(shard(180..240), "second"), (shard(180..190), "third")] {
            let source = open(&spec).unwrap();
            server.put("/set/a-3.tar", &bytes, tag);
            let error = source.fetch(230, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, FetchError::Missing(DataError::Replaced { .. })),
                "{error}"
            );
            let mut loader = loader(source, 2, 0);
            let error = loader.by_ref().find_map(Result::err).unwrap();
            let expected = format!(
                "`{}` has changed since its images were listed; start again",
                server.url("/set/a-3.tar")
            );
            assert_eq!(error.to_string(), expected);
            assert_eq!(loader.skipped(), []);
        }
    });
}

/// The kind of an error of reading, and what it is about.
fn refused(error: &DataError) -> (ErrorKind, &Path) {
    match error {
        DataError::Read { path, source } => (source.kind(), path),
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_not_there_or_not_for_us_is_told_at_once() {
    isolated("what_is_not_there_or_not_for_us_is_told_at_once", || {
        let (server, spec) = shards();
        for (answer, expected) in [
            (Answer::Status(404), ErrorKind::NotFound),
            (Answer::Status(403), ErrorKind::PermissionDenied),
            (Answer::Status(401), ErrorKind::PermissionDenied),
            (Answer::Status(400), ErrorKind::PermissionDenied),
            // A server that knows no ranges.
            (Answer::Whole, ErrorKind::PermissionDenied),
        ] {
            let told = answer.clone();
            server.answer(move |it| {
                if is_third(it) {
                    told.clone()
                } else {
                    Answer::File
                }
            });
            let error = open(&spec).unwrap_err();
            let url = server.url("/set/a-2.tar");
            assert_eq!(refused(&error), (expected, Path::new(&url)), "{answer:?}");
        }
        server.answer(|_| Answer::File);
        let source = open(&spec).unwrap();
        server.answer(|it| {
            if is_third(it) {
                Answer::Status(404)
            } else {
                Answer::File
            }
        });
        let mut loader = loader(source, 2, 0);
        let error = loader.by_ref().find_map(Result::err).unwrap();
        assert_eq!(refused(&error).0, ErrorKind::NotFound);
        assert_eq!(loader.skipped(), []);
    });
}

fn is_third(request: &Request) -> bool {
    request.path.ends_with("a-2.tar")
}

#[test]
fn patterns_that_need_a_list_and_other_urls_are_refused() {
    let message = |spec: &str| open(spec).unwrap_err().to_string();
    let list = "needs a list of files, which is had of the last part of `s3://` paths only; name \
                them by a range such as `{000..099}`";
    for url in [
        "https://host/a-*.tar",
        "http://[::1]:1/set/",
        "s3://a/*/b.tar",
    ] {
        assert_eq!(message(&format!("tar:{url}")), format!("`{url}` {list}"));
    }
    let expected = "bad value `gs://a/b.parquet` for `URL`, expected http://HOST/PATH, \
                    https://HOST/PATH or s3://BUCKET/PATH";
    assert_eq!(message("parquet:gs://a/b.parquet"), expected);
}

#[test]
fn objects_of_s3_are_listed_and_read() {
    let (server, _) = shards();
    server.put("/set/more/deep.tar", &shard(0..5), "first");
    server.put("/set/a-0.txt", b"no shard", "first");
    let cache = TempDir::new().unwrap();
    run(
        "reads_s3",
        &[
            ("XDG_CACHE_HOME", cache.path().to_str().unwrap()),
            ("AWS_ENDPOINT_URL", &server.url("")),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "here"),
        ],
    );
    assert!(server.take_requests().iter().any(is_body));
}

/// What a process of its own does.
#[test]
#[ignore = "needs the variables of `objects_of_s3_are_listed_and_read`"]
fn reads_s3() {
    for (pattern, images) in [
        ("s3://set/", 240),
        ("s3://set/a-?.tar", 240),
        ("s3://set/a-[12].tar", 120),
        ("s3://set/{a-0,more/*}.tar", 65),
    ] {
        let source = open(&format!("tar:{pattern}")).unwrap();
        assert_eq!(source.len(), images, "{pattern}");
    }
    let source = open("tar:s3://set/a-*.tar").unwrap();
    assert_eq!(source.name(60), "s3://set/a-1.tar/060.ppm");
    assert_eq!(source.read(60).unwrap().pixel(0, 0)[0], 60);
    let absent = open("tar:s3://set/b-*.tar").unwrap_err();
    assert!(matches!(absent, DataError::NoMatch { .. }), "{absent}");
}
