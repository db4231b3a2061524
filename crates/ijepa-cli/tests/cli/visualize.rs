//! `visualize`: from weights and images to pictures and their numbers.

use std::{fs, path::Path};

use ijepa_testkit::device_name;
use image::RgbImage;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{fails, golden, json, keys, path_text, text, tiny, words};

/// Panels of 224 pixels for images of 32, and the gaps between them.
const PANEL: u32 = 224;
const GAP: u32 = 8;

/// A folder with a run of two steps: two heads, eight by eight patches of 4 pixels.
fn run() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    text(&tiny(&folder.path().join("run"), "--max-steps 2"));
    folder
}

/// A command line of `visualize` about that run and rendered images.
fn command(folder: &Path, flags: &str) -> Vec<String> {
    let (folder, device) = (folder.display(), device_name());
    words(&format!(
        "visualize {flags} --weights {folder}/run --data scenes:kind=texture,n=9,size=32,seed=5 \
         --out {folder}/picture.png --device {device} --quiet"
    ))
}

/// What is said and drawn.
fn draw(folder: &Path, flags: &str) -> (Value, RgbImage) {
    let said = json(&command(folder, flags));
    let path = path_text(folder.join("picture.png"));
    assert_eq!(said["out"], path);
    let picture = image::open(path).unwrap().to_rgb8();
    assert_eq!(said["width"], picture.width());
    assert_eq!(said["height"], picture.height());
    assert_eq!(said["device"], device_name());
    assert_eq!(
        (&said["preprocess"], &said["skipped"]),
        (&json!("eval"), &json!([]))
    );
    (said, picture)
}

/// Side of a picture with so many panels.
fn side(panels: u32) -> u32 {
    panels * (PANEL + GAP) + GAP
}

fn panel(picture: &RgbImage, [column, row]: [u32; 2]) -> RgbImage {
    let at = |number: u32| GAP + number * (PANEL + GAP);
    image::imageops::crop_imm(picture, at(column), at(row), PANEL, PANEL).to_image()
}

#[test]
fn components_are_those_of_the_encoder_and_images_asked_for() {
    let folder = run();
    let (said, picture) = draw(folder.path(), "pca --images 3 --columns 2");
    assert_eq!(picture.dimensions(), (side(4), side(2)));
    assert_eq!(
        (&said["encoder"], &said["components"]),
        (&json!("target"), &json!("shared"))
    );
    let images = said["images"].as_array().unwrap();
    let index: Vec<&Value> = images.iter().map(|image| &image["index"]).collect();
    assert_eq!(index, [0, 3, 6]);
    for image in images {
        let explained = image["explained"].as_array().unwrap().iter();
        let explained: Vec<f64> = explained.map(|share| share.as_f64().unwrap()).collect();
        assert!(explained[0] >= explained[1] && explained[1] >= explained[2]);
        assert!(explained.iter().sum::<f64>() <= 1.0, "{explained:?}");
    }
    assert_eq!(
        draw(folder.path(), "pca --images 3 --columns 2"),
        (said, picture.clone())
    );

    // The same image with other weights has other colours.
    let (said, random) = draw(folder.path(), "pca --index 6,0 --encoder random --seed 3");
    assert_eq!(said["encoder"], "random");
    assert_eq!(random.dimensions(), (side(2), side(2)));
    assert_eq!(panel(&random, [0, 1]), panel(&picture, [0, 0]));
    assert_ne!(panel(&random, [1, 1]), panel(&picture, [1, 0]));
    let (said, alone) = draw(folder.path(), "pca --index 0,6 --per-image --scale 2");
    assert_eq!(said["components"], "image");
    assert_eq!(
        alone.dimensions(),
        (2 * (64 + GAP) + GAP, 2 * (64 + GAP) + GAP)
    );
    let shown = text(&command(folder.path(), "pca --images 1"));
    assert!(shown.contains(" % of the variance\nwrote "), "{shown}");
}

#[test]
fn attention_is_that_of_the_heads_and_the_patch_asked_for() {
    let folder = run();
    let (said, picture) = draw(folder.path(), "attention --images 2");
    // Image, mean, two heads.
    assert_eq!(picture.dimensions(), (side(4), side(2)));
    assert_eq!((&said["layer"], &said["query"]), (&json!(0), &Value::Null));
    for image in said["images"].as_array().unwrap() {
        assert_eq!(image["heads"].as_array().unwrap().len(), 2);
        for map in [&image["mean"], &image["heads"][1]] {
            let number = |key: &str| map[key].as_f64().unwrap();
            assert!((1.0..=64.0).contains(&number("patches_attended")), "{map}");
            assert!(number("distance") > 0.0, "{map}");
            // Even attention, the mean, is 1.
            let [least, most] = [0, 1].map(|end| map["range"][end].as_f64().unwrap());
            assert!(least <= 1.0 && 1.0 <= most, "{map}");
        }
    }
    let flags = "attention --images 2 --layer 0 --heads 1 --query 2,5";
    let (said, one) = draw(folder.path(), flags);
    assert_eq!(one.dimensions(), (side(3), side(2)));
    assert_eq!(said["query"], json!([2, 5]));
    assert_eq!(said["images"][0]["heads"][0]["head"], 1);
    assert_ne!(panel(&one, [1, 0]), panel(&picture, [1, 0]));
    let shown = text(&command(folder.path(), flags));
    assert!(
        shown.contains("layer 0, of patch 2,5; image, mean"),
        "{shown}"
    );
}

#[test]
fn predictions_are_compared_with_every_patch_and_with_other_images() {
    let folder = run();
    let flags = "predictor --images 2 --block 2,3,3,4";
    let (said, picture) = draw(folder.path(), flags);
    assert_eq!(picture.dimensions(), (side(4), side(2)));
    assert_eq!(said["seed"], Value::Null);
    let image = &said["images"][0];
    let block: Vec<u32> = (2..5)
        .flat_map(|row| (3..7).map(move |col| row * 8 + col))
        .collect();
    assert_eq!(image["block"], json!(block));
    assert_eq!(image["context"].as_array().unwrap().len(), 64 - 12);
    assert_eq!(image["neighbours"], Value::Null);
    assert_eq!(
        keys(&said["mean"]),
        keys(&json!({
            "cosine_own": 0, "cosine_elsewhere": 0, "cosine_other_images": 0,
            "rank": 0, "rank_chance": 0, "separation": 0,
        }))
    );
    assert_eq!(said["mean"]["rank_chance"], 32.5);
    let ranks = [0, 1].map(|number| said["images"][number]["rank"].as_f64().unwrap());
    assert_eq!(said["mean"]["rank"], (ranks[0] + ranks[1]) / 2.0);
    // The context is blank within the block and the image itself elsewhere.
    let [whole, seen] = [0, 1].map(|column| panel(&picture, [column, 0]));
    let cell = PANEL / 8;
    for patch in 0..64 {
        let [x, y] = [patch % 8, patch / 8].map(|at| at * cell + cell / 2);
        let blank = seen.get_pixel(x, y).0 == [225, 225, 228];
        assert_eq!(blank, block.contains(&patch), "{patch}");
        assert!(blank || seen.get_pixel(x, y) == whole.get_pixel(x, y));
    }

    // The recipe's masks, and the nearest patches of other images.
    let search = "--neighbours scenes:kind=texture,n=20,size=32,seed=6 --k 3";
    let (said, wide) = draw(folder.path(), &format!("predictor --images 2 {search}"));
    assert_eq!(wide.dimensions(), (side(4) + 3 * (108 + GAP), side(2)));
    assert_eq!(said["seed"], 0);
    let near = &said["images"][1]["neighbours"]["patch"];
    assert_eq!(near.as_array().unwrap().len(), 3);
    let cosines = [0, 1, 2].map(|number| near[number]["cosine"].as_f64().unwrap());
    assert!(
        cosines[0] >= cosines[1] && cosines[1] >= cosines[2],
        "{near}"
    );
    let blocks = |said: &Value| said["images"][0]["block"].clone();
    let (other, _) = draw(folder.path(), "predictor --images 2 --seed 1");
    assert_ne!(blocks(&other), blocks(&said));
    let (second, _) = draw(folder.path(), "predictor --images 2 --target 1");
    assert_ne!(blocks(&second), blocks(&said));
    let shown = text(&command(folder.path(), flags));
    assert!(
        shown.contains("own place is number ") && shown.contains("32.5 by chance"),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_drawn_says_why() {
    let folder = run();
    let picture = folder.path().join("picture.png");
    let check = |args: &[String], code: i32, message: &str| {
        fails(args, code, message);
        assert!(!picture.exists(), "{args:?}");
    };
    let refused = |flags: &str, message: &str| check(&command(folder.path(), flags), 2, message);
    refused(
        "predictor --block 6,0,3,2",
        "block 6,0,3,2 is not inside the grid of 8x8 patches",
    );
    refused("predictor --block 0,0,8,8", "covers all 64 patches");
    refused(
        "predictor --block 1,2",
        "expected 4 whole numbers separated by commas",
    );
    refused(
        "predictor --target 4",
        "there is no target block 4, the masks have 4",
    );
    refused("predictor --k 3", "--neighbours");
    refused(
        "attention --layer 1",
        "there is no layer 1, the encoder has 1",
    );
    refused(
        "attention --heads 0,2",
        "there is no head 2, the encoder has 2",
    );
    refused(
        "attention --query 0,8",
        "patch 0,8 is outside the grid of 8x8 patches",
    );
    refused("pca --index 9", "there is no image 9, the data has 9");
    refused("pca --scale 10000000000000000000", "expected at most 8192");
    refused("pca --images 0", "expected a whole number of at least 1");

    let with = |flags: &str, at: &str, text: &str| {
        let mut args = command(folder.path(), flags);
        let flag = args.iter().position(|word| word == at).unwrap();
        args[flag + 1] = text.to_owned();
        args
    };
    let encoder = golden("hf_tiny_saved");
    for flags in ["pca", "attention", "predictor"] {
        check(&with(flags, "--data", "folder:no/such"), 4, "no/such");
        check(&with(flags, "--weights", "no/such"), 5, "no/such");
        check(
            &with(flags, "--out", &path_text(folder.path())),
            2,
            "is a folder",
        );
        let other = with(flags, "--out", &path_text(folder.path().join("a.jpg")));
        check(&other, 2, "a name that ends in .png");
    }
    check(&with("predictor", "--weights", &encoder), 5, "predictor");
    let search = "predictor --neighbours folder:no/such";
    check(&command(folder.path(), search), 4, "no/such");
    // Nothing but damaged images.
    let damaged = folder.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    fs::write(damaged.join("a.png"), "no image").unwrap();
    check(&with("pca", "--data", &path_text(damaged)), 4, "a.png");
}
