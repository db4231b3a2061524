//! Whether a file is the one that was looked at before.

use std::fs::Metadata;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// Length and time of change of a file, and its ETag behind a URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    /// Since 1970; 0 where the system does not tell.
    seconds: u64,
    nanoseconds: u32,
    tag: Option<String>,
}

/// No time is 1970.
pub(super) fn since_1970(time: Option<SystemTime>) -> Duration {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default()
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let since = since_1970(metadata.modified().ok());
        Self {
            bytes: metadata.len(),
            seconds: since.as_secs(),
            nanoseconds: since.subsec_nanos(),
            tag: None,
        }
    }

    /// As an answer of a store says.
    #[cfg(feature = "remote")]
    pub(super) fn of_object(
        bytes: u64,
        seconds: u64,
        nanoseconds: u32,
        tag: Option<String>,
    ) -> Self {
        Self {
            bytes,
            seconds,
            nanoseconds,
            tag,
        }
    }

    /// Whether another file of the same length has another one.
    pub(super) fn is_telling(&self) -> bool {
        self.tag.is_some() || self.seconds > 0
    }

    /// Refuses the file `path` if it is another one by now: what is known about it would give
    /// other images.
    pub(super) fn check(&self, path: &Path, now: &Self) -> Result<(), DataError> {
        match self == now {
            true => Ok(()),
            false => Err(DataError::Replaced {
                path: path.to_owned(),
            }),
        }
    }
}
