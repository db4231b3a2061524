//! Settings from and to TOML.

use std::collections::BTreeMap;

use ijepa_model::{Checkpoint, checkpoint::TrainingState};
use toml::{Table, Value};

use super::{
    Recipe, RecipeError, Settings,
    nearest::{nearest, nearest_key},
};

/// Characters of a wrong value that a message repeats.
const QUOTED: usize = 60;

impl Recipe {
    /// Reads a recipe strictly; `source_name` is the file or preset that errors name.
    ///
    /// # Errors
    ///
    /// [`RecipeError::InFile`] around a syntax error, an unknown section or key, or a value of the
    /// wrong type. Rules between values are left to [`Recipe::validate`].
    pub fn from_toml(text: &str, source_name: &str) -> Result<Self, RecipeError> {
        Settings::from_toml(text, source_name)
    }

    /// The recipe of the run that wrote `checkpoint`, if a run did.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml).
    pub fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Option<Self>, RecipeError> {
        let toml = checkpoint.state.recipe.as_deref();
        let recipe = toml.map(|toml| Self::from_toml(toml, TrainingState::FILE));
        recipe.transpose()
    }

    /// Writes every field, so that the file means the same when defaults change.
    ///
    /// # Panics
    ///
    /// Panics if an integer exceeds `i64::MAX`, the largest that TOML has.
    pub fn to_toml(&self) -> String {
        Settings::to_toml(self)
    }

    /// Every key as `section.key`, with its value as TOML writes it.
    ///
    /// # Panics
    ///
    /// As [`Recipe::to_toml`].
    pub fn flatten(&self) -> BTreeMap<String, String> {
        Settings::flatten(self)
    }
}

/// Every key in the text of settings of any kind as `section.key`, with its value as TOML writes
/// it; `None` if it is no TOML of sections.
pub fn flatten_text(text: &str) -> Option<BTreeMap<String, String>> {
    let table: Table = text.parse().ok()?;
    table.values().all(Value::is_table).then(|| flatten(table))
}

/// Every key of sections with its value.
pub(super) fn flatten(table: Table) -> BTreeMap<String, String> {
    dotted(table)
        .map(|(key, value)| (key, value.to_string()))
        .collect()
}

/// Settings as TOML tables.
pub(super) fn to_table<S: Settings>(settings: &S) -> Table {
    Table::try_from(settings).expect("settings are tables of numbers and strings")
}

/// Checks every section, key and type, then reads the whole.
pub(super) fn from_table<S: Settings>(table: Table) -> Result<S, RecipeError> {
    let known = known_values::<S>();
    for (section, content) in &table {
        let Value::Table(content) = content else {
            return Err(not_a_section(section, content, &known));
        };
        if !is_section(section, &known) {
            return Err(unknown_section(section, &known));
        }
        for (key, value) in content {
            check_value::<S>(section, key, value, &known)?;
        }
    }
    Ok(S::from_checked(table))
}

/// Checks that `section.key` exists and can be `value`.
fn check_value<S: Settings>(
    section: &str,
    key: &str,
    value: &Value,
    known: &BTreeMap<String, Value>,
) -> Result<(), RecipeError> {
    let dotted = format!("{section}.{key}");
    let Some(example) = known.get(&dotted) else {
        let nearest = nearest_key((section, key), known.keys().map(String::as_str)).to_owned();
        return Err(RecipeError::UnknownKey {
            key: one_line(&dotted),
            nearest,
        });
    };
    let alone = Table::from_iter([(key.to_owned(), value.clone())]);
    let alone = Table::from_iter([(section.to_owned(), Value::Table(alone))]);
    match alone.try_into::<S>() {
        Ok(_) => Ok(()),
        Err(_) => Err(RecipeError::WrongType {
            expected: expected::<S>(&dotted, example),
            found: found(value),
            key: dotted,
        }),
    }
}

/// Every known key with a value of its type.
fn known_values<S: Settings>() -> BTreeMap<String, Value> {
    dotted(to_table(&S::every_key())).collect()
}

fn dotted(table: Table) -> impl Iterator<Item = (String, Value)> {
    table.into_iter().flat_map(|(section, content)| {
        let Value::Table(content) = content else {
            unreachable!("every field of settings is a section");
        };
        content
            .into_iter()
            .map(move |(key, value)| (format!("{section}.{key}"), value))
    })
}

fn sections(known: &BTreeMap<String, Value>) -> impl Iterator<Item = &str> {
    known
        .keys()
        .filter_map(|key| key.split_once('.').map(|(section, _)| section))
}

fn is_section(name: &str, known: &BTreeMap<String, Value>) -> bool {
    sections(known).any(|section| section == name)
}

fn unknown_section(section: &str, known: &BTreeMap<String, Value>) -> RecipeError {
    RecipeError::UnknownSection {
        nearest: nearest(section, sections(known)).to_owned(),
        section: one_line(section),
    }
}

/// The error for a value at the top level: a section that is no table, or a key without a section.
fn not_a_section(name: &str, value: &Value, known: &BTreeMap<String, Value>) -> RecipeError {
    if is_section(name, known) {
        return RecipeError::WrongType {
            key: name.to_owned(),
            found: found(value),
            expected: "a table".to_owned(),
        };
    }
    RecipeError::UnknownKey {
        key: one_line(name),
        nearest: nearest_key(("", name), known.keys().map(String::as_str)).to_owned(),
    }
}

/// What `key` takes, in words; `example` is a value of the right type.
fn expected<S: Settings>(key: &str, example: &Value) -> String {
    if let Some(names) = S::names_of(key) {
        return one_of(names);
    }
    let by_type = match example {
        Value::Boolean(_) => "true or false",
        Value::Integer(_) => "a whole number, 0 or more",
        Value::Float(_) => "a number",
        Value::String(_) => "a text",
        _ => "[min, max]",
    };
    S::words_for(key).unwrap_or_else(|| by_type.to_owned())
}

/// The names of a choice, in words.
pub(super) fn one_of(names: &[&str]) -> String {
    format!("one of \"{}\"", names.join("\", \""))
}

/// Type and value on one line of bounded length.
fn found(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("{text:?}"),
        Value::Table(_) => return "a table".to_owned(),
        other => one_line(&other.to_string()),
    };
    let shown: String = text.chars().take(QUOTED).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("{} {shown}{more}", value.type_str())
}

/// Messages are one line, whatever they repeat.
pub(super) fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

pub(super) fn syntax_error(text: &str, error: &toml::de::Error) -> RecipeError {
    let offset = error.span().map_or(0, |span| span.start);
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    RecipeError::Syntax {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: one_line(error.message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Recipe::from_toml(text, "my.toml").unwrap_err().to_string()
    }

    #[test]
    fn messages_name_file_key_found_and_expected() {
        for (text, expected) in [
            (
                "[optimiser]\nlr = 1.0",
                "my.toml: unknown section `optimiser`, the nearest is `optimizer`",
            ),
            (
                "[optimizer]\nlrr = 1.0",
                "my.toml: unknown key `optimizer.lrr`, the nearest is `optimizer.lr`",
            ),
            (
                "[optimizer]\nwarmup = 1.0",
                "my.toml: unknown key `optimizer.warmup`, the nearest is `optimizer.warmup_epochs`",
            ),
            (
                "[model]\nlr = 1.0",
                "my.toml: unknown key `model.lr`, the nearest is `optimizer.lr`",
            ),
            (
                "lr = 1.0",
                "my.toml: unknown key `lr`, the nearest is `optimizer.lr`",
            ),
            (
                "[\"m\\nodel\"]",
                "my.toml: unknown section `m odel`, the nearest is `model`",
            ),
            (
                "[run]\n\"se\\ned\" = 3",
                "my.toml: unknown key `run.se ed`, the nearest is `run.seed`",
            ),
            (
                "model = 3",
                "my.toml: `model` is integer 3, expected a table",
            ),
            (
                "[optimizer]\nlr = \"fast\"",
                "my.toml: `optimizer.lr` is string \"fast\", expected a number",
            ),
            (
                "[optimizer]\nepochs = -3",
                "my.toml: `optimizer.epochs` is integer -3, expected a whole number, 0 or more",
            ),
            (
                "[optimizer]\nepochs = 1.5",
                "my.toml: `optimizer.epochs` is float 1.5, expected a whole number, 0 or more",
            ),
            (
                "[optimizer]\nbetas = [0.9]",
                "my.toml: `optimizer.betas` is array [0.9], expected two numbers",
            ),
            (
                "[mask]\ntarget_scale = [0.1, 0.2, 0.3]",
                "my.toml: `mask.target_scale` is array [0.1, 0.2, 0.3], expected [min, max]",
            ),
            (
                "[model]\nimage_size = [1]",
                "my.toml: `model.image_size` is array [1], expected a whole number or [height, width]",
            ),
            (
                "[data]\nflip = \"yes\"",
                "my.toml: `data.flip` is string \"yes\", expected true or false",
            ),
            (
                "[mask.mode]\nuniform = true",
                "my.toml: `mask.mode` is a table, expected one of \"official\", \"uniform\"",
            ),
            (
                "[model]\narch = 3",
                "my.toml: `model.arch` is integer 3, expected one of \"vit_ti16\", \"vit_s16\", \"vit_b16\", \"vit_l16\", \"vit_h14\", \"vit_h16\", \"vit_g16\"",
            ),
            (
                "[objective]\nloss = \"l3\"",
                "my.toml: `objective.loss` is string \"l3\", expected one of \"smooth_l1\", \"l2\", \"mse\", \"l1\"",
            ),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
    }

    #[test]
    fn a_syntax_error_is_one_line_with_its_place() {
        for (text, place) in [
            ("[model]\ndepth = ", "line 2, column 9: "),
            ("[model", "line 1, column 7: "),
            ("[run]\nseed = 1\nseed = 2", "line 3, column 1: "),
            ("[run]\nseed = 9223372036854775808", "line 2, column 8: "),
            ("# \u{e9}\u{e9}\nx = [1,\n", "line "),
        ] {
            let message = message(text);
            let expected = format!("my.toml: {place}");
            assert!(message.starts_with(&expected), "{message}");
            assert!(message.len() > expected.len(), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn long_and_many_line_values_stay_on_one_short_line() {
        let long = message(&format!("[model]\ndepth = \"{}\"", "x".repeat(1000)));
        assert!(long.len() < 200, "{long}");
        let lines = message("[model]\ndepth = \"\"\"a\nb\"\"\"");
        assert_eq!(
            lines,
            "my.toml: `model.depth` is string \"a\\nb\", expected a whole number, 0 or more"
        );
    }

    #[test]
    fn integers_are_read_where_numbers_are_expected() {
        let text = "[optimizer]\nlr = 1\nbetas = [0, 0.5]\n[mask]\ntarget_scale = [0.5, 1]";
        let recipe = Recipe::from_toml(text, "my.toml").unwrap();
        assert_eq!(recipe.optimizer.lr, 1.0);
        assert_eq!(recipe.optimizer.adam.betas, [0.0, 0.5]);
        assert_eq!(recipe.mask.target_scale, [0.5, 1.0]);
    }

    #[test]
    fn sizes_take_the_place_of_the_default_architecture() {
        let model = |text| Recipe::from_toml(text, "my.toml").unwrap().model;
        let custom = model("[model]\nembed_dim = 96");
        assert_eq!((custom.arch, custom.mlp_ratio), (None, Some(4.0)));
        let named = model("[model]\narch = \"vit_b16\"");
        assert_eq!(
            (named.arch.as_deref(), named.mlp_ratio),
            (Some("vit_b16"), None)
        );
        assert_eq!(model("").arch.as_deref(), Some("vit_h14"));
    }

    #[test]
    fn the_values_of_every_choice_are_known() {
        for (key, example) in known_values::<Recipe>() {
            match Recipe::names_of(&key) {
                Some(names) => assert!(names.contains(&example.as_str().unwrap()), "{key}"),
                None => assert_eq!(example.is_str(), key == "model.arch", "{key}"),
            }
        }
    }
}
