//! Arguments that several functions take.

use std::path::PathBuf;

use ijepa_data::default_workers;
use ijepa_train::{DeviceError, DeviceSpec, Recipe};
use pyo3::{
    Bound, FromPyObject, PyAny, PyResult,
    types::{PyAnyMethods, PyListMethods, PyMapping, PyMappingMethods},
};

use crate::raise::Raise;

/// A size in pixels: the side of a square, or height and width.
#[derive(Debug, Clone, Copy, FromPyObject)]
pub(crate) enum Size {
    Square(usize),
    Sides([usize; 2]),
}

impl Size {
    /// `[height, width]`.
    pub(crate) fn sides(self) -> [usize; 2] {
        match self {
            Self::Square(side) => [side; 2],
            Self::Sides(sides) => sides,
        }
    }
}

/// One or several paths or texts that name data.
#[derive(Debug, FromPyObject)]
pub(crate) enum Paths {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl Paths {
    pub(crate) fn all(self) -> Vec<PathBuf> {
        match self {
            Self::One(path) => vec![path],
            Self::Several(paths) => paths,
        }
    }
}

/// A device as the command names it, or `cpu`.
pub(crate) fn device_spec(name: &str) -> Result<DeviceSpec, DeviceError> {
    match name {
        "cpu" => DeviceSpec::cpu(),
        name => name.parse(),
    }
}

/// Threads that decode images.
pub(crate) fn workers(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(default_workers)
}

/// The recipe of this name, or else the default one with the changes `unnamed`, and with
/// `overrides`, if it can be carried out.
pub(crate) fn recipe(
    name: Option<&str>,
    overrides: Option<&Bound<'_, PyMapping>>,
    unnamed: &[&str],
) -> PyResult<Recipe> {
    let recipe = match name {
        Some(name) => Recipe::load(name),
        None => Recipe::default().with_overrides(unnamed),
    };
    let overrides = overrides.map_or(Ok(Vec::new()), in_toml)?;
    let recipe = recipe.and_then(|recipe| recipe.with_overrides(&overrides));
    recipe.and_then(Recipe::checked).or_raise()
}

/// `key=value` of each item: TOML writes what values can be as JSON does.
fn in_toml(overrides: &Bound<'_, PyMapping>) -> PyResult<Vec<String>> {
    let dumps = overrides.py().import("json")?.getattr("dumps")?;
    let text = |item: Bound<'_, PyAny>| {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        // NumPy's numbers become Python's.
        let value = match value.hasattr("dtype")? {
            true => value.call_method0("tolist")?,
            false => value,
        };
        let value: String = dumps.call1((value,))?.extract()?;
        Ok(format!("{key}={value}"))
    };
    overrides.items()?.iter().map(text).collect()
}
