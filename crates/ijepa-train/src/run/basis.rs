//! What the scores of a run are measured on.

use std::path::{Path, PathBuf};

use ijepa_model::files::{FileError, write_bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{files::EVALUATION, row::Row, table::read};

/// What scores are measured on, as observers describe it, and from which completed step on.
///
/// It is written with the first score of its own: whoever is killed before measures again.
#[derive(Debug)]
pub(super) struct Basis {
    path: PathBuf,
    known: Known,
    /// Whether the file says something else, or nothing.
    is_new: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    measured_on: Vec<Value>,
    since_step: u64,
}

/// Whether two descriptions are of the same. Sizes of files that could not be had are compared with
/// nothing, as [`Fingerprint`](ijepa_data::Fingerprint) compares them.
fn is_same(before: &Value, now: &Value) -> bool {
    const SIZES: &str = "sizes";
    let (Value::Object(before), Value::Object(now)) = (before, now) else {
        return before == now;
    };
    let same = |(key, before): (&String, &Value)| {
        let unknown = |now: &Value| key == SIZES && (before == "" || now == "");
        now.get(key)
            .is_some_and(|now| unknown(now) || is_same(before, now))
    };
    before.len() == now.len() && before.iter().all(same)
}

impl Basis {
    /// That of `now` for the run in `folder`, which goes on after `step` completed steps. Where
    /// nothing is described, what the folder knows stays true.
    pub(super) fn open(folder: &Path, step: u64, now: Vec<Value>) -> Result<Self, FileError> {
        let path = folder.join(EVALUATION);
        let before = serde_json::from_str::<Known>(&read(&path)?).ok();
        let are_same = |before: &[Value]| {
            let both = || before.iter().zip(&now);
            before.len() == now.len() && both().all(|(before, now)| is_same(before, now))
        };
        let differs = |it: &Known| !are_same(&it.measured_on) || it.since_step > step;
        let is_new = !now.is_empty() && before.as_ref().is_none_or(differs);
        let known = match is_new {
            true => Known {
                measured_on: now,
                since_step: step,
            },
            false => before.unwrap_or_default(),
        };
        Ok(Self {
            path,
            known,
            is_new,
        })
    }

    /// The rows that were measured on something else, and those that were measured on it. Where a
    /// run was measured twice the last row counts.
    pub(super) fn divided(&self, mut rows: Vec<Row>) -> (Vec<Row>, Vec<Row>) {
        let since = self.known.since_step;
        let first = match rows.iter().rposition(|row| row.step == since) {
            Some(last) if !self.is_new => last,
            Some(last) => last + 1,
            None => rows.partition_point(|row| row.step < since),
        };
        let own = rows.split_off(first);
        (rows, own)
    }

    /// Whether nothing has been measured on it yet.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes down that something was measured on it.
    pub(super) fn used(&mut self) -> Result<(), FileError> {
        if self.is_new {
            let text = serde_json::to_string_pretty(&self.known).expect("it is plain data");
            write_bytes(&self.path, format!("{text}\n"))?;
            self.is_new = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_that_could_not_be_had_make_no_other_data() {
        let folder = tempfile::tempdir().unwrap();
        let on = |names: &str, sizes: &str| {
            vec![json!({ "test": { "images": 3, "names": names, "sizes": sizes } })]
        };
        let mut first = Basis::open(folder.path(), 0, on("a", "b")).unwrap();
        first.used().unwrap();
        let is_new = |now| Basis::open(folder.path(), 5, now).unwrap().is_new();
        assert!(!is_new(on("a", "b")) && !is_new(on("a", "")));
        assert!(is_new(on("a", "c")) && is_new(on("c", "")) && is_new(on("", "b")));
        assert!(is_new(vec![
            json!({ "test": { "images": 3, "names": "a" } })
        ]));
        assert!(!is_new(Vec::new()));
    }
}
