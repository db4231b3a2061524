//! Recipes of pretraining and fine-tuning: text, rules, and what is made of them.

#![no_main]

use ijepa_eval::FinetuneRecipe;
use ijepa_fuzz::{FREE, check};
use ijepa_masking::MaskRng;
use ijepa_train::{Recipe, recipe::Settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    check(input, FREE, 256, || {
        if let Ok(recipe) = Recipe::from_toml(text, "input") {
            resolve(&recipe);
        }
        if let Ok(recipe) = <FinetuneRecipe as Settings>::from_toml(text, "input") {
            let _ = recipe.validate();
            comes_back(&recipe);
        }
    });
});

fn resolve(recipe: &Recipe) {
    comes_back(recipe);
    if recipe.validate().is_err() {
        return;
    }
    let _ = (
        recipe.augment(),
        recipe.views(),
        recipe.data.normalization(),
    );
    let _ = (
        recipe.initialization(),
        recipe.objective_config(),
        recipe.compute(),
    );
    if let Ok(sampler) = recipe.mask_sampler() {
        sampler.sample(2, &mut MaskRng::for_group(recipe.run.seed, 0, 0));
    }
}

/// What is written of settings gives them again.
fn comes_back<S: Settings>(settings: &S) {
    let text = settings.to_toml();
    let again = S::from_toml(&text, "written").expect("what we write we read");
    assert_eq!(again.to_toml(), text);
}
