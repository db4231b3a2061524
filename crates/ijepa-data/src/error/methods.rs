//! How errors are made, and what they are.

use super::DataError;
use crate::loader::Skipped;

impl DataError {
    pub(crate) fn bad_value(key: &'static str, found: &str, expected: &'static str) -> Self {
        Self::BadValue {
            key,
            found: found.to_owned(),
            expected,
        }
    }

    /// That so many images have no numbers of 32 bits.
    pub(crate) fn too_many_images(images: usize) -> Self {
        Self::bad_value("images", &images.to_string(), "at most 4294967295")
    }

    /// That none of the images could be read, of which `skipped` are all.
    pub(crate) fn nothing_readable(skipped: &[Skipped]) -> Self {
        let first = skipped.first();
        let (path, why) = first
            .map(|it| (it.path.clone(), it.why.clone()))
            .unwrap_or_default();
        Self::NothingReadable {
            images: skipped.len(),
            path,
            why,
        }
    }

    /// The error, also if it is [`Shared`](Self::Shared).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ijepa_data::DataError;
    ///
    /// let lost = DataError::MissingImage { name: "a.parquet#7".to_owned() };
    /// let shared = DataError::Shared(Arc::new(lost));
    /// assert_eq!(shared.to_string(), "`a.parquet#7` has no image");
    /// assert!(matches!(shared.itself(), DataError::MissingImage { .. }));
    /// ```
    pub fn itself(&self) -> &Self {
        match self {
            Self::Shared(shared) => shared.itself(),
            error => error,
        }
    }
}
