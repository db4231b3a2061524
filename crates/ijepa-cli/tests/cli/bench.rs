//! `bench data` and `bench step`.

use std::collections::BTreeSet;

use crate::support::{fails, ijepa, json, keys, path_text, text, words};

const QUICK: &str = "bench data --recipe scenes_vit_nano --seconds 0.05 --rounds 3";

#[test]
fn the_speed_of_loading_is_measured() {
    let line = format!("{QUICK} --data scenes:n=12,size=24 --workers 1");
    let found = json(&words(&line));
    let expected = BTreeSet::from([
        "images_per_s",
        "images_per_s_per_worker",
        "bytes_per_s",
        "decode_share",
        "crop_share",
        "wait_share",
        "jpeg_decoder",
        "data",
        "images",
        "image_size",
        "batch_size",
        "workers",
        "skipped",
        "arch",
        "device",
        "precision",
        "threads",
    ]);
    assert_eq!(keys(&found), expected);
    let rate = |key| found["images_per_s"][key].as_f64().unwrap();
    assert!(rate("min") > 0.0 && rate("min") <= rate("median") && rate("median") <= rate("max"));
    // Scenes of 24 x 24 come without a file and are cropped; with one worker nothing is added up.
    let number = |key: &str| found[key].as_f64().unwrap();
    assert_eq!(number("images_per_s_per_worker"), rate("median"));
    assert!(number("bytes_per_s") > 0.0 && number("decode_share") == 0.0);
    assert!(
        number("crop_share") > 0.0 && number("crop_share") + number("wait_share") <= 1.0 + 1e-9
    );
    // The recipe's batch is larger than the data.
    assert_eq!(
        (&found["images"], &found["batch_size"]),
        (&12.into(), &12.into())
    );
    assert_eq!(found["image_size"], serde_json::json!([32, 32]));
    assert!(text(&words(&line)).starts_with("images/s  median "));
}

/// A step of the usual few images is one backward pass, whatever the recipe says.
#[test]
fn recipes_of_large_passes_are_measured_with_small_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_text(folder.path().join("large.toml"));
    let large = [
        "--set",
        "run.batch_size=64",
        "run.micro_batch=32",
        "optimizer.clip_grad=1",
    ];
    let recipe = text(&[&["recipes", "show", "scenes_vit_nano"][..], &large].concat());
    std::fs::write(&path, recipe).unwrap();
    let line = words("bench step --rounds 1 --warmup 0 --recipe");
    assert_eq!(json(&[line, vec![path]].concat())["batch_size"], 16);
}

#[test]
fn a_batch_that_the_data_cannot_fill_is_refused() {
    let line = format!("{QUICK} --data scenes:n=20,size=24 --batch-size 21");
    let run = ijepa(&words(&line));
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(
        run.stderr.contains("20 images cannot fill a batch of 21"),
        "{run:?}"
    );
}

#[test]
fn images_that_cannot_be_read_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        let image = image::RgbImage::from_pixel(40, 40, image::Rgb([90, 120, 30]));
        image.save(folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("d.png"), b"no picture").unwrap();
    let path = folder.path().to_str().unwrap();
    let line =
        format!("{QUICK} --workers 0 --batch-size 2 --set data.max_bad_fraction=0.5 --data {path}");
    assert_eq!(json(&words(&line))["skipped"], 1);
}

#[test]
fn runs_on_many_gpus_are_predicted() {
    let line = "bench scale --recipe in1k_vith14_ep300 --tflops 125 --bandwidth 100 --gpus 1,16 \
                --price 2 --memory 40";
    let found = json(&words(line));
    assert_eq!(found["workload"]["steps"], 187_500);
    let [one, sixteen] = [0, 1].map(|run| &found["runs"][run]);
    let number = |run: &serde_json::Value, key: &str| run[key].as_f64().unwrap();
    assert_eq!(number(one, "communication_s"), 0.0);
    let (hours, cost) = (number(sixteen, "hours"), number(sixteen, "cost"));
    // The paper trained this on 16 A100 in under 72 hours (§1).
    assert!((30.0..72.0).contains(&hours), "{hours}");
    assert!((cost - 32.0 * hours).abs() < 1e-6);
    assert_eq!(one["bytes"], one["bytes_zero1"]);
    assert!(number(sixteen, "bytes_zero1") < number(sixteen, "bytes"));
    assert!(text(&words(line)).contains("assumed: "));
    // Bytes instead of gigabytes are more than enough.
    let bytes = line.replace("--memory 40", "--memory 80000000000");
    assert!(text(&words(&bytes)).contains(" 80000000000"));

    // Without the speed of a GPU nothing can be said.
    let run = ijepa(&words("bench scale --recipe in1k_vith14_ep300"));
    assert_eq!(run.code, Some(2), "{run:?}");
    fails(&words(&format!("{line} --images 10")), 3, "10");
}

#[test]
fn sums_are_timed() {
    let line = "bench sum --values 1000 --rounds 3";
    let found = json(&words(line));
    let expected = ["ms", "gb_per_s", "values", "processes", "by", "device"];
    assert_eq!(keys(&found), BTreeSet::from(expected));
    assert_eq!(
        (&found["values"], &found["processes"]),
        (&1000.into(), &1.into())
    );
    assert_eq!(found["by"], "host memory");
    assert!(found["ms"]["median"].as_f64().unwrap() > 0.0);
    assert!(text(&words(line)).starts_with("sums      median "));
}
