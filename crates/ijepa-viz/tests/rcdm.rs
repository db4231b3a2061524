//! Decoders of plain colours: whether they learn, listen, resume and repeat themselves.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{path::Path, sync::Arc};

use burn::tensor::Tensor;
use ijepa_data::{FetchError, Fetched, Reading, RgbImage8, Source};
use ijepa_eval::Features;
use ijepa_model::{Normalization, VisionTransformerConfig};
use ijepa_testkit::{Replaced, TURNED_JPEG, device, twelve_bits};
use ijepa_train::{
    TrainOptions, TrainSummary,
    recipe::Settings,
    run::{Folder, Observer, Resumption},
};
use ijepa_viz::rcdm::{
    Conditioner, Decoder, DecoderRecipe, RcdmError, Sampling, Shown, accept, train_decoder,
};

const SIDE: usize = 4;

/// Images of one colour each.
#[derive(Debug)]
struct Colors(usize);

impl Colors {
    fn color(index: usize) -> [u8; 3] {
        [97, 57, 181].map(|factor| (30 + index * factor % 200) as u8)
    }

    /// The colours themselves as vectors of the images.
    fn vectors(&self) -> Conditioner {
        let values = (0..self.0).flat_map(|index| Self::color(index).map(f32::from));
        Conditioner::File {
            features: Features::new(3, values.collect(), vec![None; self.0]).unwrap(),
            weights: None,
            names: Vec::new(),
        }
    }
}

impl Source for Colors {
    fn len(&self) -> usize {
        self.0
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn fetch(&self, index: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let pixels = Self::color(index).repeat(SIDE * SIDE);
        Ok(Fetched::Pixels(RgbImage8::new(SIDE, SIDE, pixels)?.into()))
    }
}

/// Files of a turned camera and of twelve bits.
fn files(len: usize) -> Replaced {
    Replaced::with_files(Arc::new(Colors(len)) as Arc<dyn Source>, |index| {
        Some(match index.is_multiple_of(2) {
            true => TURNED_JPEG.to_vec(),
            false => twelve_bits(),
        })
    })
}

fn encoder() -> Conditioner {
    let config = VisionTransformerConfig {
        mlp_ratio: 2.0,
        ..VisionTransformerConfig::new([SIDE, SIDE], 2, 16, 1, 2)
    };
    Conditioner::Encoder {
        encoder: Box::new(config.init(&device())),
        normalization: Normalization::IMAGENET,
    }
}

fn recipe(condition: &str, steps: usize) -> DecoderRecipe {
    let changes = [
        "decoder.size=4",
        "decoder.channels=8",
        "decoder.multipliers=[1]",
        "decoder.attention=[]",
        "decoder.heads=2",
        "decoder.groups=4",
        "decoder.condition_dropout=0.4",
        "optimizer.lr=5e-3",
        "optimizer.ema=0.9",
        "run.batch_size=8",
        "run.checkpoint_every_steps=3",
        "run.keep_last=9",
        &format!("decoder.condition={condition}"),
        &format!("optimizer.steps={steps}"),
    ];
    DecoderRecipe::default().with_overrides(&changes).unwrap()
}

/// So many images of `source` for `decoder`.
fn shown_of(
    decoder: &Decoder,
    conditioner: &Conditioner,
    source: &dyn Source,
    count: usize,
) -> Result<Shown, RcdmError> {
    let reading = Reading::default();
    Shown::read(decoder, conditioner, source, reading, count, 0, &device())
}

fn train_in(
    folder: &Path,
    conditioner: &Conditioner,
    recipe: &DecoderRecipe,
    options: &TrainOptions,
) -> Result<(TrainSummary, Decoder, Resumed), RcdmError> {
    train_on(Arc::new(Colors(64)), folder, conditioner, recipe, options)
}

fn train_on(
    source: Arc<dyn Source>,
    folder: &Path,
    conditioner: &Conditioner,
    recipe: &DecoderRecipe,
    options: &TrainOptions,
) -> Result<(TrainSummary, Decoder, Resumed), RcdmError> {
    let folder = Folder::open(folder)?;
    let (device, mut resumed) = (device(), Resumed::default());
    let observers: &mut [&mut dyn Observer<_>] = &mut [&mut resumed];
    let trained = train_decoder(
        recipe,
        conditioner,
        source,
        &folder,
        &device,
        options,
        observers,
    );
    trained.map(|(summary, decoder)| (summary, decoder, resumed))
}

/// Where runs went on.
#[derive(Debug, Default)]
struct Resumed(Vec<Resumption>);

impl<L> Observer<L> for Resumed {
    fn on_resume(&mut self, from: &Resumption) {
        self.0.push(from.clone());
    }
}

fn train(conditioner: &Conditioner, recipe: &DecoderRecipe) -> (TrainSummary, Decoder) {
    let folder = tempfile::tempdir().unwrap();
    let options = TrainOptions::default();
    let trained = train_in(folder.path(), conditioner, recipe, &options);
    let (summary, decoder, _) = trained.unwrap();
    (summary, decoder)
}

#[test]
fn a_decoder_learns_and_listens() {
    let conditioner = encoder();
    let mut recipe = recipe("encoder", 200);
    recipe.run.keeping.log_every_steps = 2;
    recipe.run.keeping.checkpoint_every_steps = 200;
    let (summary, decoder) = train(&conditioner, &recipe);
    let (first, last) = (summary.loss_first, summary.loss_last);
    assert!(last < 0.6 * first, "{first} {last}");

    let shown = shown_of(&decoder, &conditioner, &Colors(6), 6).unwrap();
    let sampling = Sampling { steps: 16, seed: 0 };
    let found = accept(&decoder, &conditioner, &shown, 4, sampling, &device()).unwrap();
    assert!(found.passed(), "{found:?}");
    assert!(found.noise_error.own < found.noise_error.none, "{found:?}");
    assert!(found.similarity.unwrap().nearest_is_own > 0.2, "{found:?}");

    // With the vectors of others nothing passes that the images decide.
    let wrong = Shown {
        conditions: Tensor::cat(
            vec![
                shown.conditions.clone().narrow(0, 1, 5),
                shown.conditions.clone().narrow(0, 0, 1),
            ],
            0,
        ),
        ..shown
    };
    let found = accept(&decoder, &conditioner, &wrong, 2, sampling, &device()).unwrap();
    assert!(found.noise_error.own > found.noise_error.none, "{found:?}");
}

/// Numbers of `metrics.csv` but times.
fn metrics(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        [&cells[..5], &cells[8..]].concat().join(",")
    };
    text.lines().map(row).collect()
}

fn weights(folder: &Path, step: &str, file: &str) -> Vec<u8> {
    std::fs::read(folder.join("checkpoints").join(step).join(file)).unwrap()
}

/// Stopped before its first step and after step 4, between two checkpoints of the recipe, and gone
/// on to step 6.
#[test]
fn a_resumed_run_is_the_run_without_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, halves] = ["whole", "halves"].map(|name| folder.path().join(name));
    let conditioner = encoder();
    let mut recipe = recipe("encoder", 6);
    recipe.run.keeping.log_every_steps = 1;
    let options = TrainOptions::default();
    train_in(&whole, &conditioner, &recipe, &options).unwrap();
    for steps in [0, 4] {
        let stopped = TrainOptions {
            max_steps: Some(steps),
            ..TrainOptions::default()
        };
        let (summary, ..) = train_in(&halves, &conditioner, &recipe, &stopped).unwrap();
        assert_eq!(summary.steps, steps);
    }
    let (summary, _, resumed) = train_in(&halves, &conditioner, &recipe, &options).unwrap();
    assert_eq!(summary.steps, 6);
    let from = Resumption {
        step: 4,
        changed: Vec::new(),
    };
    assert_eq!(resumed.0, [from]);
    assert_eq!(metrics(&halves), metrics(&whole));
    for file in [
        "decoder.safetensors",
        "online.safetensors",
        "optimizer.safetensors",
    ] {
        let [a, b] = [&halves, &whole].map(|run| weights(run, "latest", file));
        assert!(a == b, "{file}");
    }
    assert_ne!(
        weights(&whole, "latest", "decoder.safetensors"),
        weights(&whole, "latest", "online.safetensors")
    );
    let wider = recipe.with_overrides(&["decoder.channels=16"]).unwrap();
    let error = train_in(&halves, &conditioner, &wider, &options).unwrap_err();
    let expected = "with `decoder.channels` = 8, the recipe says 16";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_decoder_knows_the_weights_that_it_was_trained_on() {
    let (own, mut other) = (encoder(), encoder());
    if let Conditioner::Encoder { encoder, .. } = &mut other {
        encoder.norm.gamma = encoder.norm.gamma.clone().map(|gamma| 2.0 * gamma);
    }
    let (folder, options) = (tempfile::tempdir().unwrap(), TrainOptions::default());
    let train_on = |conditioner: &Conditioner, steps| {
        train_in(
            folder.path(),
            conditioner,
            &recipe("encoder", steps),
            &options,
        )
    };
    let (_, decoder, _) = train_on(&own, 3).unwrap();
    assert!(decoder.check(&own).is_ok());
    let refused = |error| assert!(matches!(error, RcdmError::OtherWeights), "{error}");
    refused(decoder.check(&other).unwrap_err());
    refused(train_on(&other, 6).unwrap_err());
    train_on(&own, 6).unwrap();

    // Vectors of a file stand for the encoder that they were taken from.
    let of_file = |weights| Conditioner::File {
        features: Features::new(16, vec![0.0; 16], vec![None]).unwrap(),
        weights,
        names: Vec::new(),
    };
    refused(decoder.check(&of_file(other.weights())).unwrap_err());
    for weights in [own.weights(), None] {
        assert!(decoder.check(&of_file(weights)).is_ok());
    }
}

#[test]
fn settings_that_say_little_have_the_defaults_of_decoders() {
    let expected = DecoderRecipe::default().run;
    assert_eq!(expected.keeping.checkpoint_every_steps, 1000);
    assert_eq!(DecoderRecipe::preset("32").unwrap().run, expected);
}

#[test]
fn files_are_decoded_as_the_settings_say() {
    let (conditioner, base) = (encoder(), recipe("encoder", 2));
    let decoder = |overrides: &[&str]| -> Result<Decoder, RcdmError> {
        let (folder, options) = (tempfile::tempdir().unwrap(), TrainOptions::default());
        let (path, recipe) = (folder.path(), base.with_overrides(overrides)?);
        train_on(Arc::new(files(16)), path, &conditioner, &recipe, &options)?;
        Ok(Decoder::from_pretrained(path, &device())?)
    };
    let shown = |decoder: &Decoder| {
        let shown = shown_of(decoder, &conditioner, &files(4), 4);
        shown.unwrap().pixels
    };
    let learned = |decoder: &Decoder| {
        let tensors = ijepa_model::checkpoint::named_tensors(&decoder.unet).into_iter();
        let values: Vec<Vec<f32>> = tensors.map(|tensor| tensor.read().unwrap()).collect();
        values
    };
    let usual = decoder(&[]).unwrap();
    for change in ["data.orientation=exif", "data.sixteen_bit=scale"] {
        let other = decoder(&[change]).unwrap();
        assert_ne!(learned(&other), learned(&usual), "{change}");
        // It is shown images as it was trained on.
        assert_ne!(shown(&other), shown(&usual), "{change}");
    }
    let built = ijepa_data::Decode::Fast.is_built();
    match decoder(&["data.decode=fast"]) {
        Ok(fast) => assert!(built && fast.config().decoding != usual.config().decoding),
        Err(error) => assert!(
            !built && error.to_string().contains("`turbojpeg`"),
            "{error}"
        ),
    }
}

#[test]
fn samples_are_a_function_of_vector_seed_and_number() {
    let colors = Colors(64);
    let (_, decoder) = train(&colors.vectors(), &recipe("file", 3));
    let shown = |count| {
        let conditioner = colors.vectors();
        shown_of(&decoder, &conditioner, &colors, count).unwrap()
    };
    let sampling = Sampling { steps: 5, seed: 1 };
    let one = shown(40).conditions.narrow(0, 0, 40);
    let numbers: Vec<u64> = (0..40).collect();
    let first = decoder.sample(one.clone(), &numbers, sampling);
    assert_eq!(decoder.sample(one.clone(), &numbers, sampling), first);
    // Alone or beside others, the same image but for rounding in sums of another order.
    let alone = decoder.sample(one.clone().narrow(0, 35, 1), &[35], sampling);
    let size = SIDE * SIDE * 3;
    let pairs = alone.iter().zip(&first[35 * size..36 * size]);
    assert!(pairs.clone().all(|(a, b)| a.abs_diff(*b) <= 1));
    let other = Sampling {
        seed: 2,
        ..sampling
    };
    assert_ne!(decoder.sample(one.clone(), &numbers, other), first);
    let made = shown(4).decode(&decoder, 2, sampling);
    assert_ne!(made[0], made[1]);
}

#[test]
fn wrong_vectors_are_named() {
    let colors = Colors(64);
    let (_, decoder) = train(&colors.vectors(), &recipe("file", 1));
    let error = decoder.check(&encoder()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the decoder takes vectors of 3 values, these have 16"
    );
    let few = Colors(60).vectors();
    let folder = tempfile::tempdir().unwrap();
    let options = TrainOptions::default();
    let error = train_in(folder.path(), &few, &recipe("file", 1), &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "60 vectors for 64 images; `ijepa embed` writes one for each image that it can read: remove \
         what its list of skipped images names"
    );
    let named = |prefix: &str| {
        let mut conditioner = colors.vectors();
        if let Conditioner::File { names, .. } = &mut conditioner {
            *names = (0..64)
                .map(|it| prefix.to_owned() + &colors.name(it))
                .collect();
        }
        shown_of(&decoder, &conditioner, &colors, 1)
    };
    assert!(named("elsewhere/").is_ok());
    let error = named("other-").unwrap_err();
    assert!(
        matches!(error, RcdmError::OtherImages { row: 0, .. }),
        "{error}"
    );
    let shown = shown_of(&decoder, &colors.vectors(), &colors, 1).unwrap();
    let sampling = Sampling { steps: 2, seed: 0 };
    let found = accept(&decoder, &colors.vectors(), &shown, 2, sampling, &device());
    assert_eq!(
        found.unwrap_err().to_string(),
        "1 images, expected at least 2"
    );
}
