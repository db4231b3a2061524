//! Weights of the hub, downloaded where one can watch.

use std::path::{Path, PathBuf};

use ijepa_model::{
    files::on_one_line,
    hub::{Event, Hub, HubError, HubName},
};

use crate::{progress::StatusLine, report::bytes};

/// What a licence is called where none is named.
pub(crate) const NOT_STATED: &str = "not stated";

/// Where `weights` are on this machine: what is on the hub is downloaded unless it is in the cache.
pub(crate) fn local(weights: &Path, quiet: bool) -> Result<PathBuf, HubError> {
    match HubName::of_path(weights)? {
        Some(name) => Hub::from_env().fetch(&name, watch(name.to_string(), quiet)),
        None => Ok(weights.to_owned()),
    }
}

/// Says under which licence the weights `name` are, before they are downloaded, and how far they
/// are.
pub(crate) fn watch(name: String, quiet: bool) -> impl FnMut(Event<'_>) {
    let mut line = StatusLine::unless(quiet);
    move |event| match event {
        Event::Begins { licence } => {
            let licence = licence.unwrap_or(NOT_STATED);
            line.say(&format!("{name}: licence {licence}"));
        }
        Event::Doubtful { why } => {
            let why = on_one_line(why);
            line.warn(&format!(
                "warning: {name}: files may be missing in the cache ({why})"
            ));
        }
        Event::Bytes { file, done, total } => {
            let whole = match total {
                0 => String::new(),
                total => format!(" of {}", bytes(total)),
            };
            line.show(done, total, &format!("{file}: {}{whole}", bytes(done)));
        }
    }
}
