//! Studies: variants of a recipe as short runs, trained with several seeds, judged by several
//! measures, and compared.
//!
//! A sweep is a study of variants that a user lists; a table of the paper is one whose variants are
//! its rows ([`PaperTable`]). Both are [`Study::run`]: what is finished is kept, and the
//! [`StudyReport`] says which differences are more than chance.

mod error;
mod full_size;
mod low_shot;
mod measure;
mod pace;
mod paper;
mod report;
mod run;
mod rungs;
mod statistics;
mod table;
mod training;
mod variant;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use burn::tensor::Device;
use ijepa_data::near;
use ijepa_train::{PretrainPlan, Recipe, TrainError, TrainOptions, run::files::METRICS};

pub use error::StudyError;
pub use full_size::FullSizeCommands;
pub use low_shot::Labels;
pub use measure::{Measure, Metric, NamedSource, Task};
pub use pace::{Equal, Pace};
pub use paper::{PaperRow, PaperTable};
pub use report::{PaperReport, RowReport, Spread, Statistics, StudyReport};
pub use run::RunReport;
pub use statistics::{Comparison, LEAST_SEEDS, LEVEL, Verdict};
pub use training::Outcome;
pub use variant::{ParseVariantError, Variant};
pub use watch::Watch;

use crate::features::ExtractConfig;
use measure::{Judge, Seen};
use pace::Lengths;
use run::Run;
use rungs::Rungs;
use training::{Training, short_recipe};

/// What is tried, for how long, and how it is judged.
#[derive(Debug, Clone)]
pub struct Study {
    /// What every variant changes.
    pub recipe: Recipe,
    /// The changes; the first is what the others are compared with, unless they are of the paper.
    pub variants: Vec<Variant>,
    /// Names of the variants that are trained now; the others are taken from earlier calls. All
    /// are trained if it is empty.
    pub only: Vec<String>,
    /// Each variant runs once per seed.
    pub seeds: Vec<u64>,
    /// Images of a full run: schedules are fitted to them, whatever the batch size. `None`
    /// leaves the schedules of the recipe.
    pub images: Option<u64>,
    /// What all variants get equally much of. Of operations and minutes it is as much as the first
    /// variant needs for its images, unless there are `minutes`; the steps of a run follow before
    /// it begins, at least one in each of its epochs. A variant that diverges while it is timed runs
    /// as if images were equal, to diverge again; the first one needs `minutes` then.
    pub equal: Equal,
    /// Minutes of a full run, where these are equal.
    pub minutes: Option<f64>,
    /// Successive halving: all variants run for a part of their schedule, and only the best one
    /// in `halving` (by mean accuracy of the first measure) go on, until the last go to the end.
    /// `None` runs all to the end.
    pub halving: Option<usize>,
    /// How each run is judged; the first measure decides.
    pub measures: Vec<Measure>,
    /// How features are extracted; metrics of the paper choose their own pooling. Statistics and
    /// decoding that are those of the recipe are, for each variant, those of its own.
    pub extract: ExtractConfig,
    /// The table of the paper whose rows the variants are.
    pub paper: Option<PaperReport>,
}

impl Study {
    /// Centred 20-NN accuracy on every task after a run with one seed as long as `recipe` says, for
    /// every variant.
    pub fn sweep(recipe: Recipe, variants: Vec<Variant>, tasks: Vec<Task>) -> Self {
        let measure = |task| Measure {
            metric: Metric::Neighbours,
            task,
        };
        Self {
            extract: ExtractConfig::of_recipe(&recipe),
            recipe,
            variants,
            only: Vec::new(),
            seeds: vec![0],
            images: None,
            equal: Equal::Images,
            minutes: None,
            halving: None,
            measures: tasks.into_iter().map(measure).collect(),
            paper: None,
        }
    }

    /// Trains every variant with every seed in a folder of its own under `out`, judges each run,
    /// and compares.
    ///
    /// What is finished is kept: the same call goes on where an earlier one stopped, and one with
    /// more variants or seeds, or of the paper with more measures, adds theirs; the rungs of
    /// [`halving`](Self::halving) depend on the number of variants. Runs go seed by seed,
    /// so that what there is at any time is a fair table. Rows of the paper share the runs of other
    /// tables in `out`. `options` gives loader threads and the flag to stop; `watch` gives an observer
    /// to whatever is trained, and each run of this call is handed to `on_run`.
    ///
    /// # Errors
    ///
    /// A [`StudyError`] if nothing can be compared (names, labels, recipes), `out` holds runs with
    /// other recipes, data or tasks, a run cannot be carried out, or it was told to stop. A run
    /// that diverges or collapses is a result, not an error.
    pub fn run(
        &self,
        data: &NamedSource,
        out: &Path,
        device: &Device,
        options: &TrainOptions,
        watch: &mut Watch<'_>,
        on_run: &mut dyn FnMut(&RunReport),
    ) -> Result<StudyReport, StudyError> {
        let mut entrants = self.check()?;
        if out.join(METRICS).exists() {
            let path = out.to_owned();
            return Err(TrainError::Exists { path }.into());
        }
        let mut training = Training {
            device,
            options,
            watch,
        };
        let (lengths, plans) = self.equal_plans(data, out, &mut training)?;
        let made_from = self.made_from(data);
        let seen: Vec<Seen> = plans.iter().map(|plans| self.seen(&plans[0])).collect();
        let seeds = 0..self.seeds.len();
        let total = |variant: usize, seed: usize| plans[variant][seed].total_steps();
        let run = |variant: usize, seed: usize, until| Run {
            variant: &self.variants[variant].name,
            plan: &plans[variant][seed],
            cost_per_image: lengths.cost(variant),
            until,
            folder: out.join(self.folder(variant, seed)),
            data,
            made_from: &made_from,
            seen: &seen[variant],
        };
        let known = |variant| -> Result<Vec<_>, StudyError> {
            let known = |seed| run(variant, seed, total(variant, seed)).known();
            seeds.clone().map(known).collect()
        };
        let known: Result<Vec<_>, _> = (0..self.variants.len()).map(known).collect();
        let mut runs = known?;
        let mut judge = Judge {
            measures: &self.measures,
            training,
            at_start: BTreeMap::new(),
        };
        let rungs = Rungs::new(entrants.len(), self.halving);
        for rung in 0..rungs.count() {
            for seed in seeds.clone() {
                for &variant in &entrants {
                    let until = rungs.steps(rung, total(variant, seed));
                    let report = run(variant, seed, until).finish(&mut judge)?;
                    on_run(&report);
                    runs[variant][seed] = Some(report);
                }
            }
            entrants.sort_by(|&a, &b| rank(&runs[b]).total_cmp(&rank(&runs[a])));
            entrants.truncate(rungs.kept(rung));
            entrants.sort_unstable();
        }
        let runs = runs.into_iter().map(|runs| runs.into_iter().flatten());
        let runs = runs.map(Iterator::collect);
        Ok(StudyReport::new(self, &lengths.paces, runs))
    }

    /// How long the variants train so that they get equally much, and what is carried out then.
    fn equal_plans(
        &self,
        data: &NamedSource,
        out: &Path,
        training: &mut Training<'_>,
    ) -> Result<(Lengths, Vec<Vec<PretrainPlan>>), StudyError> {
        let images = data.source.len();
        let lengths = Lengths::of_images(self);
        let plans = self.plans(&lengths, images)?;
        if self.equal == Equal::Images {
            return Ok((lengths, plans));
        }
        let lengths = Lengths::equal(self, &plans, data, out, training)?;
        let plans = self.plans(&lengths, images)?;
        Ok((lengths, plans))
    }

    /// The variants to train, by number, if all can be compared.
    fn check(&self) -> Result<Vec<usize>, StudyError> {
        for (what, found) in [
            ("variant", self.variants.len()),
            ("seed", self.seeds.len()),
            ("task", self.measures.len()),
        ] {
            if found == 0 {
                return Err(StudyError::Nothing { what });
            }
        }
        if let Some(found) = self.halving.filter(|&factor| factor < 2) {
            return Err(StudyError::Halving { found });
        }
        let names = self.variants.iter().map(|it| variant::folder(&it.name));
        if let Some(name) = twice(names) {
            return Err(StudyError::SameName { name });
        }
        if let Some(seed) = twice(self.seeds.iter().copied()) {
            return Err(StudyError::SameSeed { seed });
        }
        for measure in &self.measures {
            measure.check()?;
        }
        let names = || self.variants.iter().map(|variant| variant.name.as_str());
        let known = |found: &String| {
            let unknown = || StudyError::UnknownVariant {
                found: found.clone(),
                near: near(found, names()).map(str::to_owned),
                known: names().map(str::to_owned).collect(),
            };
            names().position(|name| name == found).ok_or_else(unknown)
        };
        match &self.only[..] {
            [] => Ok((0..self.variants.len()).collect()),
            only => only.iter().map(known).collect(),
        }
    }

    /// The plan of every variant with every seed, all checked before anything runs.
    fn plans(
        &self,
        lengths: &Lengths,
        images: usize,
    ) -> Result<Vec<Vec<PretrainPlan>>, StudyError> {
        let plans_of = |(variant, &length): (&Variant, &Option<u64>)| {
            let plan = |&seed: &u64| {
                let recipe = short_recipe(&self.recipe, &variant.overrides, seed, length)?;
                PretrainPlan::new(recipe, images)
            };
            let plans: Result<_, _> = self.seeds.iter().map(plan).collect();
            plans.map_err(|source| StudyError::Variant {
                name: variant.name.clone(),
                source,
            })
        };
        let variants = self.variants.iter().zip(&lengths.images);
        let plans: Vec<Vec<PretrainPlan>> = variants.map(plans_of).collect::<Result<_, _>>()?;
        self.check_images(&plans, lengths)?;
        Ok(plans)
    }

    /// Checks that no run needs more than its images for a step in each epoch.
    fn check_images(
        &self,
        plans: &[Vec<PretrainPlan>],
        lengths: &Lengths,
    ) -> Result<(), StudyError> {
        let of_runs = plans.iter().zip(&lengths.images);
        for (variant, (plans, &images)) in self.variants.iter().zip(of_runs) {
            let recipe = plans[0].recipe();
            let (epochs, batch_size) = (recipe.optimizer.epochs, recipe.run.batch_size);
            let least = epochs.saturating_mul(batch_size) as u64;
            if let Some(images) = images.filter(|&images| images < least) {
                let name = variant.name.clone();
                return Err(StudyError::FewImages {
                    name,
                    images,
                    least,
                });
            }
        }
        Ok(())
    }

    /// What results depend on beside the recipe: the data, and of a sweep how it is judged; tables
    /// of the paper share runs and ask each for what they need.
    fn made_from(&self, data: &NamedSource) -> BTreeMap<String, String> {
        let data = ("data".to_owned(), data.described().to_owned());
        if self.paper.is_some() {
            return [data].into();
        }
        let task = |Measure { task, .. }: &Measure| {
            let [train, test] = [&task.train, &task.test].map(NamedSource::described);
            format!("{train} tested on {test}")
        };
        let tasks: Vec<String> = self.measures.iter().map(task).collect();
        let values = [
            ("features", self.extract.described()),
            ("tasks", tasks.join(", ")),
        ];
        let values = values.map(|(key, value)| (key.to_owned(), value));
        values.into_iter().chain([data]).collect()
    }

    fn seen(&self, plan: &PretrainPlan) -> Seen {
        let extract = self.extract.for_variant(&self.recipe, plan.recipe());
        let keys = self.measures.iter().map(|measure| measure.key(&extract));
        Seen {
            keys: keys.collect(),
            extract,
        }
    }

    /// Named by the variant, or by what it changes, so that equal rows of the paper are one run.
    fn folder(&self, variant: usize, seed: usize) -> String {
        let (Variant { name, overrides }, seed) = (&self.variants[variant], self.seeds[seed]);
        let name = match self.paper {
            None => variant::folder(name),
            Some(_) if overrides.is_empty() => "base".to_owned(),
            Some(_) => variant::folder(&overrides.join(" ")),
        };
        format!("{name}-seed{seed}")
    }
}

/// A value that comes twice.
fn twice<T: Ord + Clone>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    let mut values = values.into_iter();
    values.find(|value| !seen.insert(value.clone()))
}

/// Mean accuracy of the first measure; a variant with a failed run is last.
fn rank(runs: &[Option<RunReport>]) -> f64 {
    let accuracy = |run: &Option<RunReport>| run.as_ref()?.accuracy[0];
    let sum: Option<f64> = runs.iter().map(accuracy).sum();
    sum.map_or(f64::NEG_INFINITY, |sum| sum / runs.len() as f64)
}
