//! The images that could not be read.

use std::collections::HashSet;

use ijepa_files::{on_one_line, one_line};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::source::Source;

/// `text` as a cell of a table of comma-separated values, on one line.
pub fn csv_cell(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('"', "\"\""))
}

/// An image that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its position in the source.
    pub index: u32,
    /// Its path or id.
    pub path: String,
    /// What was wrong, with the causes, on one line.
    pub why: String,
}

impl Skipped {
    /// Path and reason as cells of a table of comma-separated values, on one line.
    pub fn to_csv(&self) -> String {
        format!("{},{}", csv_cell(&self.path), csv_cell(&self.why))
    }

    /// Image `index` of `source`, which `error` keeps from being used.
    pub fn new(source: &dyn Source, index: usize, error: &DataError) -> Self {
        Self {
            index: index as u32,
            path: source.name(index),
            why: on_one_line(error),
        }
    }
}

/// Counts each bad image once and says when there are too many.
#[derive(Debug)]
pub(super) struct Tally {
    images: usize,
    most_bad: usize,
    known: HashSet<u32>,
    skipped: Vec<Skipped>,
}

impl Tally {
    pub(super) fn new(images: usize, most_bad: usize) -> Self {
        Self {
            images,
            most_bad,
            known: HashSet::new(),
            skipped: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, image: Skipped) {
        if self.known.insert(image.index) {
            self.skipped.push(image);
        }
    }

    pub(super) fn check(&self) -> Result<(), DataError> {
        if self.skipped.len() == self.images {
            return Err(DataError::nothing_readable(&self.skipped));
        }
        match self.skipped.last() {
            Some(last) if self.skipped.len() > self.most_bad => Err(DataError::TooManyBad {
                bad: self.skipped.len(),
                images: self.images,
                allowed: self.most_bad,
                enough: self.enough(),
                last: last.path.clone(),
                why: last.why.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The share of all images that are bad, rounded up to thousandths.
    fn enough(&self) -> f64 {
        let share = self.skipped.len() as f64 / self.images as f64;
        (1000.0 * share).ceil() / 1000.0
    }

    pub(super) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}
