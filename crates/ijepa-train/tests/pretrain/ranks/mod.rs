//! Runs that several ranks, here threads, train together.

mod bits;
mod ends;
mod moments;

use std::{collections::HashSet, fs, path::Path, sync::Arc, thread};

use ijepa_data::{DataError, DataSpec, FetchError, Fetched, Source};
use ijepa_testkit::{device, run::tensors};
use ijepa_train::{
    Learner, PretrainPlan, Recipe, TrainError, TrainOptions, TrainSummary, pretrain,
    ranks::{Ranks, Single, threads},
    run::{Folder, Observer},
};

/// Six groups a step.
const TINY: [&str; 12] = [
    "model.embed_dim=16",
    "model.depth=1",
    "model.num_heads=2",
    "model.image_size=24",
    "model.predictor_dim=8",
    "model.predictor_depth=1",
    "mask.group_size=3",
    "mask.min_keep=3",
    "run.batch_size=18",
    "optimizer.steps_per_epoch=2",
    "run.log_every_steps=1",
    "data.max_bad_fraction=0.1",
];

fn recipe(overrides: &[&str]) -> Recipe {
    let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
    let recipe = recipe.with_overrides(&TINY).unwrap();
    recipe.with_overrides(overrides).unwrap()
}

/// Rendered images, some of which are damaged and some of which cannot be had.
#[derive(Debug)]
struct Images {
    scenes: Arc<dyn Source>,
    damaged: HashSet<usize>,
    away: HashSet<usize>,
}

impl Images {
    fn new() -> Self {
        let spec: DataSpec = "scenes:kind=texture,n=40,size=32".parse().unwrap();
        Self {
            scenes: spec.open().unwrap(),
            damaged: HashSet::new(),
            away: HashSet::new(),
        }
    }

    fn damaged() -> Self {
        Self {
            damaged: HashSet::from([5, 23, 31]),
            ..Self::new()
        }
    }
}

impl Source for Images {
    fn len(&self) -> usize {
        self.scenes.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.scenes.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.scenes.name(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let name = self.name(index);
        if self.away.contains(&index) {
            return Err(FetchError::Missing(DataError::MissingImage { name }));
        }
        if self.damaged.contains(&index) {
            return Err(FetchError::Corrupt(DataError::MissingImage { name }));
        }
        self.scenes.fetch(index, buffer)
    }

    fn classes(&self) -> &[String] {
        self.scenes.classes()
    }
}

/// What each rank's part of a run comes to.
type Results = Vec<Result<TrainSummary, TrainError>>;

fn train(
    run: &Path,
    recipe: &Recipe,
    images: Images,
    options: &TrainOptions,
    ranks: Arc<dyn Ranks>,
) -> Result<TrainSummary, TrainError> {
    observed(run, recipe, images, options, ranks, &mut [])
}

fn observed(
    run: &Path,
    recipe: &Recipe,
    images: Images,
    options: &TrainOptions,
    ranks: Arc<dyn Ranks>,
    observers: &mut [&mut dyn Observer<Learner>],
) -> Result<TrainSummary, TrainError> {
    let plan = PretrainPlan::new(recipe.clone(), images.len())?;
    let folder = Folder::of_ranks(run, ranks)?;
    let source = Arc::new(images);
    Ok(pretrain(&plan, source, &folder, &device(), options, observers)?.0)
}

/// Trains on `size` ranks, of which each has its own recipe, images and options.
fn on_ranks(
    run: &Path,
    size: usize,
    given: impl Fn(usize) -> (Recipe, Images, TrainOptions) + Sync,
) -> Results {
    let given = &given;
    thread::scope(|scope| {
        let ranks = threads(size).into_iter().enumerate();
        let ranks: Vec<_> = ranks
            .map(|(rank, ranks)| {
                scope.spawn(move || {
                    let (recipe, images, options) = given(rank);
                    train(run, &recipe, images, &options, ranks)
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn until(step: u64) -> TrainOptions {
    TrainOptions {
        max_steps: Some(step),
        ..TrainOptions::default()
    }
}

/// Trains to `step` on `size` ranks, none of which may fail; one is a process on its own.
fn trained(run: &Path, overrides: &[&str], size: usize, step: u64) {
    let recipe = recipe(overrides);
    if size == 1 {
        train(
            run,
            &recipe,
            Images::damaged(),
            &until(step),
            Single::shared(),
        )
        .unwrap();
        return;
    }
    let results = on_ranks(run, size, |_| {
        (recipe.clone(), Images::damaged(), until(step))
    });
    for result in results {
        assert_eq!(result.unwrap().steps, step);
    }
}

fn column(run: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let at = header.split(',').position(|found| found == name).unwrap();
    let cells = rows.lines().map(|row| row.split(',').nth(at).unwrap());
    cells.map(str::to_owned).collect()
}
