//! What is special about the keys of a recipe.

use toml::{Table, Value};

use super::{Model, Recipe, Settings, choices, preset};

impl Settings for Recipe {
    fn every_key() -> Self {
        let mut recipe = Self::default();
        let model = &mut recipe.model;
        (model.embed_dim, model.depth, model.num_heads) = (Some(4), Some(1), Some(1));
        (model.mlp_ratio, model.patch_size) = (Some(4.0), Some(1));
        recipe
    }

    fn names_of(key: &str) -> Option<&'static [&'static str]> {
        choices::names_of(key)
    }

    fn presets() -> &'static [(&'static str, &'static str)] {
        preset::PRESETS
    }

    fn words_for(key: &str) -> Option<&'static str> {
        match key {
            "model.image_size" => Some("a whole number or [height, width]"),
            "optimizer.betas" => Some("two numbers"),
            _ => None,
        }
    }

    /// Sizes take the place of the default architecture.
    fn from_checked(table: Table) -> Self {
        let given = |key: &str| {
            let model = table.get("model").and_then(Value::as_table);
            model.is_some_and(|model| model.contains_key(key))
        };
        let sizes_instead_of_arch = !given("arch") && Model::SIZES.iter().any(|key| given(key));
        let mut recipe: Self = table.try_into().expect("each value was read on its own");
        if sizes_instead_of_arch {
            recipe.model.arch = None;
            recipe.model.mlp_ratio.get_or_insert(4.0);
        }
        recipe
    }

    /// Removes the named architecture where sizes are given, and sizes where one is named.
    fn drop_replaced(table: &mut Table, changes: &Table) {
        let Some(Value::Table(changes)) = changes.get("model") else {
            return;
        };
        let Some(Value::Table(model)) = table.get_mut("model") else {
            return;
        };
        if changes.contains_key("arch") {
            for size in Model::SIZES {
                model.remove(*size);
            }
        }
        if Model::SIZES.iter().any(|size| changes.contains_key(*size)) {
            model.remove("arch");
        }
    }
}
