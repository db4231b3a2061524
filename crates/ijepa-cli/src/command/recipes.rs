//! `ijepa recipes`: the settings of pretraining runs.

use clap::{Args, Subcommand};
use ijepa_train::{
    Recipe, RecipeError,
    recipe::{diff, preset_names, preset_text},
};
use serde_json::{Value, json};

use crate::{context::Context, error::CliError, report::Report};

/// List, show and compare recipes
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  ijepa recipes list\n  ijepa recipes show scenes_vit_nano")]
pub(crate) enum Recipes {
    /// Names of the presets
    #[command(after_help = "Example:\n  ijepa recipes list")]
    List,
    Show(Show),
    Diff(Diff),
}

/// Print a recipe as TOML; a file or a changed preset comes with every key explicit
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ijepa recipes show in1k_vith14_ep300 > mine.toml\n  \
                  ijepa recipes show scenes_vit_nano --set optimizer.lr=5e-4 > mine.toml"
)]
pub(crate) struct Show {
    /// Name of a preset or path of a .toml file
    #[arg(value_name = "NAME|FILE")]
    recipe: String,
    /// Changes of single keys
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
}

/// List the keys in which two recipes differ
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa recipes diff in1k_vith14_ep300 mine.toml")]
pub(crate) struct Diff {
    /// Name of a preset or path of a .toml file
    a: String,
    /// Name of a preset or path of a .toml file
    b: String,
}

impl Recipes {
    pub(crate) fn run(&self, _: &Context) -> Result<Report, CliError> {
        match self {
            Self::List => Ok(list()),
            Self::Show(Show { recipe, overrides }) => Ok(show(recipe, overrides)?),
            Self::Diff(Diff { a, b }) => Ok(compare(a, b)?),
        }
    }
}

fn list() -> Report {
    let recipes: Vec<(&str, &str)> = preset_names().map(|name| (name, summary(name))).collect();
    let width = recipes
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let line = |(name, summary): &(&str, &str)| format!("{name:width$}  {summary}\n");
    let object = |(name, summary): &(&str, &str)| json!({"name": name, "summary": summary});
    Report {
        text: recipes.iter().map(line).collect(),
        json: json!({"recipes": recipes.iter().map(object).collect::<Vec<Value>>()}),
    }
}

/// The first sentence of a preset's comments; one that goes on begins with a capital letter.
fn summary(name: &str) -> &'static str {
    let first = preset_text(name).and_then(|text| text.lines().next());
    let line = first.unwrap_or_default().trim_start_matches(['#', ' ']);
    let goes_on = |&(at, _): &(usize, &str)| line[at + 2..].starts_with(char::is_uppercase);
    let end = line.match_indices(". ").find(goes_on);
    let sentence = end.map_or(line, |(at, _)| &line[..at]);
    sentence.trim_end_matches('.')
}

fn show(name: &str, overrides: &[String]) -> Result<Report, RecipeError> {
    let recipe = Recipe::load(name)?.with_overrides(overrides)?;
    recipe.validate()?;
    // Presets have comments that say where their values come from.
    let preset = preset_text(name).filter(|_| overrides.is_empty());
    let text = preset.map_or_else(|| recipe.to_toml(), str::to_owned);
    let json = serde_json::to_value(&recipe).expect("a recipe is numbers and strings");
    Ok(Report { text, json })
}

fn compare(a: &str, b: &str) -> Result<Report, RecipeError> {
    let differences = diff(&Recipe::load(a)?, &Recipe::load(b)?);
    let width = |values: fn(&(String, String, String)) -> &str| {
        differences
            .iter()
            .map(|row| values(row).len())
            .max()
            .unwrap_or(0)
    };
    let (key_width, a_width) = (width(|row| &row.0), width(|row| &row.1));
    let line =
        |(key, a, b): &(String, String, String)| format!("{key:key_width$}  {a:a_width$}  {b}\n");
    let object = |(key, a, b): &(String, String, String)| json!({"key": key, "a": a, "b": b});
    let text = if differences.is_empty() {
        "no difference\n".to_owned()
    } else {
        differences.iter().map(line).collect()
    };
    let rows: Vec<Value> = differences.iter().map(object).collect();
    Ok(Report {
        text,
        json: json!({"a": a, "b": b, "differences": rows}),
    })
}
