//! Changes to single keys, and the keys in which two recipes differ.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{
    Recipe, RecipeError, Settings,
    parse::{from_table, one_line, to_table},
};

impl Recipe {
    /// This recipe with some keys changed: each override is `section.key=value`.
    ///
    /// Values are TOML; bare words are strings, as in `mask.mode=uniform`. Later overrides win.
    /// Naming an architecture drops the sizes of this recipe, and giving a size drops its named
    /// architecture.
    /// Another `objective.kind` brings its own target, loss and mask strategy along.
    ///
    /// # Errors
    ///
    /// As [`Recipe::from_toml`], with the override in place of the file's name.
    pub fn with_overrides<S: AsRef<str>>(&self, overrides: &[S]) -> Result<Self, RecipeError> {
        Settings::with_overrides(self, overrides)
    }
}

/// `settings` with the keys of `overrides` changed.
pub(super) fn apply<S: Settings, T: AsRef<str>>(
    settings: &S,
    overrides: &[T],
) -> Result<S, RecipeError> {
    let mut changes = Table::new();
    for text in overrides.iter().map(AsRef::as_ref) {
        let named = |error: RecipeError| error.in_file(format!("override `{}`", one_line(text)));
        let change = parse_override(text).map_err(named)?;
        // Read on its own so that an error is blamed on this override.
        from_table::<S>(change.clone()).map_err(named)?;
        merge(&mut changes, change);
    }
    let mut table = to_table(settings);
    S::drop_replaced(&mut table, &changes);
    merge(&mut table, changes);
    from_table(table)
}

/// The keys whose values differ, each with the value in `a` and in `b` as TOML writes it;
/// `-` stands for a key that one of them does not have.
pub fn diff<S: Settings>(a: &S, b: &S) -> Vec<(String, String, String)> {
    let (a, b) = (a.flatten(), b.flatten());
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let absent = "-".to_owned();
    keys.into_iter()
        .map(|key| {
            let value_in = |values: &std::collections::BTreeMap<String, String>| {
                values.get(key).unwrap_or(&absent).clone()
            };
            (key.clone(), value_in(&a), value_in(&b))
        })
        .filter(|(_, a, b)| a != b)
        .collect()
}

/// One override as tables.
fn parse_override(text: &str) -> Result<Table, RecipeError> {
    let (path, value) = text.split_once('=').ok_or(RecipeError::Override)?;
    let value = parse_value(value.trim())?;
    let mut names = path.trim().split('.').rev();
    let innermost = names.next().unwrap_or_default().to_owned();
    Ok(
        names.fold(Table::from_iter([(innermost, value)]), |inner, name| {
            Table::from_iter([(name.to_owned(), Value::Table(inner))])
        }),
    )
}

fn parse_value(text: &str) -> Result<Value, RecipeError> {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    match text.parse() {
        Ok(value) => Ok(value),
        Err(_) if !text.is_empty() && text.chars().all(bare) => Ok(Value::String(text.to_owned())),
        Err(_) => Err(RecipeError::Override),
    }
}

/// Puts every value of `changes` into `table`.
pub(super) fn merge(table: &mut Table, changes: Table) {
    for (name, change) in changes {
        match (table.get_mut(&name), change) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, change) => {
                table.insert(name, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Loss, MaskMode};

    fn message(text: &str) -> String {
        let result = Recipe::default().with_overrides(&[text]);
        result.unwrap_err().to_string()
    }

    #[test]
    fn values_are_toml_or_bare_words() {
        let recipe = Recipe::default()
            .with_overrides(&[
                "optimizer.lr=5e-4",
                "mask.mode=uniform",
                " objective.loss = \"l2\" ",
                "mask.target_scale=[0.1,0.2]",
                "model.image_size=[224, 448]",
                "data.flip=true",
                "optimizer.epochs=5",
                "optimizer.epochs=6",
            ])
            .unwrap();
        assert_eq!(recipe.optimizer.lr, 5e-4);
        assert_eq!(recipe.mask.mode, MaskMode::Uniform);
        assert_eq!(recipe.objective.loss, Loss::L2);
        assert_eq!(recipe.mask.target_scale, [0.1, 0.2]);
        assert_eq!(
            (
                recipe.model.image_size.height,
                recipe.model.image_size.width
            ),
            (224, 448)
        );
        assert!(recipe.data.flip);
        assert_eq!(recipe.optimizer.epochs, 6);
    }

    #[test]
    fn messages_name_the_override() {
        let form = "expected section.key=value with a TOML value or a bare word";
        for (text, expected) in [
            ("optimizer.lr", form),
            ("optimizer.lr=", form),
            ("mask.target_scale=[0.1,", form),
            ("run.seed=1\nrun.seed=2", form),
            ("lr=1", "unknown key `lr`, the nearest is `optimizer.lr`"),
            (
                "optimizer.lrr=1",
                "unknown key `optimizer.lrr`, the nearest is `optimizer.lr`",
            ),
            (
                "optim.lr=1",
                "unknown section `optim`, the nearest is `optimizer`",
            ),
            (
                "optimizer.lr.x=1",
                "`optimizer.lr` is a table, expected a number",
            ),
            (
                "optimizer.lr=fast",
                "`optimizer.lr` is string \"fast\", expected a number",
            ),
        ] {
            let text_on_one_line = text.replace('\n', " ");
            assert_eq!(
                message(text),
                format!("override `{text_on_one_line}`: {expected}")
            );
        }
    }

    #[test]
    fn naming_an_architecture_and_giving_sizes_replace_each_other() {
        let sizes = [
            "model.embed_dim=96",
            "model.depth=4",
            "model.num_heads=3",
            "model.patch_size=4",
        ];
        let custom = Recipe::default().with_overrides(&sizes).unwrap();
        assert_eq!(custom.model.arch, None);
        assert_eq!(custom.model.mlp_ratio, Some(4.0));
        let named = custom.with_overrides(&["model.arch=vit_h14"]).unwrap();
        assert_eq!(named, Recipe::default());
    }

    #[test]
    fn diff_lists_changed_added_and_removed_keys() {
        let a = Recipe::default();
        assert_eq!(diff(&a, &a), []);
        let b = a.with_overrides(&["run.seed=3", "model.depth=6"]).unwrap();
        let row = |key: &str, a: &str, b: &str| (key.to_owned(), a.to_owned(), b.to_owned());
        assert_eq!(
            diff(&a, &b),
            [
                row("model.arch", "\"vit_h14\"", "-"),
                row("model.depth", "-", "6"),
                row("model.mlp_ratio", "-", "4.0"),
                row("run.seed", "0", "3"),
            ]
        );
    }
}
