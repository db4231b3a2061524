//! Flags that several commands share.

mod images;
mod run;

use std::{ops::RangeInclusive, path::Path};

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use ijepa_model::{Checkpoint, CheckpointError, VisionTransformerConfig, checkpoint::OpenOptions};
use ijepa_train::{DeviceError, DeviceSpec, Recipe, RecipeError};

use crate::{context::Context, error::CliError, report};

pub(crate) use images::{
    DataArgs, Extraction, ReadArgs, Resizing, Wanted, noted, open_data, open_part, open_pictures,
    open_remembered,
};
pub(crate) use run::{RunArgs, SAME_COMMAND, stopping_at_ctrl_c};

/// The recipe that masks are looked at and measured with unless another is named.
const DEFAULT_RECIPE: &str = "in1k_vitb16_ep600";

/// A recipe with changes.
#[derive(Debug, Args)]
pub(crate) struct RecipeArgs {
    /// Name of a preset (see `ijepa recipes list`) or path of a .toml file
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_RECIPE)]
    pub(crate) recipe: String,
    /// Changes of single keys, such as mask.mode=uniform
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    pub(crate) overrides: Vec<String>,
}

impl RecipeArgs {
    /// The recipe, if it can be carried out.
    pub(crate) fn load(&self) -> Result<Recipe, RecipeError> {
        Recipe::load(&self.recipe)?
            .with_overrides(&self.overrides)?
            .checked()
    }

    /// The same with the batch size and the seed of the command line.
    pub(crate) fn load_for(&self, context: &Context) -> Result<Recipe, RecipeError> {
        load_recipe(&self.recipe, &self.overrides, context)
    }
}

/// A recipe with changes and with the batch size and the seed of the command line, which keeps all
/// rules and asks for nothing that is not built.
pub(crate) fn load_recipe(
    name: &str,
    overrides: &[String],
    context: &Context,
) -> Result<Recipe, RecipeError> {
    let mut overrides = overrides.to_vec();
    overrides.extend(context.run_overrides());
    Recipe::load(name)?.with_overrides(&overrides)?.checked()
}

/// Refuses the first of `flags` that was given, since it changes nothing at this `place`.
pub(crate) fn refuse_given(flags: &[(&'static str, bool)], place: &str) -> Result<(), CliError> {
    match flags.iter().find(|(_, is_given)| *is_given) {
        Some(&(flag, _)) => Err(CliError::ChangesNothing {
            flag,
            place: place.to_owned(),
        }),
        None => Ok(()),
    }
}

/// The name of a value on the command line.
pub(crate) fn value_name(value: impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map_or_else(String::new, |name| name.get_name().to_owned())
}

/// Refuses what has views instead of masks where `command` is about masks.
pub(crate) fn refuse_views(recipe: &Recipe, command: &'static str) -> Result<(), CliError> {
    match recipe.objective.kind.predicts() {
        true => Ok(()),
        false => Err(CliError::Views { command }),
    }
}

/// A whole number in `range`.
pub(crate) fn whole(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    match (text.parse(), *range.start(), *range.end()) {
        (Ok(number), ..) if range.contains(&number) => Ok(number),
        (_, least, usize::MAX) => Err(format!("expected a whole number of at least {least}")),
        (_, least, most) => Err(format!("expected a whole number from {least} to {most}")),
    }
}

/// A count of at least one.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    whole(text, 1..=usize::MAX)
}

/// A count of what is compared.
pub(crate) fn at_least_two(text: &str) -> Result<usize, String> {
    whole(text, 2..=usize::MAX)
}

/// A count, which may be none.
pub(crate) fn natural(text: &str) -> Result<usize, String> {
    whole(text, 0..=usize::MAX)
}

/// Threads that compute: more of them than any machine has cores only wait for each other.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    whole(text, 1..=1024)
}

/// A finite number that `fits`, which is said in words, too.
pub(crate) fn number(text: &str, fits: impl Fn(f64) -> bool, words: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) && fits(number) => Ok(number),
        _ => Err(format!("expected a number {words}")),
    }
}

/// A number above 0.
pub(crate) fn above_zero(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0, "above 0")
}

/// A number of at least 0.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |number| number >= 0.0, "of at least 0")
}

/// A number from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=1.0).contains(&number), "from 0 to 1")
}

/// The sizes of an architecture.
pub(crate) fn variant(arch: &str) -> Result<VisionTransformerConfig, CliError> {
    VisionTransformerConfig::variant(arch).map_err(|source| CliError::Flag {
        flag: "arch",
        source,
    })
}

/// The default recipe with another architecture.
pub(crate) fn recipe_of(arch: &str) -> Result<Recipe, CliError> {
    variant(arch)?;
    Ok(Recipe::default().with_overrides(&[format!("model.arch={arch}")])?)
}

/// Opens weights of any kind, downloaded if need be, and says what about them is a guess.
pub(crate) fn open_weights(
    path: &Path,
    num_heads: Option<usize>,
    context: &Context,
) -> Result<Checkpoint, CheckpointError> {
    #[cfg(feature = "hub")]
    let path = &crate::hub::local(path, context.quiet)?;
    let checkpoint = Checkpoint::open_with(path, OpenOptions { num_heads })?;
    for warning in checkpoint.warnings.iter().filter(|_| context.leads()) {
        report::line(&format!("warning: {warning}"));
    }
    Ok(checkpoint)
}

/// Refuses weights whose second network predicts nothing, by the recipe of their run.
pub(crate) fn check_predicts(recipe: Option<&Recipe>) -> Result<(), CliError> {
    match recipe.is_none_or(|recipe| recipe.objective.kind.predicts()) {
        true => Ok(()),
        false => Err(CliError::Projector),
    }
}

/// A device for looking at weights only: a CPU if one is compiled in.
pub(crate) fn host_device() -> Result<Device, DeviceError> {
    DeviceSpec::cpu().or_else(|_| DeviceSpec::best())?.open()
}
