//! A list of changed recipes as short runs, compared over seeds.

pub(crate) mod compare;
mod error;
pub(crate) mod kept;
mod rungs;
pub(crate) mod table;
pub(crate) mod training;
mod trial;
mod variant;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::Device;
use ijepa_data::Source;
use ijepa_train::{PretrainPlan, Recipe, TrainOptions};

pub use compare::{Comparison, Verdict};
pub use error::SweepError;
pub use kept::OtherRun;
pub use table::{SweepReport, VariantReport};
pub use training::Outcome;
pub use trial::TrialReport;
pub use variant::{ParseVariantError, Variant};

use crate::{features::ExtractConfig, knn::check_task};
use rungs::Rungs;
use training::short_recipe;
use trial::{Baselines, Trial};

/// Images and the name that says whether an earlier run saw the same ones.
pub type NamedSource = (String, Arc<dyn Source>);

/// A label task that every run is judged by.
#[derive(Debug, Clone)]
pub struct Task {
    /// Labelled images that vote; their name is that of the task.
    pub train: NamedSource,
    /// Labelled images that are classified.
    pub test: NamedSource,
}

/// What is tried, and for how long.
#[derive(Debug, Clone)]
pub struct SweepConfig {
    /// What every variant changes.
    pub recipe: Recipe,
    /// The changes; the first is what the others are compared with.
    pub variants: Vec<Variant>,
    /// Each variant runs once per seed.
    pub seeds: Vec<u64>,
    /// Images of a full run: schedules are fitted to them, whatever the batch size. `None`
    /// leaves the schedules of the recipe.
    pub images: Option<u64>,
    /// Successive halving: all variants run for a part of their schedule, and only the best one
    /// in `halving` (by mean accuracy on the first task) go on, until the last go to the end.
    /// `None` runs all to the end.
    pub halving: Option<usize>,
    /// How features are extracted.
    pub extract: ExtractConfig,
}

/// Trains every variant with every seed in a folder of its own under `out` and compares centred
/// 20-NN accuracy of the target encoder on every task.
///
/// What is finished is kept: the same call goes on where an earlier one stopped, and one with more
/// variants or seeds adds theirs. `options` gives loader threads and the flag to stop; each
/// finished trial is handed to `on_trial`.
///
/// # Errors
///
/// A [`SweepError`] if nothing can be compared (names, tasks, recipes), `out` holds runs with other
/// recipes, data or tasks, a run cannot be carried out, or it was told to stop. A run that
/// diverges or collapses is a result, not an error.
pub fn sweep(
    config: &SweepConfig,
    data: &NamedSource,
    tasks: &[Task],
    out: &Path,
    device: &Device,
    options: &TrainOptions,
    on_trial: &mut dyn FnMut(&TrialReport),
) -> Result<SweepReport, SweepError> {
    config.validate(tasks)?;
    for Task { train, test } in tasks {
        check_task(train.1.as_ref(), test.1.as_ref())?;
    }
    let plans = config.plans(data.1.len())?;
    let trial = |variant: usize, plan, until| Trial {
        variant: &config.variants[variant],
        plan,
        until,
        folder: out.join(config.folder(variant, plan)),
        data,
        tasks,
        extract: &config.extract,
        device,
        options,
    };
    for (variant, plans) in plans.iter().enumerate() {
        for plan in plans {
            trial(variant, plan, plan.total_steps()).kept()?;
        }
    }
    let mut baselines = Baselines::default();
    let mut entrants: Vec<usize> = (0..config.variants.len()).collect();
    let mut results: BTreeMap<usize, Vec<TrialReport>> = BTreeMap::new();
    let rungs = Rungs::new(entrants.len(), config.halving);
    for rung in 0..rungs.count() {
        for &variant in &entrants {
            let mut trials = Vec::new();
            for plan in &plans[variant] {
                let until = rungs.steps(rung, plan.total_steps());
                let report = trial(variant, plan, until).run(&mut baselines)?;
                on_trial(&report);
                trials.push(report);
            }
            results.insert(variant, trials);
        }
        entrants.sort_by(|a, b| rank(&results[b]).total_cmp(&rank(&results[a])));
        entrants.truncate(rungs.kept(rung));
        entrants.sort_unstable();
    }
    Ok(SweepReport::new(config, tasks, &results))
}

/// Mean accuracy on the first task; a variant with a failed run is last.
fn rank(trials: &[TrialReport]) -> f64 {
    let sum: f64 = trials.iter().map(TrialReport::first_accuracy).sum();
    sum / trials.len() as f64
}

impl SweepConfig {
    fn validate(&self, tasks: &[Task]) -> Result<(), SweepError> {
        for (what, found) in [
            ("variant", self.variants.len()),
            ("seed", self.seeds.len()),
            ("task", tasks.len()),
        ] {
            if found == 0 {
                return Err(SweepError::Nothing { what });
            }
        }
        if let Some(found) = self.halving.filter(|&factor| factor < 2) {
            return Err(SweepError::Halving { found });
        }
        let mut folders: Vec<String> = self.variants.iter().map(Variant::folder).collect();
        folders.sort_unstable();
        match folders.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(SweepError::SameName {
                name: pair[0].clone(),
            }),
            None => Ok(()),
        }
    }

    /// The plan of every variant with every seed, all checked before anything runs.
    fn plans(&self, images: usize) -> Result<Vec<Vec<PretrainPlan>>, SweepError> {
        let plans_of = |variant: &Variant| {
            let plan = |&seed: &u64| {
                let recipe = short_recipe(&self.recipe, &variant.overrides, seed, self.images);
                let plan = recipe
                    .map_err(SweepError::from)
                    .and_then(|recipe| Ok(PretrainPlan::new(recipe, images)?));
                plan.map_err(|source| SweepError::Variant {
                    name: variant.name.clone(),
                    source: Box::new(source),
                })
            };
            self.seeds.iter().map(plan).collect()
        };
        self.variants.iter().map(plans_of).collect()
    }

    fn folder(&self, variant: usize, plan: &PretrainPlan) -> PathBuf {
        let seed = plan.recipe().run.seed;
        PathBuf::from(format!("{}-seed{seed}", self.variants[variant].folder()))
    }
}
