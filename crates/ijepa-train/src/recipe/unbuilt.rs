//! Valid values that this build cannot act on.

use super::{Recipe, RecipeError, rules::built};

impl Recipe {
    /// The first value of this recipe that this build cannot act on, as an error to report.
    pub fn unbuilt(&self) -> Option<RecipeError> {
        built(self.data.decoding).err()
    }
}

#[cfg(test)]
mod tests {
    use ijepa_data::Decode;

    use super::*;

    #[test]
    fn what_needs_another_build_is_refused_by_name() {
        assert!(Recipe::default().unbuilt().is_none());
        let fast = Recipe::default().with_overrides(&["data.decode=fast".to_owned()]);
        let error = fast.unwrap().unbuilt();
        assert_eq!(error.is_none(), Decode::Fast.is_built());
        if let Some(error) = error {
            assert!(error.is_not_built());
            assert_eq!(
                error.to_string(),
                "`data.decode` is \"fast\", which needs a build with the Cargo feature `turbojpeg`"
            );
        }
    }
}
