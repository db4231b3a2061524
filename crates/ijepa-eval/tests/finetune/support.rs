//! Small runs on rendered images.

use std::{path::Path, sync::Arc};

use ijepa_data::{DataError, DataSpec, Source};
use ijepa_eval::{
    FinetuneData, FinetuneError, FinetunePlan, FinetuneRecipe, FinetuneSummary, finetune,
};
use ijepa_model::{
    Classifier, InitScheme, Initialization, Normalization, VisionTransformer,
    VisionTransformerConfig,
};
use ijepa_testkit::{Replaced, TURNED_JPEG, device, twelve_bits};
use ijepa_train::{
    TrainOptions,
    recipe::Settings,
    run::{Folder, Measured, Observer, Resumption, Row},
};

/// Settings of little work, before those of a test.
pub(crate) const SMALL: &[&str] = &[
    "run.precision=f32",
    "run.batch_size=16",
    "run.log_every_steps=1",
    "data.rand_augment=none",
    "optimizer.epochs=2",
    "optimizer.warmup_epochs=0.5",
    "optimizer.lr=2e-3",
];

pub(crate) fn open(spec: &str) -> Arc<dyn Source> {
    spec.parse::<DataSpec>().unwrap().open().unwrap()
}

/// 48 training and 20 test images of five textures.
pub(crate) fn data() -> FinetuneData {
    let scenes = |n, seed| open(&format!("scenes:kind=texture,n={n},size=16,seed={seed}"));
    FinetuneData::new(scenes(48, 0), scenes(20, 1)).unwrap()
}

/// The same, but the first training image cannot be read.
pub(crate) fn data_with_a_bad_image() -> FinetuneData {
    let data = data();
    let first = data.train().name(0);
    let train = Replaced::new(data.train().clone(), move |index, _| {
        let name = first.clone();
        (index == 0).then(|| Err(DataError::MissingImage { name }.into()))
    });
    FinetuneData::new(Arc::new(train), data.test().clone()).unwrap()
}

/// The same, but of files: half of the training images and all test images are of a turned camera,
/// the others have twelve bits.
pub(crate) fn data_of_files() -> FinetuneData {
    let data = data();
    let of = |source: &Arc<dyn Source>, turned: usize| {
        let file = move |index: usize| {
            Some(match index.is_multiple_of(turned) {
                true => TURNED_JPEG.to_vec(),
                false => twelve_bits(),
            })
        };
        Arc::new(Replaced::with_files(source.clone(), file))
    };
    FinetuneData::new(of(data.train(), 2), of(data.test(), 1)).unwrap()
}

pub(crate) fn encoder(depth: usize) -> VisionTransformer {
    encoder_of(depth, [16, 16])
}

/// As [`encoder`], of images of another `[height, width]`.
pub(crate) fn encoder_of(depth: usize, image_size: [usize; 2]) -> VisionTransformer {
    let config = VisionTransformerConfig {
        mlp_ratio: 2.0,
        ..VisionTransformerConfig::new(image_size, 4, 16, depth, 2)
    };
    let init = Initialization {
        scheme: InitScheme::FanIn,
        ..Initialization::default()
    };
    config.init_with(init, &device())
}

pub(crate) fn plan(overrides: &[&str], data: &FinetuneData) -> Result<FinetunePlan, FinetuneError> {
    plan_of(&encoder(2), overrides, data)
}

fn plan_of(
    encoder: &VisionTransformer,
    overrides: &[&str],
    data: &FinetuneData,
) -> Result<FinetunePlan, FinetuneError> {
    let recipe = FinetuneRecipe::default().with_overrides(SMALL)?;
    let recipe = recipe.with_overrides(overrides)?;
    FinetunePlan::new(recipe, encoder.config(), data)
}

/// What a run says while it lasts.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Events {
    pub(crate) resumed: Vec<Resumption>,
    pub(crate) steps: Vec<Row>,
    pub(crate) scores: Vec<Row>,
}

impl<L> Observer<L> for Events {
    fn on_resume(&mut self, from: &Resumption) {
        self.resumed.push(from.clone());
    }

    fn on_log(&mut self, row: &Row, _: &Measured) {
        self.steps.push(row.clone());
    }

    fn on_scores(&mut self, scores: &Row) {
        self.scores.push(scores.clone());
    }
}

impl Events {
    pub(crate) fn losses(&self) -> Vec<f64> {
        let losses = self.steps.iter().map(|row| row.get("loss").unwrap());
        losses.collect()
    }
}

pub(crate) type Outcome = (FinetuneSummary, Classifier, Events);

/// A run in `folder` with the small encoder.
pub(crate) fn run_in(
    folder: &Path,
    data: &FinetuneData,
    overrides: &[&str],
    options: &TrainOptions,
) -> Result<Outcome, FinetuneError> {
    run_of(encoder(2), &Folder::open(folder)?, data, overrides, options)
}

/// A run of the ranks of `folder`, with another encoder.
pub(crate) fn run_of(
    encoder: VisionTransformer,
    folder: &Folder,
    data: &FinetuneData,
    overrides: &[&str],
    options: &TrainOptions,
) -> Result<Outcome, FinetuneError> {
    let plan = plan_of(&encoder, overrides, data)?;
    let fresh = plan.classifier(encoder, Normalization::IMAGENET, data)?;
    let mut events = Events::default();
    let observers: &mut [&mut dyn Observer<Classifier>] = &mut [&mut events];
    let (summary, classifier) =
        finetune(&plan, fresh, data, folder, &device(), options, observers)?;
    Ok((summary, classifier, events))
}

/// A run in a folder of its own.
pub(crate) fn run(overrides: &[&str]) -> Result<Outcome, FinetuneError> {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &data(), overrides, &TrainOptions::default())
}

/// All weights by name.
pub(crate) fn weights(classifier: &Classifier) -> Vec<(String, Vec<f32>)> {
    let tensors = ijepa_model::checkpoint::named_tensors(classifier).into_iter();
    tensors
        .map(|tensor| (tensor.name.clone(), tensor.read().unwrap()))
        .collect()
}
