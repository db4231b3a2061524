//! `embed`.

use std::path::Path;

use ijepa_data::{FolderSource, Preprocess, Source};
use ijepa_model::{Checkpoint, Normalization, Pooling, Precision, checkpoint::EncoderRole};
use ijepa_testkit::{assert_close, device, device_name, relative_difference};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Features, f32s, golden, i64s, ijepa, json, path_text, text};

/// Two classes of images of several sizes, one of them damaged.
fn photos() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, [width, height]: [u32; 2], hue: u32| {
        let path = folder.path().join("photos").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixel = |x: u32, y: u32| {
            image::Rgb([
                (7 * x + hue) as u8,
                (5 * y + 3 * hue) as u8,
                (x * y + hue) as u8,
            ])
        };
        image::RgbImage::from_fn(width, height, pixel)
            .save(path)
            .unwrap();
    };
    save("bird/0.png", [36, 36], 10);
    save("bird/1.png", [64, 48], 90);
    save("cat/a.png", [40, 80], 160);
    save("cat/c.png", [33, 50], 220);
    std::fs::write(folder.path().join("photos/cat/b.png"), "no image").unwrap();
    folder
}

/// The features that `embed` writes with some flags, and what it says.
fn embed(folder: &Path, flags: &[&str]) -> (Features, Value) {
    let out = path_text(folder.join("out.safetensors"));
    let said = json(&command(folder, &out, flags));
    assert_eq!(said["out"], out.as_str());
    (Features::read(out), said)
}

fn command(folder: &Path, out: &str, flags: &[&str]) -> Vec<String> {
    let data = path_text(folder.join("photos"));
    let device = device_name();
    let common = ["embed", "--data", &data, "--out", out, "--device", &device];
    let words = [&common[..], flags].concat();
    words.into_iter().map(str::to_owned).collect()
}

fn hf() -> String {
    golden("hf_tiny_saved")
}

/// Features of the readable images, computed one by one with the library.
fn expected(folder: &Path, preprocess: Preprocess, normalization: Normalization) -> Vec<f32> {
    let device = device();
    let checkpoint = Checkpoint::open(hf()).unwrap();
    let encoder = checkpoint.encoder(EncoderRole::Context, &device).unwrap();
    let source = FolderSource::open(folder.join("photos")).unwrap();
    let images = (0..source.len()).filter_map(|index| source.read(index).ok());
    images
        .flat_map(|image| {
            let image = preprocess.apply(&image, [32, 32]).unwrap();
            let images = normalization.images(image.pixels(), [1, 32, 32], &device);
            let features = encoder.forward_pooled(images, Pooling::Mean).into_data();
            features.convert::<f32>().try_into_vec::<f32>().unwrap()
        })
        .collect()
}

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
fn preprocessing_and_statistics_are_those_asked_for() {
    let photos = photos();
    let flags = [
        "--weights",
        &hf(),
        "--preprocess",
        "squash",
        "--normalize",
        "half",
    ];
    let (found, said) = embed(photos.path(), &flags);
    let values = expected(photos.path(), Preprocess::Squash, Normalization::HALF);
    assert_close("features", &found.values, &values, 1e-5);
    assert_eq!(said["normalize"], "half");
    assert_eq!(said["preprocess"], "squash");
}

#[test]
fn sixteen_bit_pictures_are_stretched_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    // The same picture with twelve bits of sixteen, and with the eight that these are stretched to.
    let twelve: Vec<u16> = (0..32 * 32).map(|at| at * 4 + 3).collect();
    let wide = twelve.iter().flat_map(|sample| sample.to_be_bytes());
    let eight = twelve
        .iter()
        .map(|&sample| ((u32::from(sample) * 255 + 2047) / 4095) as u8);
    let header = |most: u32| format!("P5 32 32 {most}\n").into_bytes();
    let file = |name: &str, bytes: Vec<u8>| std::fs::write(photos.join(name), bytes).unwrap();
    file("a.pgm", header(65535).into_iter().chain(wide).collect());
    file("b.pgm", header(255).into_iter().chain(eight).collect());
    let rows = |flags: &[&str]| {
        let weights = hf();
        let flags = [&["--weights", &weights][..], flags].concat();
        let (found, said) = embed(folder.path(), &flags);
        let (first, second) = found.values.split_at(found.values.len() / 2);
        (first == second, said["sixteen_bit"].clone())
    };
    assert_eq!(rows(&["--sixteen-bit", "scale"]), (true, "scale".into()));
    assert_eq!(rows(&[]), (false, "high_byte".into()));
}

#[test]
fn statistics_of_a_hugging_face_folder_are_used() {
    let photos = photos();
    let weights = photos.path().join("weights");
    std::fs::create_dir(&weights).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(Path::new(&hf()).join(name), weights.join(name)).unwrap();
    }
    let half = r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    std::fs::write(weights.join("preprocessor_config.json"), half).unwrap();
    let (_, said) = embed(photos.path(), &["--weights", &path_text(weights)]);
    assert_eq!(said["normalize"], "half");
}

#[test]
fn official_and_hugging_face_weights_give_the_same_features() {
    let photos = photos();
    let official = golden("torch/tiny_ckpt.pth.tar");
    let flags = [
        "--weights",
        &official,
        "--num-heads",
        "3",
        "--encoder",
        "context",
    ];
    let (context, _) = embed(photos.path(), &flags);
    let (saved, said) = embed(photos.path(), &["--weights", &hf()]);
    assert_eq!(said["encoder"], "context");
    assert_close("features", &context.values, &saved.values, 1e-5);
    let (target, said) = embed(photos.path(), &flags[..4]);
    assert_eq!(said["encoder"], "target");
    assert!(relative_difference(&target.values, &context.values) > 1e-4);
}

#[test]
fn pooled_features_are_means_of_tokens() {
    let photos = photos();
    let (mean, _) = embed(photos.path(), &["--weights", &hf()]);
    let (tokens, said) = embed(photos.path(), &["--weights", &hf(), "--pool", "tokens"]);
    assert_eq!(tokens.shape, [4, 16, 48]);
    assert_eq!(said["tokens"], 16);
    for row in 0..4 {
        let average = |column: usize| {
            let values = tokens.row(row).iter().skip(column).step_by(48);
            values.sum::<f32>() / 16.0
        };
        let averages: Vec<f32> = (0..48).map(average).collect();
        assert_close("mean", &averages, mean.row(row), 1e-5);
    }
    let (map, said) = embed(photos.path(), &["--weights", &hf(), "--pool", "map"]);
    assert_eq!((map.shape, map.values), (vec![4, 4, 4, 48], tokens.values));
    assert_eq!((&said["tokens"], &said["dim"]), (&16.into(), &48.into()));
}

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

#[test]
fn the_last_four_layers_end_with_the_last() {
    let photos = photos();
    let random = [
        "--encoder",
        "random",
        "--arch",
        "vit_ti16",
        "--image-size",
        "32",
    ];
    let (mean, _) = embed(photos.path(), &random);
    let four = [&random[..], &["--pool", "concat4"]].concat();
    let (concat4, said) = embed(photos.path(), &four);
    assert_eq!(concat4.shape, [4, 4 * 192]);
    assert_eq!(said["dim"], 768);
    for row in 0..4 {
        assert_close("last", &concat4.row(row)[3 * 192..], mean.row(row), 1e-5);
    }
    let (other, _) = embed(photos.path(), &[&random[..], &["--seed", "1"]].concat());
    assert!(relative_difference(&other.values, &mean.values) > 1e-2);
}

#[test]
fn a_random_encoder_has_the_sizes_of_the_weights() {
    let photos = photos();
    let (trained, _) = embed(photos.path(), &["--weights", &hf()]);
    let flags = ["--weights", &hf(), "--encoder", "random"];
    let (random, said) = embed(photos.path(), &flags);
    assert_eq!(said["encoder"], "random");
    assert_eq!(random.shape, trained.shape);
    assert!(relative_difference(&random.values, &trained.values) > 1e-2);
}

#[test]
fn larger_images_have_more_tokens() {
    let photos = photos();
    let flags = ["--weights", &hf(), "--image-size", "48", "--pool", "tokens"];
    let (found, said) = embed(photos.path(), &flags);
    assert_eq!(found.shape, [4, 36, 48]);
    assert_eq!(said["image_size"], serde_json::json!([48, 48]));
}

#[test]
fn a_narrow_number_type_is_close_and_not_equal() {
    let photos = photos();
    let (full, _) = embed(photos.path(), &["--weights", &hf()]);
    let can = |precision: &Precision| device_name() == "flex" && precision.is_supported(&device());
    let mut found = vec![full.values.clone()];
    for precision in [Precision::Bf16, Precision::Int8].into_iter().filter(can) {
        let name = precision.name();
        let (narrow, said) = embed(photos.path(), &["--weights", &hf(), "--precision", name]);
        assert_eq!(said["precision"], name);
        let difference = relative_difference(&narrow.values, &full.values);
        assert!(
            difference > 1e-5 && difference < 5e-2,
            "{name}: {difference}"
        );
        assert!(
            !found.contains(&narrow.values),
            "{name} is a type of its own"
        );
        found.push(narrow.values);
    }
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
fn numpy_files_hold_the_same() {
    let photos = photos();
    let (reference, _) = embed(photos.path(), &["--weights", &hf()]);
    let out = path_text(photos.path().join("out.npy"));
    text(&command(photos.path(), &out, &["--weights", &hf()]));
    let read = |path: &str, header: &str| -> Vec<u8> {
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        let found = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        assert!(found.ends_with('\n'));
        assert_eq!(found.trim_end(), header);
        bytes[10 + length..].to_vec()
    };
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 48), }";
    assert_eq!(f32s(&read(&out, header)), reference.values);
    let about = std::fs::read(photos.path().join("out.meta.json")).unwrap();
    let mut about: Value = serde_json::from_slice(&about).unwrap();
    let weights = about.as_object_mut().unwrap().remove("weights").unwrap();
    assert_eq!(weights.as_str().unwrap().len(), 64);
    let expected = serde_json::json!({"classes": ["bird", "cat"], "pool": "mean"});
    assert_eq!(about, expected);
    let labels = path_text(photos.path().join("out.labels.npy"));
    let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }";
    assert_eq!(i64s(&read(&labels, header)), reference.labels);
}

#[test]
fn files_name_their_classes() {
    let photos = photos();
    let facts = |flags: &[&str]| {
        let (features, _) = embed(photos.path(), flags);
        let bytes = std::fs::read(photos.path().join("out.safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let mut facts = header.metadata().clone().unwrap();
        assert_eq!(facts.remove("weights").unwrap().len(), 64);
        (features.shape, facts)
    };
    let (shape, found) = facts(&["--weights", &hf(), "--pool", "tokens"]);
    assert_eq!(shape, [4, 16, 48]);
    let expected = [("classes", r#"["bird","cat"]"#), ("pool", "tokens")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(found, expected.into());

    let out = photos.path().join("out.parquet");
    text(&command(
        photos.path(),
        &path_text(&out),
        &["--weights", &hf()],
    ));
    let file = SerializedFileReader::new(std::fs::File::open(out).unwrap()).unwrap();
    let rows = file.get_row_iter(None).unwrap().map(Result::unwrap);
    let classes: Vec<String> = rows
        .map(|row| row.get_string(3).unwrap().to_owned())
        .collect();
    assert_eq!(classes, ["bird", "bird", "cat", "cat"]);
}

#[test]
fn features_that_are_not_finite_exit_with_4_and_name_the_first_image() {
    let photos = photos();
    let weights = photos.path().join("weights");
    std::fs::create_dir(&weights).unwrap();
    let from = |name: &str| std::fs::read(Path::new(&hf()).join(name)).unwrap();
    std::fs::write(weights.join("config.json"), from("config.json")).unwrap();
    let mut bytes = from("model.safetensors");
    let (header, file) = SafeTensors::read_metadata(&bytes).unwrap();
    let (at, _) = file.info("layernorm.bias").unwrap().data_offsets;
    bytes[8 + header + at..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(weights.join("model.safetensors"), bytes).unwrap();
    let out = path_text(photos.path().join("out.npy"));
    let weights = path_text(weights);
    let run = ijepa(&command(
        photos.path(),
        &out,
        &["-q", "--weights", &weights],
    ));
    assert_eq!(run.code, Some(4), "{run:?}");
    let first = path_text(photos.path().join("photos/bird/0.png"));
    let message = format!("error: value 0 of `{first}` is NaN; ");
    assert!(run.stderr.starts_with(&message), "{run:?}");
    assert!(!Path::new(&out).exists());
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

#[test]
fn a_failed_run_leaves_the_old_file_and_nothing_else() {
    let photos = photos();
    let out = photos.path().join("out.safetensors");
    std::fs::write(&out, "precious").unwrap();
    let before = std::fs::read_dir(photos.path()).unwrap().count();
    // No image has this size, which shows only when they are read.
    let flags = ["--weights", &hf(), "--preprocess", "none"];
    let run = ijepa(&command(photos.path(), &path_text(&out), &flags));
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(
        run.stderr.contains("none of the 5 images can be read"),
        "{run:?}"
    );
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(photos.path()).unwrap().count(), before);
}
