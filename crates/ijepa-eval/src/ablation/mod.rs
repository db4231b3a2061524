//! The paper's tables 6 to 14 as short runs, and as recipes of full size.

mod error;
mod full_size;
mod low_shot;
mod metric;
mod report;
mod run;
mod table;
mod tables;

use std::{path::Path, sync::Arc};

use burn::tensor::Device;
use ijepa_data::Source;
use ijepa_train::{PretrainPlan, Recipe, ResolveError, TrainOptions, recipe::nearest};

pub use error::AblationError;
pub use full_size::{FullSizeCommands, full_size_commands};
pub use low_shot::Labels;
pub use metric::Metric;
pub use report::{AblationReport, AblationRunReport, RowReport, Spread};
pub use tables::{AblationRow, AblationTable, SmallChange};

use crate::{features::ExtractConfig, labels::check_class_names, sweep::training::short_recipe};
use low_shot::LowShot;
use metric::Judge;
use run::Run;

/// What is run of a table, and for how long.
#[derive(Debug, Clone)]
pub struct AblationConfig {
    /// The table.
    pub table: &'static AblationTable,
    /// The small recipe that its rows change.
    pub recipe: Recipe,
    /// Names of the rows to train; all if there is none.
    pub rows: Vec<String>,
    /// Each row is trained once per seed.
    pub seeds: Vec<u64>,
    /// Images of a run: schedules are fitted to them. `None` leaves those of the recipe.
    pub images: Option<u64>,
    /// How many labels low-shot evaluation uses.
    pub labels: Labels,
    /// How features are extracted; the pooling is chosen by the metric.
    pub extract: ExtractConfig,
}

/// Images and the names that say whether an earlier run saw the same ones.
#[derive(Debug, Clone)]
pub struct AblationData {
    /// Images to pretrain on, their labels unused.
    pub data: (String, Arc<dyn Source>),
    /// Labelled images to learn from.
    pub train: (String, Arc<dyn Source>),
    /// Labelled images that are classified.
    pub test: (String, Arc<dyn Source>),
}

/// A row with a plan for each seed.
type Planned = (&'static AblationRow, Vec<PretrainPlan>);

/// Trains the rows of a table with every seed in folders under `out`, judges each run as the
/// paper's table does, and sets the accuracies beside the paper's.
///
/// Runs are named by what they change, so tables that share `out` share their runs. What is
/// finished is kept: the same call goes on where an earlier one stopped, and rows that are not
/// trained now are taken from earlier calls.
/// `options` gives loader threads and the flag to stop; `on_run` is told each run of this call.
///
/// # Errors
///
/// An [`AblationError`] if rows, seeds, labels or recipes make no table, `out` holds other runs,
/// a run cannot be carried out, or it was told to stop. A run that diverges is a result.
pub fn ablate(
    config: &AblationConfig,
    data: &AblationData,
    out: &Path,
    device: &Device,
    options: &TrainOptions,
    on_run: &mut dyn FnMut(&AblationRow, &AblationRunReport),
) -> Result<AblationReport, AblationError> {
    let wanted = config.wanted()?;
    let names = [&data.train, &data.test].map(|(_, source)| source.classes());
    check_class_names(names[0], names[1]).map_err(crate::Error::from)?;
    let low_shot = LowShot::choose(&data.train.1, config.labels)?;
    let planned = config.plans(data.data.1.len())?;
    let judge = Judge {
        low_shot: &low_shot,
        data,
        extract: &config.extract,
        device,
        options,
    };
    let run = |row, plan| Run {
        metrics: config.table.metrics,
        changes: config.changes(row),
        plan,
        out,
        judge: &judge,
    };
    for seed in 0..config.seeds.len() {
        for (row, plans) in &planned {
            if wanted.contains(&row.name) {
                on_run(row, &run(row, &plans[seed]).finish()?);
            }
        }
    }
    let mut rows = Vec::new();
    for (row, plans) in &planned {
        let known: Result<Vec<_>, _> = plans.iter().map(|plan| run(row, plan).known()).collect();
        let runs = known?.into_iter().flatten().collect();
        rows.push((*row, config.changes(row), runs));
    }
    Ok(AblationReport::new(config, data, &low_shot, rows))
}

impl AblationTable {
    /// Numbers of the tables.
    pub fn numbers() -> impl Iterator<Item = u8> {
        tables::TABLES.iter().map(|table| table.number)
    }

    /// The table of this number.
    pub fn find(number: u8) -> Option<&'static Self> {
        tables::TABLES.iter().find(|table| table.number == number)
    }

    /// The row that the paper finds best by its first metric.
    pub fn best(&self) -> &'static AblationRow {
        let better = |a: &&AblationRow, b: &&AblationRow| a.paper[0].total_cmp(&b.paper[0]);
        self.rows.iter().max_by(better).expect("a table has rows")
    }

    /// What `row` changes at full size, what all rows change included.
    pub fn full_changes(&self, row: &AblationRow) -> Vec<String> {
        let changes = self.full.iter().chain(row.full);
        changes.map(|&change| change.to_owned()).collect()
    }
}

impl AblationConfig {
    /// What `row` changes in the small recipe, what all rows change included.
    pub fn changes(&self, row: &AblationRow) -> Vec<String> {
        let model = &self.recipe.model;
        let own = match row.small {
            SmallChange::Same => row.full.iter().map(|&change| change.to_owned()).collect(),
            SmallChange::Keys(keys) => keys.iter().map(|&change| change.to_owned()).collect(),
            SmallChange::HalfThePredictorDepth => {
                let depth = (model.predictor_depth / 2).max(1);
                vec![format!("model.predictor_depth={depth}")]
            }
            SmallChange::PredictorAsWideAsTheEncoder => {
                let config = self.recipe.model_config();
                let width = config.map_or(model.predictor_dim, |config| config.encoder.embed_dim);
                vec![format!("model.predictor_dim={width}")]
            }
        };
        let all = self.table.small.iter().map(|&change| change.to_owned());
        all.chain(own).collect()
    }

    /// Names of the rows to train.
    fn wanted(&self) -> Result<Vec<&'static str>, AblationError> {
        if self.seeds.is_empty() {
            return Err(AblationError::NoSeed);
        }
        let names = || self.table.rows.iter().map(|row| row.name);
        let known = |wanted: &String| {
            let unknown = || AblationError::UnknownRow {
                found: wanted.clone(),
                table: self.table.number,
                nearest: nearest(wanted, names()),
                known: names().collect(),
            };
            names().find(|name| name == wanted).ok_or_else(unknown)
        };
        match &self.rows[..] {
            [] => Ok(names().collect()),
            rows => rows.iter().map(known).collect(),
        }
    }

    /// Every row with a plan for each seed, all checked before anything runs.
    fn plans(&self, images: usize) -> Result<Vec<Planned>, AblationError> {
        let plan = |row: &AblationRow, seed: u64| -> Result<PretrainPlan, ResolveError> {
            let recipe = short_recipe(&self.recipe, &self.changes(row), seed, self.images)?;
            PretrainPlan::new(recipe, images)
        };
        let plans_of = |row: &'static AblationRow| {
            let plans = self.seeds.iter().map(|&seed| plan(row, seed));
            let failed = |source| AblationError::Row {
                name: row.name,
                source,
            };
            let plans: Result<_, _> = plans.collect();
            Ok((row, plans.map_err(failed)?))
        };
        self.table.rows.iter().map(plans_of).collect()
    }
}
