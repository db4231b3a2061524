//! `recipes` and `devices`.

use ijepa_train::{
    Recipe,
    recipe::{MaskMode, preset_names},
};
use serde_json::{Value, json as object};

use crate::support::{json, path_text, text, words};

#[test]
fn all_presets_are_listed_with_what_they_are() {
    let found = json(&["recipes", "list"]);
    let rows = found["recipes"].as_array().unwrap();
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, preset_names().collect::<Vec<_>>());
    assert!(
        rows.iter()
            .all(|row| row["summary"].as_str().unwrap().len() > 20)
    );
    assert_eq!(text(&["recipes", "list"]).lines().count(), names.len());
}

#[test]
fn a_shown_recipe_can_be_used_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_text(folder.path().join("mine.toml"));
    for name in preset_names() {
        let shown = text(&["recipes", "show", name]);
        let preset = Recipe::preset(name).unwrap();
        assert_eq!(Recipe::from_toml(&shown, name).unwrap(), preset, "{name}");
        std::fs::write(&path, shown).unwrap();
        let explicit = text(&["recipes", "show", &path]);
        assert_eq!(explicit, preset.to_toml(), "{name}");
    }
    let found = json(&["recipes", "show", "in1k_vith14_ep300"]);
    assert_eq!(found["model"]["arch"], "vit_h14");
    assert_eq!(found["optimizer"]["epochs"], 300);
}

#[test]
fn a_difference_names_key_and_both_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_text(folder.path().join("mine.toml"));
    let mine = Recipe::preset("scenes_vit_nano").unwrap();
    let mine = mine.with_overrides(&["run.seed=7", "mask.mode=uniform"]);
    std::fs::write(&path, mine.unwrap().to_toml()).unwrap();
    let official = Recipe::preset("scenes_vit_nano").unwrap().mask.mode;
    let found = json(&["recipes", "diff", "scenes_vit_nano", &path]);
    let mut expected = vec![object!({"key": "run.seed", "a": "0", "b": "7"})];
    if official != MaskMode::Uniform {
        let row = object!({"key": "mask.mode", "a": "\"official\"", "b": "\"uniform\""});
        expected.insert(0, row);
    }
    assert_eq!(found["differences"], Value::Array(expected));
    let changed = ["--set", "optimizer.lr=0.5", "run.seed=7"];
    let shown = text(&[&["recipes", "show", "scenes_vit_nano"][..], &changed].concat());
    let changed = Recipe::from_toml(&shown, "shown").unwrap();
    assert_eq!((changed.optimizer.lr, changed.run.seed), (0.5, 7));
    let shown = text(&["recipes", "diff", "scenes_vit_nano", &path]);
    assert!(shown.contains("run.seed"), "{shown}");
    let same = text(&["recipes", "diff", &path, &path]);
    assert_eq!(same, "no difference\n");
}

#[test]
fn devices_are_those_of_the_binary_and_memory_is_called_an_estimate() {
    let found = json(&["devices"]);
    let backends = found["backends"].as_array().unwrap();
    let flex = backends.iter().find(|row| row["name"] == "flex").unwrap();
    assert_eq!(flex["compiled_in"], cfg!(feature = "flex"));
    if cfg!(feature = "flex") {
        assert_eq!(flex["devices"], object!(["flex"]));
    }
    assert!(found["estimate"].is_null() && found["fits"].is_null());

    let nano = json(&["devices", "--recipe", "scenes_vit_nano"]);
    let giant = json(&["devices", "--recipe", "in22k_vitg16_ep44"]);
    let bytes = |found: &Value| found["estimate"]["total_bytes"].as_u64().unwrap();
    assert!(100 * bytes(&nano) < bytes(&giant));
    let available = giant["memory"]["available_bytes"].as_u64();
    if let (Some(available), "flex") = (available, giant["default"].as_str().unwrap()) {
        assert_eq!(giant["fits"], bytes(&giant) <= available);
    }
    let deep = json(&words(
        "devices --recipe scenes_vit_nano --set model.depth=8",
    ));
    let twice = "devices --recipe scenes_vit_nano --set run.micro_batch=32 --batch-size 32";
    assert!(bytes(&json(&words(twice))) > bytes(&nano));
    let parameters = |found: &Value| found["estimate"]["parameters"].as_u64().unwrap();
    assert!(parameters(&deep) > parameters(&nano));
    let shown = text(&["devices", "--recipe", "scenes_vit_nano"]);
    assert!(shown.contains("estimated, not measured"), "{shown}");
}
