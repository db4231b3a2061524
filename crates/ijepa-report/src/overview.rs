//! What was found about all runs of a page together.

use crate::markup::{escape, row, table};

/// A table above everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Its title.
    pub title: String,
    /// Names of its columns.
    pub header: Vec<String>,
    /// Its rows, as long as the header.
    pub rows: Vec<Vec<String>>,
    /// How to read it.
    pub note: String,
}

impl Overview {
    /// The table and the note.
    pub(crate) fn html(&self) -> String {
        let rows: String = self.rows.iter().map(row).collect();
        format!(
            "{}<p class=\"note\">{}</p>\n",
            table(&self.header, &rows),
            escape(&self.note)
        )
    }
}
