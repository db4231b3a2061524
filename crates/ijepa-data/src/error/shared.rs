//! Errors that several readers have.

use super::DataError;

impl DataError {
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
