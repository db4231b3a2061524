//! `visualize rcdm` on rendered images.

use std::{fs, path::Path};

use ijepa_testkit::device_name;

use crate::support::{fails, golden, json, keys, path_text, text, tiny, words};

const IMAGES: &str = "scenes:kind=texture,n=40,size=32";
const SMALL: &str = "--set decoder.size=8 decoder.channels=8 decoder.multipliers=[1,1] decoder.groups=4 \
    decoder.heads=2 --batch-size 8";

fn common(command: &str, weights: &str, data: &str) -> String {
    let device = device_name();
    format!(
        "visualize rcdm {command} --quiet --threads 1 --device {device} --data {data} {weights}"
    )
}

fn encoder() -> String {
    format!("--weights {}", golden("hf_tiny_saved"))
}

/// Trains two steps in `out`.
fn train(out: &Path, weights: &str, more: &str) -> Vec<String> {
    let command = common("train", weights, IMAGES);
    let out = path_text(out);
    words(&format!("{command} {SMALL} --steps 2 --out {out} {more}"))
}

fn sample(decoder: &Path, weights: &str, out: &Path) -> Vec<String> {
    let command = common("sample", weights, IMAGES);
    let [decoder, out] = [decoder, out].map(path_text);
    words(&format!(
        "{command} --decoder {decoder} --out {out} --images 3 --samples 2 --steps 2"
    ))
}

/// Width and height of a PNG.
fn size(path: &Path) -> [u32; 2] {
    let picture = image::open(path).unwrap();
    [picture.width(), picture.height()]
}

#[test]
fn a_decoder_of_an_encoder_is_trained_shown_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let trained = json(&train(&run, &encoder(), ""));
    let expected = [
        "condition",
        "device",
        "device_hours",
        "images",
        "images_per_s",
        "loss_first",
        "loss_last",
        "loss_mean",
        "parameters",
        "reason",
        "run",
        "size",
        "skipped",
        "steps",
        "verdict",
    ];
    assert_eq!(keys(&trained), expected.into());
    assert_eq!(
        (&trained["steps"], &trained["size"]),
        (&2.into(), &8.into())
    );
    for file in ["decoder.toml", "environment.json", "metrics.csv"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    // Done already, so a second call changes nothing.
    let again = json(&train(&run, &encoder(), ""));
    for key in ["loss_first", "loss_last", "loss_mean"] {
        let losses = [&trained, &again].map(|found| found[key].as_f64().unwrap());
        assert!((losses[0] - losses[1]).abs() < 1e-9, "{key}: {losses:?}");
    }

    let grid = folder.path().join("grid.png");
    let shown = json(&sample(&run, &encoder(), &grid));
    assert_eq!(
        (&shown["images"], &shown["samples"]),
        (&3.into(), &2.into())
    );
    // Three rows of an original and two samples, each 96 pixels wide with gaps of 8.
    assert_eq!(size(&grid), [3 * 104 + 8, 3 * 104 + 8]);
    let again = folder.path().join("again.png");
    json(&sample(&run, &encoder(), &again));
    assert_eq!(fs::read(&grid).unwrap(), fs::read(&again).unwrap());

    let command = common("check", &encoder(), IMAGES);
    let decoder = path_text(&run);
    let more = "--images 3 --samples 2 --steps 2";
    let checked = json(&words(&format!("{command} --decoder {decoder} {more}")));
    let expected = [
        "condition",
        "device",
        "images",
        "noise_error",
        "passed",
        "samples",
        "similarity",
        "skipped",
        "steps",
        "variance",
    ];
    assert_eq!(keys(&checked), expected.into());
    assert_eq!(checked["images"], 3);
}

#[test]
fn images_that_cannot_be_read_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let [run, images] = ["run", "images"].map(|name| folder.path().join(name));
    json(&train(&run, &encoder(), ""));
    fs::create_dir(&images).unwrap();
    fs::write(images.join("a.png"), "no image").unwrap();
    let decoder = path_text(&run);
    let command = |command: &str| {
        let common = common(command, &encoder(), &path_text(&images));
        let out = path_text(folder.path().join("grid.png"));
        let out = match command {
            "sample" => format!("--out {out}"),
            _ => String::new(),
        };
        words(&format!(
            "{common} --decoder {decoder} --samples 2 --steps 2 {out}"
        ))
    };
    fails(&command("sample"), 4, "a.png");
    for shade in [0, 100, 200] {
        let image = image::RgbImage::from_pixel(32, 32, image::Rgb([shade; 3]));
        image.save(images.join(format!("b{shade}.png"))).unwrap();
    }
    for name in ["sample", "check"] {
        let found = json(&command(name));
        assert_eq!(found["images"], 3);
        let path = found["skipped"][0]["path"].as_str().unwrap();
        assert!(path.ends_with("a.png"), "{found}");
        assert!(text(&command(name)).contains("\nskipped "));
    }
}

#[test]
fn a_decoder_of_a_predictor_shows_the_context_too() {
    let folder = tempfile::tempdir().unwrap();
    let [pretrained, run] = ["pretrained", "run"].map(|name| folder.path().join(name));
    json(&tiny(&pretrained, "--max-steps 1"));
    let weights = format!("--weights {}", path_text(&pretrained));
    let trained = json(&train(&run, &weights, "--condition predictor"));
    assert_eq!(trained["condition"], "predictor");
    let grid = folder.path().join("grid.png");
    json(&sample(&run, &weights, &grid));
    assert_eq!(size(&grid), [4 * 104 + 8, 3 * 104 + 8]);
    let green = image::Rgb([0, 200, 90]);
    let picture = image::open(&grid).unwrap().into_rgb8();
    assert!(picture.pixels().any(|pixel| *pixel == green));
    fails(&sample(&run, &encoder(), &grid), 5, "predictor");

    let other = folder.path().join("other");
    json(&tiny(&other, "--max-steps 1 --seed 1"));
    let weights = format!("--weights {}", path_text(&other));
    fails(
        &sample(&run, &weights, &grid),
        5,
        "vectors of other weights",
    );
}

#[test]
fn vectors_of_a_file_need_the_width_and_number_that_fit() {
    let folder = tempfile::tempdir().unwrap();
    let embed = |name: &str, images: usize, weights: &str| {
        let out = path_text(folder.path().join(name));
        let data = format!("scenes:kind=texture,n={images},size=32");
        let device = device_name();
        let flags = format!("embed --quiet --pool mean --device {device} --data {data}");
        json(&words(&format!("{flags} --out {out} {weights}")));
        format!("--features {out}")
    };
    let features = embed("features.safetensors", 40, &encoder());
    let run = folder.path().join("run");
    json(&train(&run, &features, "--condition file"));
    let grid = folder.path().join("grid.png");
    json(&sample(&run, &features, &grid));
    assert!(grid.is_file());

    let few = embed("few.safetensors", 39, &encoder());
    fails(&sample(&run, &few, &grid), 4, "39 vectors for 40 images");
    let pretrained = folder.path().join("pretrained");
    json(&tiny(&pretrained, "--max-steps 1"));
    let weights = format!("--weights {}", path_text(&pretrained));
    let narrow = embed("narrow.safetensors", 40, &weights);
    fails(&sample(&run, &narrow, &grid), 4, "values, these have 16");
    let out = folder.path().join("other");
    fails(&train(&out, &features, ""), 2, "--features");
    fails(
        &train(&out, &encoder(), "--condition file"),
        2,
        "--features",
    );
    fails(
        &train(&out, &encoder(), "--set decoder.groups=5"),
        3,
        "groups",
    );
    let weights = format!("{} --encoder context", encoder());
    fails(
        &train(&out, &weights, "--condition predictor"),
        5,
        "predictor",
    );
}
