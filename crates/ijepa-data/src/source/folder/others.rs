//! Files that are no images by their names.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

/// Endings that are named; the rest is counted.
const NAMED: usize = 8;

/// How many files there are of each ending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Others(pub(super) BTreeMap<String, u64>);

impl Others {
    pub(super) fn add(&mut self, name: &OsStr) {
        let ending = match Path::new(name).extension() {
            Some(ending) => format!(".{}", ending.to_string_lossy().to_lowercase()),
            None => "without ending".to_owned(),
        };
        *self.0.entry(ending).or_default() += 1;
    }

    pub(super) fn extend(&mut self, more: &Self) {
        for (ending, count) in &more.0 {
            *self.0.entry(ending.clone()).or_default() += count;
        }
    }

    /// `123 other files passed over: .avif 3, .txt 120`
    pub(super) fn note(&self) -> Option<String> {
        let all: u64 = self.0.values().sum();
        let files = if all == 1 { "file" } else { "files" };
        let mut kinds: Vec<String> = self
            .0
            .iter()
            .take(NAMED)
            .map(|(ending, count)| format!("{ending} {count}"))
            .collect();
        let rest: u64 = self.0.values().skip(NAMED).sum();
        if rest > 0 {
            kinds.push(format!("others {rest}"));
        }
        let kinds = kinds.join(", ");
        (all > 0).then(|| format!("{all} other {files} passed over: {kinds}"))
    }
}
