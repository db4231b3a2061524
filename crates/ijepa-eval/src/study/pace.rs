//! What an image costs each variant, so that all get the same time or the same arithmetic.

use std::{collections::BTreeMap, path::Path};

use ijepa_model::files::write_bytes;
use ijepa_train::{PretrainPlan, Recipe, scaling::Workload};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{NamedSource, Study, StudyError, run::read, training::Training, variant};

/// Where paces are remembered, among the runs: what goes on has to be as long as it began.
const FILE: &str = "paces.json";
/// Times that each variant is timed, in turn with the others; the median counts.
const ROUNDS: usize = 3;

/// What all runs of a study have equally much of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Equal {
    /// Training images.
    #[default]
    Images,
    /// Floating-point operations of training by formula, see [`ijepa_train::flops`].
    Flops,
    /// Minutes of training, by the speed measured before the runs.
    Minutes,
}

impl Equal {
    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Flops => "FLOP",
            Self::Minutes => "planned minutes",
        }
    }
}

/// What an image costs a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// What the variant changes.
    pub changes: Vec<String>,
    /// Digest of what else an image costs by: the data, and the recipe but for its rates and its seed.
    #[serde(default)]
    pub of: String,
    /// Floating-point operations of training with it, by formula.
    #[serde(deserialize_with = "positive")]
    pub flop_per_image: f64,
    /// Training images a second, where they were timed.
    #[serde(deserialize_with = "any_positive")]
    pub images_per_s: Option<f64>,
    /// Whether it diverged whenever it was timed.
    #[serde(default)]
    pub diverged: bool,
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    match value > 0.0 && value.is_finite() {
        true => Ok(value),
        false => Err(D::Error::custom(format!(
            "{value}, expected a number above 0"
        ))),
    }
}

fn any_positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    struct Positive(#[serde(deserialize_with = "positive")] f64);
    Ok(Option::<Positive>::deserialize(deserializer)?.map(|Positive(value)| value))
}

impl Pace {
    fn cost(&self, equal: Equal) -> f64 {
        match equal {
            Equal::Images => 1.0,
            Equal::Flops => self.flop_per_image,
            Equal::Minutes => self.images_per_s.map_or(f64::NAN, |it| 1.0 / (60.0 * it)),
        }
    }
}

/// How long the runs of each variant are.
#[derive(Debug)]
pub(super) struct Lengths {
    /// By variant; none if nothing but images is equal.
    pub(super) paces: Vec<Option<Pace>>,
    /// Images of a run, by variant; none leaves the schedule of the recipe.
    pub(super) images: Vec<Option<u64>>,
    equal: Equal,
}

impl Lengths {
    /// As many images for every variant, or as long as the recipe says.
    pub(super) fn of_images(study: &Study) -> Self {
        let variants = study.variants.len();
        Self {
            paces: vec![None; variants],
            images: vec![study.images; variants],
            equal: Equal::Images,
        }
    }

    /// As much for every variant as the first one needs for the images of the study, or as the
    /// study has minutes. What earlier calls measured is taken from `out`.
    pub(super) fn equal(
        study: &Study,
        plans: &[Vec<PretrainPlan>],
        data: &NamedSource,
        out: &Path,
        training: &mut Training<'_>,
    ) -> Result<Self, StudyError> {
        let plans: Vec<&PretrainPlan> = plans.iter().map(|plans| &plans[0]).collect();
        let paces = paces(study, &plans, data, out, training)?;
        let batch_size = plans[0].recipe().run.batch_size as u64;
        let of_first = plans[0].total_steps().saturating_mul(batch_size);
        let minutes = study.minutes.filter(|_| study.equal == Equal::Minutes);
        let budget = minutes.unwrap_or(of_first as f64 * paces[0].cost(study.equal));
        if !budget.is_finite() {
            let name = study.variants[0].name.clone();
            return Err(StudyError::NoPace { name });
        }
        let images = |pace: &Pace| {
            let images = (budget / pace.cost(study.equal)).round();
            match images.is_finite() {
                true => Some(images as u64),
                false => study.images,
            }
        };
        Ok(Self {
            images: paces.iter().map(images).collect(),
            paces: paces.into_iter().map(Some).collect(),
            equal: study.equal,
        })
    }

    /// What an image costs a variant in what is equal; no number of one that diverged before it was
    /// timed.
    pub(super) fn cost(&self, variant: usize) -> f64 {
        self.paces[variant]
            .as_ref()
            .map_or(1.0, |pace| pace.cost(self.equal))
    }
}

/// The pace of every variant, measured unless an earlier call did.
fn paces(
    study: &Study,
    plans: &[&PretrainPlan],
    data: &NamedSource,
    out: &Path,
    training: &mut Training<'_>,
) -> Result<Vec<Pace>, StudyError> {
    let path = out.join(FILE);
    let mut known: BTreeMap<String, Pace> = read(&path)?;
    let timed = study.equal == Equal::Minutes;
    let mut speeds = vec![Vec::new(); plans.len()];
    let of: Vec<String> = plans
        .iter()
        .map(|plan| digest(plan.recipe(), data))
        .collect();
    let is_new = |variant: usize| {
        let found = known.get(&variant::folder(&study.variants[variant].name));
        let same = |pace: &&Pace| {
            // Version 0.1.0 did not say of what it is.
            let of = pace.of.is_empty() || pace.of == of[variant];
            of && pace.changes == study.variants[variant].overrides
        };
        let found = found.filter(same);
        found.is_none_or(|pace| timed && pace.images_per_s.is_none() && !pace.diverged)
    };
    let new: Vec<usize> = (0..plans.len()).filter(|&it| is_new(it)).collect();
    let rounds = if timed { ROUNDS } else { 0 };
    for _ in 0..rounds {
        for &variant in &new {
            let what = format!("speed of {}", study.variants[variant].name);
            let speed = training.speed(&what, plans[variant], out, &data.source)?;
            speeds[variant].extend(speed);
        }
    }
    for variant in new {
        let recipe = plans[variant].recipe();
        let workload =
            Workload::of(recipe, data.source.len()).map_err(|source| StudyError::Variant {
                name: study.variants[variant].name.clone(),
                source,
            })?;
        let pace = Pace {
            changes: study.variants[variant].overrides.clone(),
            of: of[variant].clone(),
            flop_per_image: workload.flop_per_image,
            diverged: timed && speeds[variant].is_empty(),
            images_per_s: median(&mut speeds[variant]),
        };
        known.insert(variant::folder(&study.variants[variant].name), pace);
    }
    let text = serde_json::to_vec_pretty(&known).expect("paces are plain data");
    write_bytes(&path, text)?;
    let names = study.variants.iter();
    let names = names.map(|it| variant::folder(&it.name));
    Ok(names.map(|name| known[&name].clone()).collect())
}

fn digest(recipe: &Recipe, data: &NamedSource) -> String {
    let mut recipe = Recipe {
        optimizer: Recipe::default().optimizer,
        ..recipe.clone()
    };
    recipe.run.seed = 0;
    let of = format!("{}{}", recipe.to_toml(), data.described());
    blake3::hash(of.as_bytes()).to_hex()[..16].to_owned()
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
