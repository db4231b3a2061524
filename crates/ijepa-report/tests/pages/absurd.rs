//! Numbers that no run has.

use ijepa_train::Recipe;

use crate::{METRICS, Run};

#[test]
fn numbers_of_any_size_have_a_page() {
    let row = "0,1e300,1e300,1,1e-3,0.04,0.996,1e300,1e300,1,1,1,1,1\n";
    let run = Run::new("absurd").with("metrics.csv", &format!("{METRICS}{row}"));
    assert_eq!(run.record().steps(), u64::MAX);
    assert!(run.page().ends_with("</html>\n"));
}

#[test]
fn masks_of_more_patches_than_can_be_seen_are_not_drawn() {
    let recipe = Recipe::preset("scenes_vit_nano").unwrap();
    let recipe = recipe.with_overrides(&["model.image_size=2048"]).unwrap();
    let run = Run::new("large").with("recipe.toml", &recipe.to_toml());
    assert!(run.page().contains("its masks cannot be drawn"));
}
