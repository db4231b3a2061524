//! Servers that fail for now, forget, refuse or change what they have.

use std::io::ErrorKind;
use std::path::Path;

use ijepa_data::{DataError, FetchError};
use ijepa_testkit::server::Request;

use crate::server::Answer;
use crate::{batches, isolated, loader, open, shard, shards};

#[test]
fn a_server_that_fails_for_now_is_asked_again() {
    isolated("a_server_that_fails_for_now_is_asked_again", || {
        let (server, spec) = shards();
        let expected = batches(open(&spec).unwrap(), 0);
        for failure in [
            Answer::Status(500),
            Answer::Status(429),
            Answer::Cut(400),
            Answer::Short(400),
        ] {
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
        for failure in [Answer::Cut(100), Answer::Short(100)] {
            let mut asked = 0;
            server.put("/set/new.tar", &shard(0..30), &format!("{failure:?}"));
            server.answer(move |it| {
                asked += 1;
                if asked % 2 == 0 || it.method == "HEAD" {
                    Answer::File
                } else {
                    failure.clone()
                }
            });
            let source = open(&format!("tar:{}", server.url("/set/new.tar"))).unwrap();
            assert_eq!((source.len(), source.notes().len()), (30, 0));
        }
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
            // An address that leads nowhere.
            (Answer::Status(301), ErrorKind::PermissionDenied),
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
            let error = open(&format!("{spec}?token=secret")).unwrap_err();
            assert_eq!(refused(&error), (expected, Path::new(&url)), "{answer:?}");
            let said = format!("{error:?}");
            assert!(!said.contains("secret"), "{said}");
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
