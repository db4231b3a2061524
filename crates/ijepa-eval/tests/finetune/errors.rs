//! Wrong data and wrong settings.

use std::sync::Arc;

use ijepa_data::{FetchError, Fetched, RgbImage8, Source};
use ijepa_eval::{ExtractConfig, FinetuneData, FinetunePlan, FinetuneRecipe, evaluate};
use ijepa_model::{Classifier, Normalization, VisionTransformerConfig};
use ijepa_testkit::device;
use ijepa_train::{TrainOptions, recipe::Settings};

use crate::support::{data, encoder, open, plan, run_in};

/// Grey images with the labels and class names given.
#[derive(Debug)]
struct Labelled(Vec<Option<u32>>, Vec<String>);

impl Source for Labelled {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.0[index]
    }

    fn name(&self, index: usize) -> String {
        format!("image-{index}")
    }

    fn fetch(&self, _: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let image = RgbImage8::new(16, 16, vec![99; 16 * 16 * 3])?;
        Ok(Fetched::Pixels(image.into()))
    }

    fn label_advice(&self) -> &'static str {
        "ask a person"
    }

    fn classes(&self) -> &[String] {
        &self.1
    }
}

fn labelled(labels: &[i64], classes: &[&str]) -> Arc<dyn Source> {
    let labels = labels.iter().map(|&label| u32::try_from(label).ok());
    let classes = classes.iter().map(|&class| class.to_owned());
    Arc::new(Labelled(labels.collect(), classes.collect()))
}

#[test]
fn sets_that_do_not_belong_together_are_refused() {
    for (train, test, expected) in [
        (
            labelled(&[0, -1], &["a"]),
            labelled(&[0], &["a"]),
            "1 of 2 training images have no label, the first is image `image-1`; ask a person",
        ),
        (
            labelled(&[0], &["a"]),
            labelled(&[-1], &["a"]),
            "1 of 1 test images have no label, the first is image `image-0`; ask a person",
        ),
        (
            labelled(&[0, 1], &["a", "b", "c"]),
            labelled(&[0, 2], &["a", "b", "c"]),
            "test image `image-1` has label 2, which no training image has",
        ),
        (
            labelled(&[0, 1], &["a", "b"]),
            labelled(&[0, 1], &["b", "c"]),
            "1 of the 2 classes of the test data is none of the training data: `c`; leave their \
             images out, or learn from some",
        ),
        (
            labelled(&[0, 1], &["a", "b"]),
            labelled(&[0, 2], &["b", "a"]),
            "test image `image-1` has label 2, expected less than the 2 classes that the data names",
        ),
        (
            labelled(&[0, 2, 1], &["a", "b"]),
            labelled(&[1], &["a", "b"]),
            "training image `image-1` has label 2, expected less than the 2 classes that the data \
             names",
        ),
        (
            labelled(&[0, i64::from(u32::MAX)], &[]),
            labelled(&[0], &[]),
            "2 training images for 4294967296 classes, expected at least one a class",
        ),
        (
            labelled(&[0, 2, 2], &[]),
            labelled(&[2, 1], &[]),
            "test image `image-1` has label 1, which no training image has",
        ),
    ] {
        let error = FinetuneData::new(train, test).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn test_images_have_the_classes_of_training_images_by_their_names() {
    for (classes, labels, expected) in [
        (&["c", "a"][..], [0, 1, 0], [2, 0, 2]),
        (&["b"], [0, 0, 0], [1, 1, 1]),
        (&["a", "b", "c"], [0, 1, 2], [0, 1, 2]),
        (&[], [0, 1, 2], [0, 1, 2]),
    ] {
        let train = labelled(&[0, 1, 2], &["a", "b", "c"]);
        let data = FinetuneData::new(train, labelled(&labels, classes)).unwrap();
        let found = [0, 1, 2].map(|image| data.test().label(image));
        assert_eq!(found, expected.map(Some), "{classes:?}");
        assert_eq!(data.classes(), ["a", "b", "c"]);
    }
}

#[test]
fn labels_that_a_classifier_cannot_be_judged_by_are_refused() {
    let classes = ["a", "b"].map(str::to_owned).to_vec();
    let classifier = Classifier::new(encoder(1), classes, Normalization::IMAGENET, 0);
    let judged = |labels: &[i64]| {
        let source = labelled(labels, &[]);
        let config = ExtractConfig::default();
        let found = evaluate(&classifier, source.as_ref(), &config, &device());
        found.map_err(|error| error.to_string())
    };
    assert_eq!(
        judged(&[0, 2]).unwrap_err(),
        "image `image-1` has label 2, expected less than the 2 classes of the classifier"
    );
    assert_eq!(
        judged(&[-1, -1]).unwrap_err(),
        "2 of 2 test images have no label, the first is image `image-0`; ask a person"
    );
    let (accuracy, _) = judged(&[-1, 1]).unwrap();
    assert!([0.0, 100.0].contains(&accuracy.top1));
}

#[test]
fn a_class_that_no_image_shows_has_its_logit() {
    let set = || labelled(&[0, 1], &["a", "b", "c"]);
    let data = FinetuneData::new(set(), set()).unwrap();
    assert_eq!(data.classes(), ["a", "b", "c"]);
    let nameless = || labelled(&[0, 1], &[]);
    let data = FinetuneData::new(nameless(), nameless()).unwrap();
    assert_eq!(data.classes(), ["0", "1"]);
}

#[test]
fn settings_that_break_a_rule_are_named() {
    for (overrides, expected) in [
        (
            &["run.batch_size=7", "data.mixup=0.8"][..],
            "`run.batch_size` is 7, expected an even number, since mixup and CutMix pair images",
        ),
        (
            &["run.batch_size=7", "data.cutmix=0.8"],
            "`run.batch_size` is 7, expected an even number, since mixup and CutMix pair images",
        ),
        (
            &["run.micro_batch=3"],
            "`run.micro_batch` is 3, expected 0 or an even divisor of `run.batch_size`",
        ),
        (
            &["run.batch_size=64"],
            "`run.batch_size` is 64, expected at most the 48 training images; use --set \
             run.batch_size=32",
        ),
        (
            &["model.unfreeze=3"],
            "`model.unfreeze` is 3, expected at most the 2 blocks of the encoder",
        ),
        (
            &["model.lora_rank=17"],
            "`model.lora_rank` is 17, expected at most the width of the encoder, 16",
        ),
        (
            &["model.lora_rank=2", "model.unfreeze=0"],
            "`model.lora_rank` is 2, but `model.unfreeze` = 0 trains no block that could have one",
        ),
        (
            &["model.unfreeze=some"],
            "override `model.unfreeze=some`: `model.unfreeze` is string \"some\", expected \
             \"all\" or a whole number of blocks",
        ),
        (
            &["optimizer.warmup_epochs=2"],
            "`optimizer.warmup_epochs` is 2, expected 0 or more and less than `optimizer.epochs`",
        ),
        (
            &["optimizer.layer_decay=0"],
            "`optimizer.layer_decay` is 0, expected more than 0 and at most 1",
        ),
        (
            &["data.rand_augment=rand-m99"],
            "`data.rand_augment` is string \"rand-m99\", expected \"none\" or a policy such as \
             \"rand-m9-mstd0.5-inc1\"",
        ),
        (
            &["data.mixup=0.01"],
            "`data.mixup` is 0.01, expected 0 or 0.1 to 100",
        ),
        (
            &["data.preprocess=crop"],
            "override `data.preprocess=crop`: `data.preprocess` is string \"crop\", expected auto, \
             eval, fill, squash, crop:MARGIN with at least 1, or none",
        ),
        (
            &["optimizer.lrr=1"],
            "override `optimizer.lrr=1`: unknown key `optimizer.lrr`, the nearest is \
             `optimizer.lr`",
        ),
    ] {
        let error = plan(overrides, &data()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn images_of_a_size_without_whole_patches_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = TrainOptions::default();
    let error = run_in(folder.path(), &data(), &["model.image_size=18"], &options).unwrap_err();
    assert!(
        error.to_string().starts_with("`model.image_size`: "),
        "{error}"
    );
}

#[test]
fn a_run_on_other_classes_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let options = TrainOptions::default();
    run_in(folder.path(), &data(), &["optimizer.epochs=1"], &options).unwrap();
    let scenes = |n, seed| open(&format!("scenes:kind=shape,n={n},size=16,seed={seed}"));
    let other = FinetuneData::new(scenes(48, 0), scenes(20, 1)).unwrap();
    let error = run_in(folder.path(), &other, &[], &options).unwrap_err();
    assert!(
        error.to_string().contains("was trained with `classes`"),
        "{error}"
    );
}

#[test]
fn protocols_state_every_key() {
    let default = FinetuneRecipe::preset("lowshot-1pct").unwrap();
    assert_eq!(default, FinetuneRecipe::default());
    for name in ["lowshot-1pct", "full"] {
        let recipe = FinetuneRecipe::preset(name).unwrap();
        recipe.validate().unwrap();
        let (_, text) = FinetuneRecipe::presets()
            .iter()
            .find(|(preset, _)| *preset == name)
            .unwrap();
        for key in recipe.flatten().keys() {
            let (_, key) = key.split_once('.').unwrap();
            assert!(text.contains(&format!("\n{key} = ")), "{key} of {name}");
        }
    }
    let error = FinetuneRecipe::load("lowshot").unwrap_err();
    assert!(error.to_string().contains("the nearest is `lowshot-1pct`"));
}

#[test]
fn weights_that_are_no_numbers_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    // The first step is logged and harmless.
    let hot = ["optimizer.lr=1e38", "run.log_every_steps=1000"];
    for more in ["run.eval_every_epochs=1", "run.eval_every_epochs=2"] {
        let overrides = [&hot[..], &[more]].concat();
        let error = run_in(folder.path(), &data(), &overrides, &TrainOptions::default());
        let message = error.unwrap_err().to_string();
        assert!(
            message.starts_with("diverged at step 2: gradient of "),
            "{message}"
        );
        assert!(!folder.path().join("checkpoints/latest").exists());
    }
}

#[test]
fn colours_are_not_changed_where_there_are_none() {
    let grey = VisionTransformerConfig {
        in_chans: 1,
        ..encoder(2).config().clone()
    };
    let error = FinetunePlan::new(FinetuneRecipe::default(), &grey, &data()).unwrap_err();
    let expected = "`data.rand_augment` changes colours of 8 bits, and images of 1 channels are \
                    read as floats; use --set data.rand_augment=none";
    assert_eq!(error.to_string(), expected);
    // Also of three channels that are read in full depth.
    let error = plan(
        &[
            "data.sixteen_bit=keep",
            "data.rand_augment=rand-m9-mstd0.5-inc1",
        ],
        &data(),
    );
    let expected = expected.replace("of 1 channels", "of 3 channels");
    assert_eq!(error.unwrap_err().to_string(), expected);
}
