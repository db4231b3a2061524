//! Flags, labels, data and weights that do not go together.

use std::{fs, path::Path};

use ijepa_testkit::device_name;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

use super::{TEST, TRAIN, check, on_images, run};
use crate::support::{fails, golden, path_text, text, words};

#[test]
fn flags_that_change_nothing_are_refused() {
    let pixels = format!("--encoder pixels --train {TRAIN} --test {TEST} --epochs 1");
    let refused = |flags: String, flag: &str, place: &str| {
        let message = format!("error: `--{flag}` changes nothing {place}, leave it out");
        check(&flags, 2, &message);
    };
    for (flags, flag) in [
        ("--pool both", "pool"),
        ("--pool mean", "pool"),
        ("--cache kept", "cache"),
        ("--arch vit_ti16", "arch"),
        ("--protocol clevr --augment protocol", "augment protocol"),
    ] {
        refused(format!("{pixels} {flags}"), flag, "with --encoder pixels");
    }
    for protocol in ["quick", "lowshot-logistic"] {
        let flags = on_images(&format!("--protocol {protocol} --augment protocol"));
        let place = format!("in protocol {protocol}");
        refused(flags, "augment protocol", &place);
    }
    run(&on_images("--protocol quick --augment none --epochs 1"));

    let folder = tempfile::tempdir().unwrap();
    let (saved, device) = (golden("hf_tiny_saved"), device_name());
    let embed = |data: &str, file: String, flags: &str| {
        let out = path_text(folder.path().join(file));
        let line = format!("embed -q --data {data} --out {out} --device {device} {flags}");
        text(&words(&line));
        out
    };
    let mean = format!("--weights {saved} --pool mean");
    let concat4 = "--encoder random --arch vit_ti16 --image-size 32 --pool concat4";
    for (kind, flags, found, others) in [
        (
            "safetensors",
            mean.as_str(),
            "mean",
            vec!["both", "concat4"],
        ),
        ("npy", &mean, "mean", vec!["both"]),
        ("parquet", &mean, "mean", vec!["both"]),
        ("npy", concat4, "concat4", vec!["mean"]),
    ] {
        let train = embed("scenes:n=12,size=32", format!("a.{kind}"), flags);
        let test = embed("scenes:n=4,size=32", format!("b.{kind}"), flags);
        let files = format!("--epochs 1 --features-train {train} --features-test {test}");
        for given in others {
            let message = format!("`--pool {given}` does not go with files of --pool {found}");
            check(&format!("{files} --pool {given}"), 2, &message);
        }
        run(&format!("{files} --pool {found}"));
    }
}

#[test]
fn labels_and_settings_are_checked_before_anything_is_encoded() {
    // No image can be read, which is found out only when they are encoded.
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, classes: &[&str]| {
        for class in classes {
            let class = folder.path().join(name).join(class);
            fs::create_dir_all(&class).unwrap();
            fs::write(class.join("a.png"), "no image").unwrap();
            fs::write(class.join("b.png"), "no image").unwrap();
        }
        path_text(folder.path().join(name))
    };
    let (pair, flat, one) = (
        make("pair", &["cat", "dog"]),
        make("flat", &[""]),
        make("one", &["cat"]),
    );
    let (none, saved) = ("none of the 4 images can be read", golden("hf_tiny_saved"));
    let on = |train: &str, test: &str| format!("--weights {saved} --train {train} --test {test}");
    check(&on(&pair, &pair), 4, none);
    check(&on(&flat, &pair), 4, "2 of 2 training images have no label");
    check(&on(&pair, &flat), 4, "2 of 2 test images have no label");
    check(&on(&pair, &one), 4, none);
    check(
        &on(&one, &pair),
        4,
        "1 of the 2 classes of the test data is none",
    );
    for (flags, message) in [
        ("--lr 0.1,-1", "learning rate is -1"),
        ("--weight-decay nan", "weight decay is NaN"),
        ("--protocol lowshot-logistic --penalty 0", "penalty is 0"),
        ("--protocol vissl-transfer --lr 0", "learning rate is 0"),
    ] {
        check(&format!("{} {flags}", on(&pair, &pair)), 2, message);
    }
    let knn = |flags: &str, code: i32, message: &str| {
        fails(&words(&format!("knn --quiet {flags}")), code, message);
    };
    knn(&on(&pair, &pair), 4, none);
    knn(&on(&flat, &pair), 4, "2 of 2 training images have no label");
    knn(&on(&pair, &flat), 4, "2 of 2 test images have no label");
    let many = "k is 5, but there are only 4 training images";
    knn(&format!("{} --k 1,5", on(&pair, &pair)), 4, many);
}

#[test]
fn data_that_teaches_nothing_exits_with_4() {
    let saved = golden("hf_tiny_saved");
    let on = |train: &str, test: &str| format!("--weights {saved} --train {train} --test {test}");
    check(
        &on("scenes:kind=texture,n=2,size=32", TEST),
        4,
        "2 training images for 5 classes",
    );
    check(
        &on("scenes:kind=shape,n=40,size=32", TEST),
        4,
        "classes of the test data are none of the training data: `",
    );
    let folder = tempfile::tempdir().unwrap();
    let flat = path_text(folder.path().join("flat"));
    fs::create_dir(&flat).unwrap();
    let pixels = [9, 99, 199].repeat(32 * 32);
    let save = |path: &str| {
        image::save_buffer(path, &pixels, 32, 32, image::ColorType::Rgb8).unwrap();
    };
    save(&format!("{flat}/a.png"));
    check(&on(&flat, TEST), 4, "1 of 1 training images have no label");
    check(&on(TRAIN, &flat), 4, "1 of 1 test images have no label");

    let write = |name: &str, values: [f32; 4], labels: [i64; 2]| {
        let path = path_text(folder.path().join(name));
        let values = values.map(f32::to_le_bytes).concat();
        let labels = labels.map(i64::to_le_bytes).concat();
        let tensors = [
            (
                "embedding",
                TensorView::new(Dtype::F32, vec![2, 2], &values).unwrap(),
            ),
            (
                "label",
                TensorView::new(Dtype::I64, vec![2], &labels).unwrap(),
            ),
        ];
        safetensors::serialize_to_file(tensors, None, Path::new(&path)).unwrap();
        path
    };
    let check_file = |file: String, message: &str| {
        check(
            &format!("--features-train {file} --features-test {file}"),
            4,
            message,
        );
    };
    let many = write("many.safetensors", [0.0; 4], [0, 9]);
    check_file(many, "2 training images for 10 classes");
    let nan = write("nan.safetensors", [0.0, 1.0, f32::NAN, 0.0], [0, 1]);
    check_file(nan, "value 0 of image 1 is NaN");
}

#[test]
fn weights_that_do_not_fit_their_architecture_exit_with_5() {
    let folder = tempfile::tempdir().unwrap();
    let saved = golden("hf_tiny_saved");
    let copy = path_text(folder.path());
    fs::copy(
        format!("{saved}/model.safetensors"),
        format!("{copy}/model.safetensors"),
    )
    .unwrap();
    let config = fs::read_to_string(format!("{saved}/config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let width = config["hidden_size"].as_u64().unwrap();
    config["hidden_size"] = (2 * width).into();
    fs::write(format!("{copy}/config.json"), config.to_string()).unwrap();
    check(
        &format!("--weights {copy} --train {TRAIN} --test {TEST}"),
        5,
        "error: ",
    );
}
