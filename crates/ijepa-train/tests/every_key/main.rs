//! Every key of the recipe changes what a run does.

#[cfg(test)]
mod run;
#[cfg(test)]
mod table;

#[cfg(test)]
mod every_key {
    use std::collections::{BTreeMap, BTreeSet};

    use ijepa_model::{IJepaConfig, VitVariant};
    use ijepa_testkit::device;
    use ijepa_train::{PretrainPlan, Recipe, recipe::Settings};

    use crate::{
        run::{Outcome, is_shared},
        table::{BASE, Entry, Evidence, TABLE},
    };

    /// Absolute tolerance of losses that differ by rounding only.
    const ROUNDING: f64 = 1e-4;

    fn base(entry: &Entry) -> Recipe {
        let recipe = Recipe::default().with_overrides(BASE).unwrap();
        recipe.with_overrides(entry.given).unwrap()
    }

    /// Runs every entry of a section, and once every run that they are compared with.
    fn check_section(section: &str) {
        let mut bases = BTreeMap::new();
        let mut checked = 0;
        for entry in TABLE.iter().filter(|entry| entry.key.starts_with(section)) {
            let without = base(entry);
            for value in entry.values {
                let change = format!("{}={value}", entry.key);
                let with = without.with_overrides(&[&change]).unwrap();
                match entry.evidence {
                    Evidence::Network => assert_ne!(network(&with), network(&without), "{change}"),
                    Evidence::Pictures => {
                        let shown = [&with, &without].map(|recipe| recipe.data.picture_channels());
                        assert_ne!(shown[0], shown[1], "{change}");
                    }
                    Evidence::Sharing => {
                        assert_ne!(is_shared(&with), is_shared(&without), "{change}");
                    }
                    evidence => {
                        let expected = bases
                            .entry(without.to_toml())
                            .or_insert_with(|| Outcome::of(&without));
                        let sick = matches!(evidence, Evidence::Cured(_));
                        assert_eq!(expected.error.is_some(), sick, "{entry:?} {expected:?}");
                        check(evidence, &change, [&without, &with], expected);
                    }
                }
                checked += 1;
            }
        }
        assert!(checked > 0, "{section}");
    }

    fn network(recipe: &Recipe) -> IJepaConfig {
        let plan = PretrainPlan::new(recipe.clone(), recipe.run.batch_size).unwrap();
        plan.model().clone()
    }

    fn check(evidence: Evidence, change: &str, [without, with]: [&Recipe; 2], expected: &Outcome) {
        let narrow = ijepa_model::Precision::Bf16;
        if with.compute().precision == narrow && !narrow.is_supported(&device()) {
            // Such a device cannot show it; the command line refuses to try.
            assert_ne!(with.compute(), without.compute(), "{change}");
            return;
        }
        if evidence == Evidence::NotBuilt(true) {
            // The images are too small to show it.
            assert_ne!(
                with.data.channel_decoding(),
                without.data.channel_decoding(),
                "{change}"
            );
            return;
        }
        let found = Outcome::of(with);
        let expected_error = match evidence {
            Evidence::NotBuilt(_) => Some("which needs a build with the Cargo feature"),
            Evidence::Error(part) => Some(part),
            _ => None,
        };
        match (expected_error, &found.error) {
            (None, None) if let Evidence::Cured(part) = evidence => {
                let error = expected.error.as_deref().unwrap_or_default();
                assert!(error.contains(part), "{change}: {error}");
                return;
            }
            (None, None) => (),
            (Some(part), Some(error)) if error.contains(part) => return,
            (_, error) => panic!("{change}: {error:?}, expected {expected_error:?}"),
        }
        let differs = match evidence {
            Evidence::Column(name) => found.column(name) != expected.column(name),
            Evidence::Weights => found.weights != expected.weights,
            Evidence::Checkpoints => found.checkpoints != expected.checkpoints,
            Evidence::Epochs => found.epochs != expected.epochs,
            Evidence::Rounding => {
                agree(change, &found, expected) && found.weights != expected.weights
            }
            Evidence::Computed => {
                let mut pairs = found.computed.iter().zip(&expected.computed);
                agree(change, &found, expected) && pairs.all(|(now, before)| now != before)
            }
            other => unreachable!("{other:?} is no evidence of a run that ends"),
        };
        assert!(differs, "{change} has no effect on {evidence:?}");
    }

    /// That losses are the same but for rounding.
    fn agree(change: &str, found: &Outcome, expected: &Outcome) -> bool {
        let pairs = found.losses().into_iter().zip(expected.losses());
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(
            difference < ROUNDING,
            "{change}: losses differ by {difference}"
        );
        true
    }

    #[test]
    fn model() {
        check_section("model.");
        check_section("predictor.");
    }

    #[test]
    fn objective() {
        check_section("objective.");
    }

    #[test]
    fn mask() {
        check_section("mask.");
    }

    #[test]
    fn data() {
        check_section("data.");
    }

    #[test]
    fn optimizer() {
        check_section("optimizer.");
        check_section("ema.");
    }

    #[test]
    fn run() {
        check_section("run.");
    }

    #[test]
    fn no_key_and_no_value_is_left_out() {
        let custom = Recipe::default().with_overrides(BASE).unwrap();
        let (named, custom) = (Recipe::default().flatten(), custom.flatten());
        let known: BTreeSet<&str> = named
            .keys()
            .chain(custom.keys())
            .map(String::as_str)
            .collect();
        let listed: BTreeSet<&str> = TABLE.iter().map(|entry| entry.key).collect();
        assert_eq!(listed, known);

        let arches = VitVariant::ALL.map(|variant| variant.name);
        let bases = custom.iter().chain(&named);
        for (key, _) in bases.clone().filter(|(_, value)| value.starts_with('"')) {
            let of_key = TABLE.iter().filter(|entry| entry.key == key);
            let other = of_key.flat_map(|entry| entry.values).copied();
            let own = bases.clone().filter(|(found, _)| *found == key);
            let own = own.map(|(_, value)| value.trim_matches('"'));
            let listed: BTreeSet<&str> = other.chain(own).collect();
            let names = Recipe::names_of(key).unwrap_or(&arches);
            let names: BTreeSet<&str> = names.iter().copied().collect();
            assert_eq!(listed, names, "{key}");
        }
    }
}
