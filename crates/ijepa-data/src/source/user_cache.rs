//! Where indices are kept for a user.

use std::env;
use std::path::PathBuf;

/// The folder `name` of ours below `XDG_CACHE_HOME`, else below `.cache` of the user, where the
/// system tells.
pub(super) fn user_cache(name: &str) -> Option<PathBuf> {
    let set = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let set = set.filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let caches = set.or_else(|| Some(home()?.join(".cache")))?;
    Some(caches.join("ijepa").join(name))
}
