//! Small runs on rendered images, and what they wrote.

use std::{path::Path, sync::Arc};

use ijepa_data::{DataSpec, Source};
use ijepa_testkit::device;
use ijepa_train::{
    PretrainPlan, Recipe, TrainError, TrainOptions, TrainSummary, pretrain, run::Folder,
};

const TINY: [&str; 12] = [
    "model.embed_dim=16",
    "model.depth=1",
    "model.num_heads=2",
    "model.image_size=24",
    "model.predictor_dim=8",
    "model.predictor_depth=1",
    "mask.group_size=6",
    "mask.min_keep=3",
    "mask.length_multiple=4",
    "run.batch_size=12",
    "optimizer.steps_per_epoch=4",
    "run.log_every_steps=3",
];

pub(crate) fn recipe(overrides: &[&str]) -> Recipe {
    let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
    recipe
        .with_overrides(&TINY)
        .unwrap()
        .with_overrides(overrides)
        .unwrap()
}

pub(crate) fn source() -> Arc<dyn Source> {
    let spec: DataSpec = "scenes:kind=texture,n=48,size=32".parse().unwrap();
    spec.open().unwrap()
}

pub(crate) fn train(
    run: &Path,
    recipe: Recipe,
    options: &TrainOptions,
) -> Result<TrainSummary, TrainError> {
    let source = source();
    let plan = PretrainPlan::new(recipe, source.len())?;
    let folder = Folder::open(run)?;
    Ok(pretrain(&plan, source, &folder, &device(), options, &mut [])?.0)
}

pub(crate) fn until(step: u64) -> TrainOptions {
    TrainOptions {
        max_steps: Some(step),
        ..Default::default()
    }
}
