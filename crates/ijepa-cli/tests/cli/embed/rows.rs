//! Which images have rows, in which order, with which labels.

use ijepa_data::Preprocess;
use ijepa_model::Normalization;
use ijepa_testkit::{assert_close, device_name, relative_difference};

use super::{command, embed, expected, hf, photos};
use crate::support::{Features, ijepa, path_text, text};

#[test]
fn rows_are_the_images_in_order_without_the_damaged_one() {
    let photos = photos();
    let (found, said) = embed(photos.path(), &["--weights", &hf()]);
    assert_eq!(found.shape, [4, 48]);
    assert_eq!(found.labels, [0, 0, 1, 1]);
    let values = expected(photos.path(), Preprocess::Eval, Normalization::IMAGENET);
    assert_close("features", &found.values, &values, 1e-5);
    assert!(relative_difference(found.row(0), found.row(1)) > 1e-2);

    assert_eq!((&said["images"], &said["dim"]), (&4.into(), &48.into()));
    assert!(said["images_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!(said["classes"], serde_json::json!(["bird", "cat"]));
    assert_eq!(said["normalize"], "imagenet");
    assert_eq!(said["device"], device_name());
    let skipped = said["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1);
    let damaged = path_text(photos.path().join("photos/cat/b.png"));
    assert_eq!(skipped[0]["path"], damaged.as_str());
    let why = skipped[0]["why"].as_str().unwrap();
    assert!(why.starts_with("cannot decode image `"), "{why}");

    // Rows have no names in such a file, so that what has none is listed beside it.
    let list = photos.path().join("out.safetensors.skipped.csv");
    let listed = std::fs::read_to_string(&list).unwrap();
    let (header, line) = listed.split_once('\n').unwrap();
    assert_eq!(header, "index,path,why");
    let expected = format!("3,\"{damaged}\",\"cannot decode");
    assert!(line.starts_with(&expected), "{listed}");
    let one = path_text(photos.path().join("one.txt"));
    std::fs::write(&one, "bird/0.png\n").unwrap();
    embed(photos.path(), &["--weights", &hf(), "--subset", &one]);
    assert!(!list.exists());

    let out = path_text(photos.path().join("out.safetensors"));
    let run = ijepa(&command(photos.path(), &out, &["--weights", &hf()]));
    assert!(run.stdout.contains("skipped 1 of 5 images:\n  "), "{run:?}");
    assert!(
        run.stderr.contains("normalisation imagenet; device "),
        "{run:?}"
    );
    assert!(
        run.stderr.contains("photos: 5 of 5 images, "),
        "progress is missing: {run:?}"
    );
    let quiet = ijepa(&command(photos.path(), &out, &["--weights", &hf(), "-q"]));
    assert_eq!(quiet.stderr, "");
}

#[test]
fn batches_and_threads_do_not_change_features() {
    let photos = photos();
    let (reference, _) = embed(photos.path(), &["--weights", &hf(), "--workers", "0"]);
    let flags = "--batch-size 3 --workers 4 --threads 1";
    let flags: Vec<&str> = flags.split(' ').collect();
    let (found, said) = embed(photos.path(), &[&["--weights", &hf()], &flags[..]].concat());
    assert_eq!(found.labels, reference.labels);
    assert_close("features", &found.values, &reference.values, 1e-5);
    assert_eq!(said["threads"], 1);
}

#[test]
fn a_subset_keeps_order_and_labels() {
    let photos = photos();
    let list = photos.path().join("list.txt");
    std::fs::write(&list, "c.png\n1.png\n").unwrap();
    let (all, _) = embed(photos.path(), &["--weights", &hf()]);
    let flags = ["--weights", &hf(), "--subset", &path_text(list)];
    let (found, _) = embed(photos.path(), &flags);
    assert_eq!(found.labels, [0, 1]);
    assert_close("first", found.row(0), all.row(1), 1e-5);
    assert_close("second", found.row(1), all.row(3), 1e-5);
}

#[test]
fn images_without_classes_have_the_label_minus_one() {
    let photos = photos();
    let flat = path_text(photos.path().join("photos/bird"));
    let out = path_text(photos.path().join("flat.safetensors"));
    let device = device_name();
    let args = [
        "embed",
        "--weights",
        &hf(),
        "--data",
        &flat,
        "--out",
        &out,
        "--device",
        &device,
    ];
    text(&args);
    assert_eq!(Features::read(out).labels, [-1, -1]);
}
