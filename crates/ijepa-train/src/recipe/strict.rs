//! What is special about the keys of a recipe.

use ijepa_model::VitVariant;
use toml::{Table, Value};

use super::{ModelSettings, Recipe, Settings, parse::one_of, preset};

/// Section, key and value, as TOML, of what another objective than I-JEPA's is where its recipe
/// does not say it.
type Defaults = &'static [(&'static str, &'static str, &'static str)];
const MAE_DEFAULTS: Defaults = &[
    ("objective", "target", "\"pixels\""),
    ("objective", "target_masking", "\"output\""),
    ("objective", "loss", "\"mse\""),
    ("mask", "strategy", "\"random\""),
];
const LEJEPA_DEFAULTS: Defaults = &[
    ("objective", "sigreg", "0.05"),
    ("objective", "variance", "0.0"),
    ("objective", "covariance", "0.0"),
    ("objective", "loss", "\"mse\""),
];

fn defaults_of(kind: Option<&str>) -> Defaults {
    match kind {
        Some("mae") => MAE_DEFAULTS,
        Some("lejepa") => LEJEPA_DEFAULTS,
        _ => &[],
    }
}

/// The value of `objective.kind`.
fn kind(table: &Table) -> Option<&str> {
    table.get("objective")?.get("kind")?.as_str()
}

impl Settings for Recipe {
    const FILE: &'static str = "recipe.toml";

    fn every_key() -> Self {
        let mut recipe = Self::default();
        let model = &mut recipe.model;
        (model.embed_dim, model.depth, model.num_heads) = (Some(4), Some(1), Some(1));
        (model.mlp_ratio, model.patch_size) = (Some(4.0), Some(1));
        recipe
    }

    fn presets() -> &'static [(&'static str, &'static str)] {
        preset::PRESETS
    }

    fn words_for(key: &str) -> Option<String> {
        match key {
            "model.arch" => Some(one_of(&VitVariant::ALL.map(|variant| variant.name))),
            "model.image_size" => Some("a whole number or [height, width]".to_owned()),
            "optimizer.betas" => Some("two numbers".to_owned()),
            "data.mean" | "data.std" => Some("a list of numbers, one a channel".to_owned()),
            "data.bands" | "data.picture" => Some("a list of texts".to_owned()),
            _ => None,
        }
    }

    /// Sizes take the place of the default architecture, and what another objective needs that of
    /// the defaults of I-JEPA.
    fn from_checked(mut table: Table) -> Self {
        for (section, key, value) in defaults_of(kind(&table)) {
            let section = table.entry(*section).or_insert(Value::Table(Table::new()));
            let section = section.as_table_mut().expect("sections have been checked");
            let value = value.parse().expect("defaults are TOML");
            section.entry(*key).or_insert(value);
        }
        let given = |key: &str| {
            let model = table.get("model").and_then(Value::as_table);
            model.is_some_and(|model| model.contains_key(key))
        };
        let sizes_instead_of_arch =
            !given("arch") && ModelSettings::SIZES.iter().any(|key| given(key));
        let mut recipe: Self = table.try_into().expect("each value was read on its own");
        if sizes_instead_of_arch {
            recipe.model.arch = None;
            recipe.model.mlp_ratio.get_or_insert(4.0);
        }
        recipe
    }

    /// Removes the named architecture where sizes are given, and sizes where one is named; where
    /// the kind of objective changes, what follows from it.
    fn drop_replaced(table: &mut Table, changes: &Table) {
        let (old, new) = (kind(table).map(str::to_owned), kind(changes));
        if new.is_some() && new != old.as_deref() {
            let replaced = defaults_of(old.as_deref()).iter().chain(defaults_of(new));
            for (section, key, _) in replaced {
                let section = table.get_mut(*section).and_then(Value::as_table_mut);
                section.and_then(|section| section.remove(*key));
            }
        }
        let Some(Value::Table(changes)) = changes.get("model") else {
            return;
        };
        let Some(Value::Table(model)) = table.get_mut("model") else {
            return;
        };
        if changes.contains_key("arch") {
            for size in ModelSettings::SIZES {
                model.remove(*size);
            }
        }
        if ModelSettings::SIZES
            .iter()
            .any(|size| changes.contains_key(*size))
        {
            model.remove("arch");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Loss, MaskStrategy, Target, diff};

    fn changed(recipe: &Recipe, overrides: &[&str]) -> Recipe {
        let recipe = recipe.with_overrides(overrides).unwrap();
        recipe.validate().unwrap();
        recipe
    }

    #[test]
    fn views_bring_their_weight_along() {
        let lejepa = changed(&Recipe::default(), &["objective.kind=lejepa"]);
        let values = (lejepa.objective.sigreg, lejepa.objective.loss);
        assert_eq!(values, (0.05, Loss::Mse));
        let jepa = changed(&lejepa, &["objective.kind=jepa"]);
        assert_eq!(jepa, Recipe::default());
        let heavy = changed(&lejepa, &["objective.sigreg=0.5"]);
        assert_eq!(heavy.objective.sigreg, 0.5);
        let views = lejepa.views().unwrap().unwrap();
        // Sixteen patches of 14 pixels, and half of them.
        assert_eq!([views.global.size, views.local.size], [[224; 2], [112; 2]]);
        assert_eq!(views.local.crop_scale, [0.05, 0.3]);
        assert!(jepa.views().unwrap().is_none());
    }

    #[test]
    fn another_kind_brings_its_target_loss_and_masks_along_and_takes_them_back() {
        let jepa = changed(&Recipe::default(), &["objective.target_masking=input"]);
        let mae = changed(&jepa, &["objective.kind=mae"]);
        let values = (mae.objective.target, mae.objective.loss, mae.mask.strategy);
        assert_eq!(values, (Target::Pixels, Loss::Mse, MaskStrategy::Random));
        let text = "[objective]\nkind = \"mae\"\n";
        assert_eq!(Recipe::from_toml(text, "mae.toml").unwrap(), mae);
        assert_eq!(
            Recipe::from_toml(&mae.to_toml(), "again.toml").unwrap(),
            mae
        );
        let back = changed(&mae, &["objective.kind=jepa"]);
        assert_eq!(back, Recipe::default());
    }

    #[test]
    fn what_is_said_beside_the_kind_counts_and_the_same_kind_changes_nothing() {
        let overrides = ["objective.loss=l1", "objective.kind=mae"];
        let mae = changed(&Recipe::default(), &overrides);
        assert_eq!(mae.objective.loss, Loss::L1);
        let again = changed(&mae, &["objective.kind=mae", "objective.norm_pixels=false"]);
        let row = (
            "objective.norm_pixels".into(),
            "true".into(),
            "false".into(),
        );
        assert_eq!(diff(&mae, &again), [row]);
    }
}
