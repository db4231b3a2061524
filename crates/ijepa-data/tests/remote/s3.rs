//! Objects of S3.

use ijepa_data::DataError;
use tempfile::TempDir;

use crate::{is_body, open, run, shard, shards};

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
