//! Settings of any kind as strict TOML.

use std::{
    collections::BTreeMap,
    path::{Path, is_separator},
};

use ijepa_data::near;
use serde::{Serialize, de::DeserializeOwned};
use toml::Table;

use super::{
    RecipeError,
    choices::variants_of,
    overrides,
    parse::{flatten, from_table, syntax_error, to_table},
};

/// Settings in named sections that are read strictly: a misspelt key is answered with the nearest
/// known one, a wrong value with what its key takes.
///
/// Every field needs a serde default, so that each key can be read on its own.
pub trait Settings: Default + Serialize + DeserializeOwned {
    /// Their file in a run directory.
    const FILE: &'static str;

    /// Settings in which every key has a value, which shows its type.
    fn every_key() -> Self;

    /// The values that the enum at the dotted `key` may take; `None` if `key` is no enum.
    fn names_of(key: &str) -> Option<&'static [&'static str]> {
        let (section, key) = key.split_once('.')?;
        variants_of::<Self>(section, key)
    }

    /// What the dotted `key` takes, where its type does not say it.
    fn words_for(_key: &str) -> Option<String> {
        None
    }

    /// Name and text of the settings that come with the crate.
    fn presets() -> &'static [(&'static str, &'static str)];

    /// The settings of a table whose sections, keys and values have been checked.
    fn from_checked(table: Table) -> Self {
        // Sections that several kinds of settings share have other defaults than some of them.
        let mut all = to_table(&Self::default());
        overrides::merge(&mut all, table);
        all.try_into().expect("each value was read on its own")
    }

    /// Removes from `table` what `changes` make meaningless.
    fn drop_replaced(_table: &mut Table, _changes: &Table) {}

    /// Reads settings strictly; `source_name` is the file or preset that errors name.
    ///
    /// # Errors
    ///
    /// [`RecipeError::InFile`] around a syntax error, an unknown section or key, or a value of the
    /// wrong type. Rules between values are not checked.
    fn from_toml(text: &str, source_name: &str) -> Result<Self, RecipeError> {
        text.parse::<Table>()
            .map_err(|error| syntax_error(text, &error))
            .and_then(from_table)
            .map_err(|error| error.in_file(source_name))
    }

    /// Writes every field, so that the file means the same when defaults change.
    ///
    /// # Panics
    ///
    /// Panics if an integer exceeds `i64::MAX`, the largest that TOML has.
    fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are tables of numbers and strings")
    }

    /// Every key as `section.key`, with its value as TOML writes it.
    ///
    /// # Panics
    ///
    /// As [`to_toml`](Self::to_toml).
    fn flatten(&self) -> BTreeMap<String, String> {
        flatten(to_table(self))
    }

    /// These settings with some keys changed: each override is `section.key=value`.
    ///
    /// Values are TOML; bare words are strings. Later overrides win.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml), with the override in place of the file's name.
    fn with_overrides<S: AsRef<str>>(&self, overrides: &[S]) -> Result<Self, RecipeError> {
        overrides::apply(self, overrides)
    }

    /// Reads settings that come with the crate.
    ///
    /// # Errors
    ///
    /// [`RecipeError::UnknownPreset`] if there are none of this name.
    fn preset(name: &str) -> Result<Self, RecipeError> {
        let names = || Self::presets().iter().map(|(preset, _)| *preset);
        let found = Self::presets().iter().find(|(preset, _)| *preset == name);
        match found {
            Some((_, text)) => Self::from_toml(text, name),
            None => Err(RecipeError::UnknownPreset {
                name: name.to_owned(),
                near: near(name, names()),
                known: names().collect(),
            }),
        }
    }

    /// Reads a file if `name_or_path` contains a dot or a path separator, a preset otherwise.
    ///
    /// # Errors
    ///
    /// [`RecipeError::NotToml`] if the file ends in something else, [`RecipeError::Read`], those of
    /// [`from_toml`](Self::from_toml) with the path, or those of [`preset`](Self::preset).
    fn load(name_or_path: &str) -> Result<Self, RecipeError> {
        if !name_or_path.contains('.') && !name_or_path.contains(is_separator) {
            return Self::preset(name_or_path);
        }
        let path = Path::new(name_or_path);
        let other = path.extension().filter(|extension| *extension != "toml");
        if let Some(extension) = other {
            return Err(RecipeError::NotToml {
                path: path.to_owned(),
                found: extension.to_string_lossy().into_owned(),
            });
        }
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&text, name_or_path)
    }
}
