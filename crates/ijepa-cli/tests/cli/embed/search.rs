//! `search` in a file of `embed`.

use std::path::Path;

use ijepa_testkit::device_name;

use super::{command, embed, hf, photos};
use crate::support::{ijepa, json, path_text, text};

#[test]
fn search_finds_the_most_similar_images_and_draws_them() {
    let photos = photos();
    let at = |name: &str| path_text(photos.path().join(name));
    let (index, query, sheet) = (at("out.parquet"), at("photos/cat/a.png"), at("sheet.png"));
    json(&command(photos.path(), &index, &["--weights", &hf()]));
    let device = device_name();
    let search = |flags: &[&str]| -> Vec<String> {
        let start = ["search", "--device", &device, "--query", &query];
        [&start[..], flags]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let flags = [
        "--weights",
        &hf(),
        "--index",
        &index,
        "--k",
        "3",
        "--out",
        &sheet,
    ];
    let said = json(&search(&flags));
    let found = said["found"].as_array().unwrap();
    assert_eq!((found.len(), &said["images"]), (3, &4.into()));
    assert_eq!(
        (&found[0]["path"], &found[0]["class"]),
        (&query.as_str().into(), &"cat".into())
    );
    let similarity = |row: usize| found[row]["similarity"].as_f64().unwrap();
    assert!((similarity(0) - 1.0).abs() < 1e-5, "{found:?}");
    assert!(
        similarity(0) > similarity(1) && similarity(1) >= similarity(2),
        "{found:?}"
    );
    let (features, _) = embed(photos.path(), &["--weights", &hf()]);
    let cosine = |row: usize| {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let (a, b) = (features.row(2), features.row(row));
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let second = [0, 1, 3].into_iter().map(cosine).fold(-1.0, f64::max);
    assert!((similarity(1) - second).abs() < 1e-5, "{found:?}");
    let picture = image::open(&sheet).unwrap();
    assert_eq!(
        (picture.width(), picture.height()),
        (4 * 8 + 3 * 160, 3 * 8 + 2 * 160)
    );
    let table = text(&search(&flags[..6]));
    assert!(
        table.starts_with("  1  1.0000  cat  ") && table.lines().count() == 3,
        "{table}"
    );

    let refused = |flags: &[&str], why: &str| {
        let run = ijepa(&search(flags));
        assert_eq!(run.code, Some(4), "{run:?}");
        assert!(run.stderr.contains(why), "{run:?}");
    };
    let random = ["--weights", &hf(), "--encoder", "random", "--index", &index];
    refused(&random, "was made by another encoder");
    let other = at("out.safetensors");
    refused(
        &["--weights", &hf(), "--index", &other],
        "expected a .parquet file",
    );
}

/// An index of `photos`, and a search in it.
fn indexed(photos: &Path, flags: &[&str]) -> impl Fn(&str, &[&str]) -> Vec<String> {
    let index = path_text(photos.join("out.parquet"));
    let weights = ["--weights", &hf()];
    json(&command(photos, &index, &[&weights[..], flags].concat()));
    move |query, flags| {
        let start = ["search", "--device", &device_name(), "--weights", &hf()].map(str::to_owned);
        let rest = ["--index", &index, "--query", query].map(str::to_owned);
        let flags = flags.iter().map(|&flag| flag.to_owned());
        start.into_iter().chain(rest).chain(flags).collect()
    }
}

#[test]
fn search_reads_an_image_as_the_file_was_read() {
    let photos = photos();
    let flags = "--preprocess squash --normalize half --image-size 48";
    let flags: Vec<&str> = flags.split(' ').collect();
    let search = indexed(photos.path(), &flags);
    for name in ["bird/1.png", "cat/a.png", "cat/c.png"] {
        let query = path_text(photos.path().join("photos").join(name));
        let said = json(&search(&query, &[]));
        let first = &said["found"][0];
        assert_eq!(first["path"], query.as_str());
        let similarity = first["similarity"].as_f64().unwrap();
        assert!((similarity - 1.0).abs() < 1e-5, "{said}");
        assert_eq!(
            (&said["preprocess"], &said["preprocess_from"]),
            (&"squash".into(), &"index".into())
        );
    }
    let query = path_text(photos.path().join("photos/cat/a.png"));
    for flags in [["--normalize", "imagenet"], ["--image-size", "32"]] {
        let run = ijepa(&search(&query, &flags));
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(
            run.stderr
                .contains(&format!("`{}` changes nothing", flags[0])),
            "{run:?}"
        );
    }
}

#[test]
fn what_is_not_there_is_said_and_the_rest_is_found() {
    let photos = photos();
    let search = indexed(photos.path(), &[]);
    let gone = path_text(photos.path().join("nowhere/dog.png"));
    let run = ijepa(&search(&gone, &[]));
    assert_eq!(run.code, Some(4), "{run:?}");
    let message = format!("error: cannot read `{gone}`: ");
    assert!(run.stderr.starts_with(&message), "{run:?}");
    assert!(!run.stderr.contains("attempts"), "{run:?}");

    // Files that were moved away with their folder are still found, but not shown.
    std::fs::remove_dir_all(photos.path().join("photos/bird")).unwrap();
    let (query, sheet) = (
        path_text(photos.path().join("photos/cat/a.png")),
        path_text(photos.path().join("sheet.png")),
    );
    let said = json(&search(&query, &["--out", &sheet]));
    assert_eq!(said["found"].as_array().unwrap().len(), 4);
    let skipped = said["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 2, "{said}");
    assert_eq!(skipped[0]["why"], "not shown, there is no such file");
    let picture = image::open(&sheet).unwrap();
    assert_eq!(
        (picture.width(), picture.height()),
        (3 * 8 + 2 * 160, 3 * 8 + 2 * 160)
    );
}
