//! Where indices are kept for a user.

use std::path::PathBuf;

/// The folder `name` of ours among the caches of the user, where the system tells.
pub(super) fn user_cache(name: &str) -> Option<PathBuf> {
    Some(ijepa_files::user_caches()?.join("ijepa").join(name))
}
