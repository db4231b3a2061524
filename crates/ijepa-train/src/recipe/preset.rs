//! Recipes that come with the crate, and recipes by name or path.

use super::{Recipe, RecipeError, Settings};

macro_rules! presets {
    ($($name:literal),+ $(,)?) => {
        /// Name and text of every preset.
        pub(super) const PRESETS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../recipes/", $name, ".toml")))),+];
    };
}

presets![
    "in1k_vith14_ep300",
    "in1k_vith16_448_ep300",
    "in22k_vith14_ep66",
    "in22k_vitg16_ep44",
    "in1k_vith14_ep300_paper",
    "in1k_vitb16_ep600",
    "in1k_vitl16_ep600",
    "scenes_vit_nano",
    "scenes_vit_nano_plain",
    "cifar10_vit_nano",
    "cifar10_vit_nano_plain",
    "cifar10_vit_nano_px32",
    "cifar10_vit_ti4",
    "cifar10_vit_s4",
    "cifar10_mae_nano",
    "clothing_vit_nano",
    "imagenette_vit_s16",
    "stl10_vit_s8",
];

/// The names of all presets: published configurations first, small ones last.
pub fn preset_names() -> impl ExactSizeIterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// The file of a preset with its comments: source, cost, expected result and command.
pub fn preset_text(name: &str) -> Option<&'static str> {
    PRESETS
        .iter()
        .find_map(|(preset, text)| (*preset == name).then_some(*text))
}

impl Recipe {
    /// Reads a recipe that comes with the crate.
    ///
    /// # Errors
    ///
    /// [`RecipeError::UnknownPreset`] if there is none of this name.
    pub fn preset(name: &str) -> Result<Self, RecipeError> {
        Settings::preset(name)
    }

    /// Reads a file if `name_or_path` contains a dot or a path separator, a preset otherwise.
    ///
    /// # Errors
    ///
    /// [`RecipeError::NotToml`] if the file ends in something else, [`RecipeError::Read`], those of
    /// [`Recipe::from_toml`] with the path, or those of [`Recipe::preset`].
    pub fn load(name_or_path: &str) -> Result<Self, RecipeError> {
        Settings::load(name_or_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_loaded_by_name_or_path() {
        let missing = Recipe::load("no/such.toml").unwrap_err();
        assert_eq!(missing.to_string(), "cannot read recipe `no/such.toml`");
        assert!(std::error::Error::source(&missing).is_some());
        let here = Recipe::load("such.toml").unwrap_err();
        assert_eq!(here.to_string(), "cannot read recipe `such.toml`");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.toml");
        std::fs::write(&path, "[run]\nseed = 7\n").unwrap();
        let loaded = Recipe::load(path.to_str().unwrap()).unwrap();
        assert_eq!(
            loaded,
            Recipe::default().with_overrides(&["run.seed=7"]).unwrap()
        );

        std::fs::write(&path, "[run]\nsede = 7\n").unwrap();
        let misspelt = Recipe::load(path.to_str().unwrap()).unwrap_err();
        assert_eq!(
            misspelt.to_string(),
            format!(
                "{}: unknown key `run.sede`, the nearest is `run.seed`",
                path.display()
            )
        );
        assert!(matches!(misspelt.rule(), RecipeError::UnknownKey { .. }));
        for other in ["mine.yaml", "there/mine.json"] {
            let error = Recipe::load(other).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{other}` is no TOML file")),
                "{error}"
            );
            assert!(error.contains("ijepa recipes show"), "{error}");
        }
    }

    #[test]
    fn an_unknown_preset_that_is_like_no_other_names_all() {
        let error = Recipe::load("nope").unwrap_err().to_string();
        assert!(
            error.starts_with("no preset is named `nope`; presets: "),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_preset_names_the_nearest_and_all() {
        let error = Recipe::load("in1k_vitb_ep600").unwrap_err();
        let all: Vec<&str> = preset_names().collect();
        assert_eq!(
            error.to_string(),
            format!(
                "no preset is named `in1k_vitb_ep600`, the nearest is `in1k_vitb16_ep600`; \
                 presets: {}; a file ends in .toml",
                all.join(", ")
            )
        );
    }
}
