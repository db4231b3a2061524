//! `docs/recipes.md` has a row for every key of a recipe, with its default.

use std::{collections::BTreeSet, fs, path::Path};

use ijepa_train::recipe::{Recipe, Settings};

#[test]
fn every_key_stands_on_the_page_with_its_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/recipes.md")).unwrap();
    let defaults = Recipe::default().flatten();
    let mut found = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [key, default, _, meaning] = cells[..] else {
            panic!("not four cells: {row}");
        };
        let key = key.trim_matches('`');
        assert!(found.insert(key.to_owned()), "{key} stands twice");
        assert!(!meaning.is_empty(), "{key}");
        let Some(expected) = defaults.get(key) else {
            assert!(default.starts_with("that of `arch`"), "{key}: {default}");
            continue;
        };
        let shown = default.split('`').nth(1).unwrap_or_default();
        let recipe = Recipe::default().with_overrides(&[format!("{key}={shown}")]);
        let recipe = recipe.unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(&recipe.flatten()[key], expected, "{key}");
    }
    let keys: BTreeSet<String> = Recipe::every_key().flatten().into_keys().collect();
    assert_eq!(found, keys);
}
