//! `knn` on pixels and on files of `embed`.

use std::{fs, sync::Arc};

use ijepa_data::{DataSpec, Preprocess};
use ijepa_eval::{ExtractConfig, KnnConfig, extract_pixels, knn};
use ijepa_model::Normalization;
use ijepa_testkit::{device, device_name};
use parquet::{file::writer::SerializedFileWriter, schema::parser::parse_message_type};
use serde_json::Value;

use crate::support::{fails, golden, ijepa, json, path_text, text, words};

const TRAIN: &str = "scenes:kind=texture,n=40,size=32,seed=1";
const TEST: &str = "scenes:kind=texture,n=10,size=32,seed=2";

fn run(flags: &str) -> Value {
    let device = device_name();
    json(&words(&format!(
        "knn --quiet --k 1,5 --device {device} {flags}"
    )))
}

fn check(flags: &str, code: i32, message: &str) {
    fails(
        &words(&format!("knn --quiet --k 1,5 {flags}")),
        code,
        message,
    );
}

#[test]
fn pixels_need_no_weights() {
    let found = run(&format!("--encoder pixels --train {TRAIN} --test {TEST}"));
    assert_eq!(found["encoder"], "pixels");
    assert_eq!(found["dim"], 3 * 32 * 32);
    let config = ExtractConfig {
        preprocess: Preprocess::Eval,
        normalization: Normalization::NONE,
        ..ExtractConfig::default()
    };
    let pixels = |spec: &str| {
        let source = spec.parse::<DataSpec>().unwrap().open().unwrap();
        let extracted = extract_pixels(source.as_ref(), [32, 32], &config, |_| ());
        extracted.unwrap().features
    };
    let neighbours = KnnConfig {
        ks: vec![1, 5],
        ..KnnConfig::default()
    };
    let expected = knn(&pixels(TRAIN), &pixels(TEST), &neighbours, &device()).unwrap();
    assert_eq!(found["k"], serde_json::to_value(&expected.k).unwrap());

    // Images that vote are their own nearest neighbours, at any size.
    let small = format!("--encoder pixels --image-size 8 --train {TRAIN} --test {TRAIN}");
    let found = run(&small);
    assert_eq!(
        (&found["dim"], &found["k"]["1"]["top1"]),
        (&(3 * 64).into(), &100.0.into())
    );
    let few = format!("--encoder pixels --image-size 8 --whiten --test {TEST} --train {TRAIN}");
    check(&few, 4, "and there are 40 for 192");
    let many = few.replace("n=40", "n=200");
    let whitened = run(&many.replace("n=10", "n=20"));
    assert!(whitened["k"]["1"]["top1"].is_number());
    assert_eq!(
        (&found["whiten"], &whitened["whiten"]),
        (&false.into(), &true.into())
    );
    // Weights give pixels the size that their encoder would see.
    let saved = golden("hf_tiny_saved");
    let found = run(&format!(
        "--encoder pixels --weights {saved} --train {TRAIN} --test {TEST}"
    ));
    let seen = run(&format!("--weights {saved} --train {TRAIN} --test {TEST}"));
    assert_ne!(found["k"], seen["k"]);
}

#[test]
fn numbers_of_neighbours_are_those_asked_for_or_as_many_as_there_are_images() {
    let pixels = |n: usize, flags: &str| {
        let train = format!("scenes:kind=texture,n={n},size=32,seed=1");
        let device = device_name();
        words(&format!(
            "knn --encoder pixels --image-size 8 --train {train} --test {TEST} --device {device} \
             {flags}"
        ))
    };
    for (images, expected) in [(3, vec!["3"]), (40, vec!["10", "20"])] {
        let found = json(&pixels(images, "-q"));
        let ks: Vec<&String> = found["k"].as_object().unwrap().keys().collect();
        assert_eq!(ks, expected);
    }
    let refused = ijepa(&pixels(40, "-q --k 1,200"));
    assert_eq!(refused.code, Some(4), "{refused:?}");
    let message = "error: k is 200, but there are only 40 training images";
    assert!(refused.stderr.starts_with(message), "{refused:?}");

    let said = ijepa(&pixels(40, "--k 1"));
    let progress = "n=40,size=32,seed=1: 40 of 40 images, ";
    assert!(said.stderr.contains(progress), "{said:?}");
}

#[test]
fn files_whose_classes_differ_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let device = device_name();
    let embed = |kind: &str, name: &str| {
        let out = path_text(folder.path().join(name));
        let data = format!("scenes:kind={kind},n=6,size=32");
        let saved = golden("hf_tiny_saved");
        let flags = format!("--weights {saved} --data {data} --out {out} --device {device}");
        text(&words(&format!("embed --quiet {flags}")));
        out
    };
    for kind in ["safetensors", "npy", "parquet"] {
        let train = embed("shape", &format!("a.{kind}"));
        let test = embed("texture", &format!("b.{kind}"));
        let files = format!("--features-train {train} --features-test {test}");
        check(
            &files,
            4,
            "of the test data are none of the training data: `",
        );
        check(&format!("{files} --subset some.txt"), 2, "--subset");
    }
}

#[test]
fn test_images_need_not_show_every_class() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, classes: &[(&str, u8)]| {
        for &(class, shade) in classes {
            let class = folder.path().join(name).join(class);
            fs::create_dir_all(&class).unwrap();
            for image in 0..2 {
                let pixel = image::Rgb([shade, shade / 2 + image, 255 - shade]);
                let picture = image::RgbImage::from_pixel(32, 32, pixel);
                picture.save(class.join(format!("{image}.png"))).unwrap();
            }
        }
        path_text(folder.path().join(name))
    };
    let train = make("train", &[("a", 10), ("b", 120), ("c", 240)]);
    let test = make("test", &[("c", 240), ("b", 120)]);
    let right = |flags: &str| {
        let found = json(&words(&format!("knn --quiet --k 1 {flags}")));
        assert_eq!(found["k"]["1"]["top1"], 100.0, "{found}");
    };
    right(&format!("--encoder pixels --train {train} --test {test}"));
    let none = "1 of the 3 classes of the test data is none of the training data: `a`; leave";
    check(
        &format!("--encoder pixels --train {test} --test {train}"),
        4,
        none,
    );

    let (saved, device) = (golden("hf_tiny_saved"), device_name());
    for kind in ["safetensors", "npy", "parquet"] {
        let [train, test] = [(&train, "train"), (&test, "test")].map(|(data, name)| {
            let out = path_text(folder.path().join(format!("{name}.{kind}")));
            let flags = format!("--weights {saved} --data {data} --out {out} --device {device}");
            text(&words(&format!("embed --quiet {flags}")));
            out
        });
        right(&format!(
            "--center --features-train {train} --features-test {test}"
        ));
        check(
            &format!("--features-train {test} --features-test {train}"),
            4,
            none,
        );
    }
}

#[test]
fn a_parquet_file_without_a_row_exits_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.parquet");
    let columns = "message schema { required binary image; required int64 label; }";
    let columns = Arc::new(parse_message_type(columns).unwrap());
    let file = fs::File::create(&path).unwrap();
    let writer = SerializedFileWriter::new(file, columns, Arc::default()).unwrap();
    writer.close().unwrap();
    let empty = format!("parquet:{}", path_text(path));
    check(
        &format!("--encoder pixels --train {empty} --test {empty}"),
        4,
        "no image in the Parquet files",
    );
}

#[test]
fn files_of_embed_give_what_their_images_give() {
    let folder = tempfile::tempdir().unwrap();
    let (saved, device) = (golden("hf_tiny_saved"), device_name());
    let embed = |data: &str, name: &str, more: &str| {
        let out = path_text(folder.path().join(name));
        let line = format!(
            "embed --quiet --weights {saved} --data {data} --out {out} --device {device} {more}"
        );
        text(&words(&line));
        out
    };
    let expected = run(&format!(
        "--weights {saved} --train {TRAIN} --test {TEST} --center"
    ));
    for kind in ["safetensors", "npy", "parquet"] {
        let train = embed(TRAIN, &format!("train.{kind}"), "");
        let test = embed(TEST, &format!("test.{kind}"), "");
        let files = format!("--features-train {train} --features-test {test} --center");
        let found = run(&files);
        assert_eq!(found["k"], expected["k"], "{kind}");
        assert_eq!(found["encoder"], expected["encoder"], "{kind}");
        assert_eq!(
            (&found["train_images"], &found["test_images"]),
            (&40.into(), &10.into())
        );

        let bytes = std::fs::read(&test).unwrap();
        std::fs::write(&test, &bytes[..bytes.len() - 1]).unwrap();
        check(&files, 4, &format!("cannot read features from `{test}`"));
    }
    let train = embed(TRAIN, "train.safetensors", "");
    let tokens = embed(TEST, "tokens.safetensors", "--pool tokens");
    let with = |test: &str| format!("--features-train {train} --features-test {test}");
    check(
        &with(&tokens),
        4,
        "expected [images, dim] as with --pool mean or concat4",
    );
    check(&with("nowhere.npy"), 4, "`nowhere.npy`");
    check(
        &with("a.csv"),
        4,
        "expected a .safetensors, .npy or .parquet file",
    );
    let wide = embed(TEST, "wide.npy", "--encoder random --pool tokens");
    check(&with(&wide), 4, "expected [images, dim]");
    for (name, flags, what) in [
        ("other", "--encoder random", "encoders"),
        ("read", "--normalize half", "ways to read images"),
    ] {
        let other = embed(TEST, &format!("{name}.npy"), flags);
        let message = format!("the two files come from different {what}");
        check(&with(&other), 4, &message);
    }
}

#[test]
fn images_and_files_do_not_mix() {
    let files = "--features-train a.npy --features-test b.npy";
    check(
        &format!("{files} --train {TRAIN} --test {TEST}"),
        2,
        "cannot be used with",
    );
    check(&format!("{files} --weights w"), 2, "cannot be used with");
    check(&format!("{files} --pool concat4"), 2, "cannot be used with");
    check(
        &format!("{files} --center --whiten"),
        2,
        "cannot be used with",
    );
    check("--features-train a.npy", 2, "--features-test");
    let nothing = "error: nothing to compare; pass --weights W --train SPEC --test SPEC, or ";
    check("--weights w", 2, nothing);
    check("", 2, nothing);
    check(
        &format!("--encoder pixels --pool mean --train {TRAIN} --test {TEST}"),
        2,
        "`--pool` changes nothing with --encoder pixels",
    );
    check(&format!("{files} --num-heads 3"), 2, "cannot be used with");
    check(
        &format!("--train {TRAIN} --test {TEST}"),
        2,
        "`--weights` is missing",
    );
}
