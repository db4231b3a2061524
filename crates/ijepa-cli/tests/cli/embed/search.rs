//! `search` in a file of `embed`.

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
