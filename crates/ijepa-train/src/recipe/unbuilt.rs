//! Valid values that training cannot act on yet.

use super::{Recipe, RecipeError, parse::to_table};

/// Keys and values that are accepted by the format and refused by the trainer.
const UNBUILT: &[(&str, &str)] = &[("data.decode", "fast")];

impl Recipe {
    /// The first value of this recipe that training cannot act on yet, as an error to report.
    pub fn unbuilt(&self) -> Option<RecipeError> {
        let table = to_table(self);
        UNBUILT.iter().find_map(|&(key, value)| {
            let (section, name) = key.split_once('.')?;
            let found = table.get(section)?.get(name)?.as_str()?;
            (found == value).then_some(RecipeError::NotBuilt { key, value })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Settings;

    #[test]
    fn every_listed_value_exists_and_is_refused() {
        assert!(Recipe::default().unbuilt().is_none());
        for (key, value) in UNBUILT {
            assert!(Recipe::names_of(key).unwrap().contains(value), "{key}");
            let recipe = Recipe::default().with_overrides(&[format!("{key}={value}")]);
            let error = recipe.unwrap().unbuilt().unwrap();
            assert!(error.is_not_built());
            assert_eq!(
                error.to_string(),
                format!("`{key}` is \"{value}\", which is not built yet")
            );
        }
    }
}
