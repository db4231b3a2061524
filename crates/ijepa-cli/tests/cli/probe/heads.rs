//! Heads of every protocol on images and on pixels.

use std::fs;

use super::{TEST, TRAIN, check, on_images, run};
use crate::support::{keys, path_text};

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

    refuses_what_changes_no_pixel("dense", &on(""));
}

#[test]
fn a_depth_probe_says_how_far_the_pixels_of_scenes_are() {
    let [train, test] = [TRAIN, TEST].map(|spec| spec.replace("kind=texture", "kind=distance"));
    assert_ne!((&*train, &*test), (TRAIN, TEST));
    let on = |flags: &str| {
        let on = on_images(&format!("--protocol depth --epochs 2 {flags}"));
        on.replace(TRAIN, &train).replace(TEST, &test)
    };
    let found = run(&on(""));
    let promised = [
        "rmse", "abs_rel", "delta1", "mean", "std", "floor", "best", "heads", "encoder",
    ];
    assert!(keys(&found).is_superset(&promised.into()), "{found}");
    assert_eq!(
        (&found["protocol"], &found["preprocess"]),
        (&"depth".into(), &"squash".into())
    );
    assert_eq!(found["heads"].as_array().unwrap().len(), 3);
    let numbers = ["rmse", "abs_rel", "delta1"].map(|key| found["floor"][key].as_f64().unwrap());
    assert!(numbers.iter().all(|it| *it > 0.0), "{found}");
    let heads = run(&on("--lr 0.01 --weight-decay 0,0.1 --head-batch 8"));
    assert_eq!(heads["heads"].as_array().unwrap().len(), 2);
    assert_eq!(heads["heads"][1]["weight_decay"], 0.1);
    assert_eq!(heads["batch_size"], 8);
    refuses_what_changes_no_pixel("depth", &on(""));

    let flat = on_images("--protocol depth");
    check(
        &flat,
        4,
        "#0` has no depths; they come with voc: and with scenes: of kind count",
    );
}

/// The flags and sources that `protocol` refuses, of which `command` is a use on images.
fn refuses_what_changes_no_pixel(protocol: &str, command: &str) {
    for flag in [
        "pool mean",
        "batch-norm mae",
        "penalty 1",
        "augment protocol",
    ] {
        let error = format!("changes nothing in protocol {protocol}");
        check(&format!("{command} --{flag}"), 2, &error);
    }
    let crop = format!("{command} --preprocess eval");
    let error = format!("masks and depths are of whole images: `--protocol {protocol}`");
    check(&crop, 2, &error);
    check(&format!("{command} --lr 0"), 2, "learning rate is 0");
    let pixels = format!("--encoder pixels --train {TRAIN} --test {TEST} --protocol {protocol}");
    let error = format!("`--protocol {protocol}` needs the patch tokens");
    check(&pixels, 2, &error);
}
