//! Images of one channel of 16 bits and of five of floats, from files to features and pictures.

use std::{fs, path::Path};

use ijepa_testkit::{device_name, npy};
use image::{ImageBuffer, Luma};
use serde_json::Value;

use crate::support::{golden, ijepa, json, path_text, text, tiny_on, words};

const IMAGES: u32 = 24;
const SIDE: u32 = 36;

/// A level from 0 to 1: waves along rows in images of the first class, along columns in the others.
fn level(number: u32, x: u32, y: u32) -> f32 {
    let along = if number.is_multiple_of(2) { x } else { y };
    ((along + number) as f32 / 2.0).sin() / 2.0 + 0.5
}

/// A file in the folder of one of two classes.
fn place(folder: &Path, number: u32, ending: &str) -> std::path::PathBuf {
    let class = folder.join(["rows", "columns"][number as usize % 2]);
    fs::create_dir_all(&class).unwrap();
    class.join(format!("{number:02}.{ending}"))
}

/// Grey of 16 bits, of which little of the range is used.
fn grey(folder: &Path) {
    for number in 0..IMAGES {
        let sample = |x, y| Luma([(1000.0 + 3000.0 * level(number, x, y)) as u16]);
        let image = ImageBuffer::from_fn(SIDE, SIDE, sample);
        image.save(place(folder, number, "png")).unwrap();
    }
}

/// Arrays of `[height, width, 5]` f32, as NumPy writes them.
fn five(folder: &Path) {
    for number in 0..IMAGES {
        let mut bytes = Vec::new();
        for at in 0..SIDE * SIDE {
            let wave = level(number, at % SIDE, at / SIDE);
            let samples = [wave, 300.0 * wave, -wave, 5.0, wave * wave];
            bytes.extend(samples.iter().flat_map(|sample: &f32| sample.to_le_bytes()));
        }
        let array = npy("<f4", &format!("({SIDE}, {SIDE}, 5)"), &bytes);
        fs::write(place(folder, number, "npy"), array).unwrap();
    }
}

/// The numbers of a list as a recipe takes them; a channel that never changes is left as it is.
fn list(values: &Value) -> String {
    let values = values.as_array().unwrap().iter();
    let values = values.map(|value| value.as_f64().unwrap());
    let values = values.map(|value| if value == 0.0 { 1.0 } else { value });
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    format!("[{}]", values.join(","))
}

fn device(line: &str) -> Vec<String> {
    words(&format!("{line} --quiet --device {}", device_name()))
}

/// What of `data stats` says how images are normalised.
fn settings(data: &str, channels: usize) -> String {
    let stats = format!("data stats --quiet --data {data} --channels {channels}");
    let found = json(&words(&stats));
    assert_eq!(found["mean"].as_array().unwrap().len(), channels);
    let (mean, std) = (list(&found["mean"]), list(&found["std"]));
    format!("data.channels={channels} data.mean={mean} data.std={std}")
}

/// Everything that is done with images of `channels` channels, after a run of two steps.
fn check(folder: &Path, data: &str, channels: usize, more: &str) {
    let at = |name: &str| path_text(folder.join(name));
    let (run, out) = (at("run"), at("features.safetensors"));
    let settings = settings(data, channels);
    let set = format!("--quiet --max-steps 2 --set {settings} {more}");
    text(&tiny_on(data, &folder.join("run"), &set));
    let found = json(&["inspect", &run]);
    assert_eq!(found["encoder"]["in_chans"], channels);

    let weights = format!("--weights {run}");
    let pair = format!("{weights} --train {data} --test {data}");
    let found = json(&device(&format!(
        "embed {weights} --data {data} --out {out}"
    )));
    assert_eq!(found["images"], IMAGES);
    assert_eq!(
        (&found["channels"], &found["normalize"]),
        (&channels.into(), &"of the weights".into())
    );
    let found = json(&device(&format!("probe {pair} --epochs 2")));
    assert_eq!(found["test_images"], IMAGES);
    json(&device(&format!(
        "probe {pair} --augment protocol --protocol vissl-in1k --epochs 1 --head-batch 12 --pool mean"
    )));
    json(&device(&format!("knn {pair} --k 3")));
    let pixels = json(&device(&format!("knn {pair} --k 3 --encoder pixels")));
    assert_eq!(pixels["dim"], channels * 32 * 32);

    let (small, none) = (
        "run.batch_size=12 optimizer.warmup_epochs=0.5",
        "data.rand_augment=none",
    );
    let tune = format!(
        "finetune {pair} --out {} --epochs 1 --set {small}",
        at("tuned")
    );
    let found = json(&device(&format!(
        "{tune} {none} data.erasing=1.0 data.flip=true"
    )));
    assert_eq!(found["test_images"], IMAGES);
    let refused = ijepa(&device(&format!(
        "{tune} data.rand_augment=rand-m9-mstd0.5-inc1"
    )));
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(
        refused.stderr.contains("use --set data.rand_augment=none"),
        "{refused:?}"
    );

    for what in ["pca", "attention", "predictor"] {
        let picture = at(&format!("{what}.png"));
        let line = format!("visualize {what} {weights} --data {data} --images 2 --out {picture}");
        json(&device(&line));
        assert!(image::open(&picture).unwrap().width() > 224);
        let missing = ijepa(&device(&format!("{line} --bands 0,0,{channels}")));
        assert_eq!(missing.code, Some(2), "{missing:?}");
    }
    let page = at("page.html");
    text(&device(&format!("report {run} --out {page}")));
    let page = fs::read_to_string(page).unwrap();
    assert!(!page.contains("Not shown"), "{page}");
    let decoder = format!(
        "visualize rcdm train {weights} --data {data} --out {}",
        at("decoder")
    );
    let refused = ijepa(&device(&decoder));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(
        refused.stderr.contains("decoders draw red, green and blue"),
        "{refused:?}"
    );
}

#[test]
fn one_channel_of_sixteen_bits_is_learned_embedded_probed_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("grey");
    grey(&data);
    check(folder.path(), &path_text(data), 1, "");
}

#[test]
fn five_channels_of_floats_are_learned_embedded_probed_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("five");
    five(&data);
    let named =
        "data.bands=['blue','green','red','nir','swir'] data.picture=['red','green','blue']";
    check(folder.path(), &path_text(data), 5, named);
}

#[test]
fn images_and_weights_of_other_channels_do_not_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path_text(folder.path().join(name));
    let (one, many) = (at("grey"), at("five"));
    grey(one.as_ref());
    five(many.as_ref());
    let out = at("out.npy");
    let refused = |line: &str, expected: &str| {
        let found = ijepa(&device(line));
        assert_eq!(found.code, Some(3), "{line}: {found:?}");
        assert!(found.stderr.contains(expected), "{line}: {found:?}");
        assert!(!Path::new(&out).exists());
    };
    let colors = golden("hf_tiny_saved");
    let five = "has 5 channels, expected 3";
    refused(
        &format!("embed --weights {colors} --data {many} --out {out}"),
        five,
    );
    refused(
        &format!("knn --weights {colors} --train {many} --test {many}"),
        five,
    );
    refused(
        &format!("probe --weights {colors} --train {many} --test {many}"),
        five,
    );
    refused(
        &format!("finetune --weights {colors} --train {many} --test {many} --out {out}"),
        five,
    );
    refused(
        &format!(
            "visualize pca --weights {colors} --data {many} --out {}",
            at("a.png")
        ),
        five,
    );
    let pretrain =
        format!("pretrain --recipe scenes_vit_nano --batch-size 12 --data {many} --out {out}");
    refused(&pretrain, five);
    refused(
        &format!("{pretrain} --set data.channels=5"),
        "ijepa data stats --channels 5",
    );
    let one_mean = "data.channels=1 data.mean=[0.5] data.std=[0.2]";
    refused(
        &format!("{pretrain} --set {one_mean}"),
        "has 5 channels, expected 1",
    );
    let jitter = format!("{pretrain} --set {one_mean} data.color_jitter=0.5");
    refused(&jitter, "`data.color_jitter` is 0.5");
    let init = format!(
        "pretrain --recipe scenes_vit_nano --set model.patch_size=8 model.embed_dim=48 \
        model.depth=3 model.num_heads=3 model.predictor_dim=24 mask.min_keep=0 mask.length_multiple=1 {one_mean} \
        --init {colors} --data {one} --batch-size 8"
    );
    let found = ijepa(&device(&format!("{init} --out {}", at("run"))));
    assert!(found.stderr.contains("`data.channels`"), "{found:?}");

    for command in ["stats", "verify"] {
        let line = format!("data {command} --quiet --data {many}");
        let found = ijepa(&words(&line));
        assert_eq!(found.code, Some(3), "{found:?}");
        assert!(
            found.stderr.contains("has 5 channels, expected 3"),
            "{found:?}"
        );
        json(&words(&format!("{line} --channels 5")));
        let found = ijepa(&words(&format!("{line} --channels 17")));
        assert_eq!(found.code, Some(2), "{found:?}");
    }
    // Grey pictures are still colours for who wants colours.
    let line = format!("data stats --quiet --data {one}");
    assert_eq!(json(&words(&line))["grey"], IMAGES);
    let said = text(&words(&format!("{line} --channels 1")));
    assert!(
        said.contains("recipe   --set data.channels=1 data.mean=[0.0"),
        "{said}"
    );
}

#[test]
fn arrays_are_packed_as_they_are_and_read_from_shards() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path_text(folder.path().join(name));
    let many = at("five");
    five(many.as_ref());
    for layout in ["tar", "parquet"] {
        let shards = at(layout);
        let pack = format!("data pack --quiet --data {many} --to {layout} --out {shards}");
        assert_eq!(json(&words(&pack))["images"], IMAGES);
        let line = format!("data stats --quiet --channels 5 --data {layout}:{shards}");
        let found = json(&words(&line));
        assert_eq!(
            (&found["measured"], &found["kinds"]["npy"]),
            (&IMAGES.into(), &IMAGES.into())
        );
        assert_eq!(found["mean"][3], 5.0);
    }
}
