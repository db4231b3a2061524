//! A named change of a recipe.

use std::str::FromStr;

/// A change of a recipe and its name in tables.
///
/// Written `NAME: key=value key=value`; without a name the changes are the name, and a name
/// alone changes nothing.
///
/// ```
/// use ijepa_eval::study::Variant;
///
/// let variant: Variant = "small batch: run.batch_size=16 mask.group_size=16".parse()?;
/// assert_eq!(variant.name, "small batch");
/// assert_eq!(variant.overrides, ["run.batch_size=16", "mask.group_size=16"]);
///
/// let unnamed: Variant = "optimizer.lr=5e-4".parse()?;
/// assert_eq!(unnamed.name, "optimizer.lr=5e-4");
///
/// let base: Variant = "base:".parse()?;
/// assert!(base.overrides.is_empty());
/// # Ok::<(), ijepa_eval::study::ParseVariantError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What tables call it.
    pub name: String,
    /// Changes as [`ijepa_train::Recipe::with_overrides`] takes them.
    pub overrides: Vec<String>,
}

/// Text that is no [`Variant`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no variant, expected NAME: section.key=value ...")]
pub struct ParseVariantError {
    /// The text.
    pub found: String,
}

/// `name` as the name of a folder.
pub(super) fn folder(name: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-=".contains(c);
    let name = name.chars().map(|c| if safe(c) { c } else { '_' });
    name.collect()
}

impl FromStr for Variant {
    type Err = ParseVariantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, changes) = match text.split_once(':') {
            // A colon inside a value, as in a path, does not end a name.
            Some((name, changes)) if !name.contains('=') => (name.trim(), changes),
            _ => ("", text),
        };
        let overrides: Vec<String> = changes.split_whitespace().map(str::to_owned).collect();
        let name = match name {
            "" => overrides.join(" "),
            name => name.to_owned(),
        };
        if name.is_empty() || overrides.iter().any(|change| !change.contains('=')) {
            let found = text.to_owned();
            return Err(ParseVariantError { found });
        }
        Ok(Self { name, overrides })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_changes_nothing_and_has_no_name_is_refused() {
        for text in ["", ":", "optimizer.lr", "a: b"] {
            let error = text.parse::<Variant>().unwrap_err();
            assert_eq!(error.found, text);
        }
    }

    #[test]
    fn any_name_is_a_folder() {
        assert_eq!(folder("../a b/c"), ".._a_b_c");
    }
}
