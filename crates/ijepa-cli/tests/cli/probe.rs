//! `probe` on images, on pixels and on files of `embed`.

use std::{fs, path::Path};

use ijepa_testkit::device_name;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

use crate::full_disk::Disk;
use crate::support::{golden, ijepa, json, keys, path_text, text, words};

const TRAIN: &str = "scenes:kind=texture,n=40,size=32,seed=1";
const TEST: &str = "scenes:kind=texture,n=10,size=32,seed=2";

fn line(flags: &str) -> Vec<String> {
    let device = device_name();
    words(&format!("probe --quiet --device {device} {flags}"))
}

/// The result without its one number that differs from run to run, how long the heads took.
fn run(flags: &str) -> Value {
    let mut found = json(&line(flags));
    let took = found.as_object_mut().unwrap().remove("probe_s").unwrap();
    assert!(took.as_f64().unwrap() > 0.0, "{took}");
    found
}

/// On the images above, with the weights of a small checkpoint.
fn on_images(flags: &str) -> String {
    let saved = golden("hf_tiny_saved");
    format!("--weights {saved} --train {TRAIN} --test {TEST} {flags}")
}

fn check(flags: &str, code: i32, message: &str) {
    let found = ijepa(&line(flags));
    assert_eq!(
        (found.code, found.stdout.as_str()),
        (Some(code), ""),
        "{found:?}"
    );
    assert!(found.stderr.contains(message), "{found:?}");
}

#[test]
fn the_result_has_the_promised_keys_and_flags_change_the_heads() {
    let found = run(&on_images("--epochs 2"));
    let promised = [
        "top1",
        "top5",
        "best",
        "heads",
        "train_images",
        "test_images",
        "encoder",
    ];
    assert!(keys(&found).is_superset(&promised.into()), "{found}");
    assert_eq!(
        (&found["train_images"], &found["encoder"]),
        (&40.into(), &"context".into())
    );
    assert_eq!(found["heads"].as_array().unwrap().len(), 4);
    assert_eq!(found, run(&on_images("--epochs 2")));

    let flags = "--lr 0.1,0.01 --weight-decay 0,0.1 --batch-norm none,vissl,mae --epochs 3 \
                 --head-batch 20";
    let found = run(&on_images(flags));
    assert_eq!(found["heads"].as_array().unwrap().len(), 12);
    assert_eq!(found["batch_size"], 20);
    let pixels = format!("--encoder pixels --train {TRAIN} --test {TEST} --protocol vissl-in1k");
    let found = run(&format!("{pixels} --epochs 1"));
    assert_eq!(
        (&found["encoder"], &found["augment"]),
        (&"pixels".into(), &"none".into())
    );
    assert_eq!(found["best"]["pool"], "given");
}

#[test]
fn published_protocols_augment_unless_told_not_to() {
    let run = |flags: &str| run(&on_images(&format!("--epochs 1 --pool mean {flags}")));
    let augmented = run("--protocol vissl-transfer");
    assert_eq!(augmented["augment"], "protocol");
    let fixed = run("--protocol vissl-transfer --augment none");
    assert_eq!(fixed["augment"], "none");
    assert_ne!(augmented["heads"], fixed["heads"]);
    assert_eq!(run("--protocol clevr")["protocol"], "clevr");
}

#[test]
fn files_of_embed_give_what_their_images_give() {
    let folder = tempfile::tempdir().unwrap();
    let (saved, device) = (golden("hf_tiny_saved"), device_name());
    let embed = |data: &str, name: &str| {
        let out = path_text(folder.path().join(name));
        let flags = format!("--weights {saved} --data {data} --out {out} --device {device}");
        text(&words(&format!("embed --quiet {flags}")));
        out
    };
    let (train, test) = (embed(TRAIN, "a.safetensors"), embed(TEST, "b.npy"));
    let files = format!("--features-train {train} --features-test {test}");
    for protocol in ["quick --epochs 2", "lowshot-logistic --penalty 0.1,1"] {
        let expected = run(&on_images(&format!("--pool mean --protocol {protocol}")));
        let found = run(&format!("{files} --pool mean --protocol {protocol}"));
        assert_eq!(found["heads"], expected["heads"], "{protocol}");
    }
    let solved = run(&format!("{files} --protocol lowshot-logistic --penalty 4"));
    assert_eq!(solved["best"]["weight_decay"], 0.1);
    assert_eq!(solved["best"]["lr"], Value::Null);

    check(
        &format!("{files} --augment protocol"),
        2,
        "`--augment protocol` changes nothing on features of files",
    );
    check(&format!("{files} --cache kept"), 2, "cannot be used with");
    check(
        &on_images("--protocol lowshot-logistic --lr 1"),
        2,
        "`--lr` changes nothing",
    );
    check(
        &on_images("--penalty 1"),
        2,
        "`--penalty` changes nothing in protocol quick",
    );
    check(&on_images("--lr 0"), 2, "learning rate is 0");
    check(&on_images("--lr 1e38"), 6, "all 1 heads diverged");
}

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
    check(&on(&pair, &one), 4, "class 1 is `dog` in the training data");
    for (flags, message) in [
        ("--lr 0.1,-1", "learning rate is -1"),
        ("--weight-decay nan", "weight decay is NaN"),
        ("--protocol lowshot-logistic --penalty 0", "penalty is 0"),
        ("--protocol vissl-transfer --lr 0", "learning rate is 0"),
    ] {
        check(&format!("{} {flags}", on(&pair, &pair)), 2, message);
    }
    let knn = |flags: &str, code: i32, message: &str| {
        let found = ijepa(&words(&format!("knn --quiet {flags}")));
        assert_eq!(found.code, Some(code), "{found:?}");
        assert!(found.stderr.contains(message), "{found:?}");
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
        "class 0 is `",
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

#[test]
fn features_are_kept_and_a_damaged_or_full_disk_exits_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let kept = path_text(folder.path().join("kept"));
    let flags = on_images(&format!("--epochs 1 --cache {kept}"));
    let first = run(&flags);
    let files: Vec<_> = fs::read_dir(&kept)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 2);
    assert_eq!(run(&flags), first);
    assert_eq!(first, run(&on_images("--epochs 1")));
    let bytes = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &bytes[..bytes.len() - 4]).unwrap();
    check(&flags, 4, "are damaged (");

    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let Some(disk) = Disk::mount(&small) else {
        return;
    };
    disk.fill(1024);
    let flags = on_images(&format!("--epochs 1 --cache {}", path_text(&small)));
    let found = disk.ijepa(&line(&flags));
    assert_eq!(found.code, Some(4), "{found:?}");
    assert!(found.stderr.contains("error: features need "), "{found:?}");
}

#[test]
fn a_subset_restricts_the_images_to_learn_from() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    for image in 0..6u8 {
        let class = images.join(["a", "b"][usize::from(image % 2)]);
        fs::create_dir_all(&class).unwrap();
        let shade = image::Rgb([image * 40, 255 - image * 30, 90]);
        let path = class.join(format!("{image}.png"));
        image::RgbImage::from_pixel(32, 32, shade)
            .save(path)
            .unwrap();
    }
    let list = path_text(folder.path().join("list.txt"));
    fs::write(&list, "0.png\n3.png\n4.png\n").unwrap();
    let images = path_text(images);
    let pair = format!("--encoder pixels --train {images} --test {images} --epochs 1");
    assert_eq!(run(&pair)["train_images"], 6);
    let found = run(&format!("{pair} --subset {list}"));
    assert_eq!(
        (&found["train_images"], &found["test_images"]),
        (&3.into(), &6.into())
    );
}

#[test]
fn attentive_heads_see_the_patches_of_an_encoder() {
    let on = |flags: &str| on_images(&format!("--protocol attentive --epochs 1 {flags}"));
    let found = run(&on(""));
    assert_eq!(
        (&found["protocol"], &found["augment"]),
        (&"attentive".into(), &"protocol".into())
    );
    assert_eq!(found["best"]["pool"], "attentive");
    let found = run(&on(
        "--augment none --lr 0.001,0.01 --weight-decay 0,0.1 --head-batch 20",
    ));
    assert_eq!(found["heads"].as_array().unwrap().len(), 4);
    assert_eq!(found["augment"], "none");

    for flag in ["pool mean", "batch-norm mae", "penalty 1"] {
        let name = flag.split(' ').next().unwrap();
        let message = format!("`--{name}` changes nothing in protocol attentive");
        check(&on(&format!("--{flag}")), 2, &message);
    }
    let pixels = format!("--encoder pixels --train {TRAIN} --test {TEST} --protocol attentive");
    check(&pixels, 2, "`--protocol attentive` needs the patch tokens");
}

#[test]
fn a_dense_probe_segments_scenes_with_masks() {
    let on = |flags: &str| on_images(&format!("--protocol dense --epochs 2 {flags}"));
    let found = run(&on(""));
    let promised = [
        "miou",
        "pixel_accuracy",
        "best",
        "heads",
        "encoder",
        "classes",
    ];
    assert!(keys(&found).is_superset(&promised.into()), "{found}");
    assert_eq!(
        (&found["protocol"], &found["classes"]),
        (&"dense".into(), &6.into())
    );
    assert_eq!(found["preprocess"], "squash");
    assert_eq!(found["heads"].as_array().unwrap().len(), 3);
    let heads = run(&on("--lr 0.01 --weight-decay 0,0.1 --head-batch 8"));
    assert_eq!(heads["heads"].as_array().unwrap().len(), 2);
    assert_eq!(heads["batch_size"], 8);

    for flag in [
        "pool mean",
        "batch-norm mae",
        "penalty 1",
        "augment protocol",
    ] {
        check(
            &on(&format!("--{flag}")),
            2,
            "changes nothing in protocol dense",
        );
    }
    check(&on("--preprocess eval"), 2, "masks are of whole images");
    check(&on("--lr 0"), 2, "learning rate is 0");
    let pixels = format!("--encoder pixels --train {TRAIN} --test {TEST} --protocol dense");
    check(&pixels, 2, "`--protocol dense` needs the patch tokens");
}
