//! Images behind URLs are those of files.

use std::fs;
use std::path::Path;

use ijepa_data::{PackConfig, PackFormat, Reading, Source, pack};
use ijepa_testkit::server::Request;
use tempfile::TempDir;

use crate::server::Answer;
use crate::{batches, is_body, isolated, open, shard, shards};

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
fn shards_with_a_query_have_names_of_classes_and_an_index_without_it() {
    isolated(
        "shards_with_a_query_have_names_of_classes_and_an_index_without_it",
        || {
            let (server, spec) = shards();
            // As some stores answer for what they do not have.
            server.answer(|it| match it.path.ends_with("classes.txt") {
                true => Answer::Status(403),
                false => Answer::File,
            });
            assert!(
                open(&format!("{spec}?token=a/b"))
                    .unwrap()
                    .classes()
                    .is_empty()
            );
            server.put("/set/classes.txt", b"owl\nelk\nbee\n", "first");
            server.answer(|_| Answer::File);
            let source = open(&format!("{spec}?token=c/d")).unwrap();
            assert_eq!(source.classes(), ["owl", "elk", "bee"]);
            assert_eq!(source.name(61), server.url("/set/a-1.tar/061.ppm"));
            let asked = server.take_requests();
            assert!(
                asked
                    .iter()
                    .all(|it| it.query == "token=c/d" && !is_body(it))
            );
            let cache =
                Path::new(&std::env::var_os("XDG_CACHE_HOME").unwrap()).join("ijepa/shards");
            let names = fs::read_dir(cache)
                .unwrap()
                .map(|it| it.unwrap().file_name());
            let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            assert!(
                names.len() == 4 && !names.concat().contains("token"),
                "{names:?}"
            );
        },
    );
}

#[test]
fn no_index_is_kept_of_what_cannot_be_told_from_another_shard() {
    isolated(
        "no_index_is_kept_of_what_cannot_be_told_from_another_shard",
        || {
            let (server, spec) = shards();
            for _ in 0..2 {
                server.answer(|_| Answer::Unmarked);
                assert_eq!(open(&spec).unwrap().len(), 240);
                assert!(server.take_requests().iter().any(is_body));
            }
        },
    );
}

#[test]
fn batches_are_those_of_files_also_of_parquet() {
    isolated("batches_are_those_of_files_also_of_parquet", || {
        let (server, spec) = shards();
        let folder = TempDir::new().unwrap();
        for number in 0..4 {
            let path = folder.path().join(format!("a-{number}.tar"));
            fs::write(path, shard(60 * number..60 * (number + 1))).unwrap();
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
            server.put(&format!("/rows/{name}"), &fs::read(file).unwrap(), "first");
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
