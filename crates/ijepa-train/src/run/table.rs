//! One table of a run.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use ijepa_model::files::{FileError, cannot, read_file, write_bytes};

use super::row::{FIRST, Row};

/// A table of comma-separated values that grows at its end, columns too.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    header: Vec<String>,
    /// None before the first row.
    file: Option<File>,
}

impl Table {
    /// Opens a table, which need not be there, with the rows that are `kept`.
    pub(super) fn open(
        path: PathBuf,
        kept: impl Fn(&Row) -> bool,
    ) -> Result<(Self, Vec<Row>), FileError> {
        let header = FIRST.map(str::to_owned).into();
        let mut table = Self {
            path,
            header,
            file: None,
        };
        let rows = table.retain(kept)?;
        Ok((table, rows))
    }

    /// Drops all lines but the rows that are `kept`, and returns these.
    pub(super) fn retain(&mut self, kept: impl Fn(&Row) -> bool) -> Result<Vec<Row>, FileError> {
        let text = read(&self.path)?;
        let Some((header, lines)) = parsed(&text, &self.path)? else {
            return Ok(Vec::new());
        };
        let (mut rows, mut kept_text) = (Vec::new(), format!("{}\n", header.join(",")));
        self.header = header;
        for (line, row) in lines {
            if kept(&row) {
                kept_text += &format!("{line}\n");
                rows.push(row);
            }
        }
        if kept_text != text {
            write_bytes(&self.path, kept_text)?;
        }
        self.file = None;
        Ok(rows)
    }

    /// Adds a row, and to the header what it does not have yet.
    pub(super) fn append(&mut self, row: &Row) -> Result<(), FileError> {
        let names = row.columns.iter().map(|(name, _)| name);
        let known: HashSet<&str> = self.header.iter().map(String::as_str).collect();
        let new: Vec<String> = names
            .filter(|name| !known.contains(name))
            .map(str::to_owned)
            .collect();
        if !new.is_empty() {
            self.header.extend(new);
            let text = read(&self.path)?;
            let rows = text.split_once('\n').map_or("", |(_, rows)| rows);
            write_bytes(&self.path, format!("{}\n{rows}", self.header.join(",")))?;
            self.file = None;
        }
        append(&self.path, &mut self.file, &row.to_csv(&self.header))
    }
}

/// The columns of a table and its lines with the rows that they are.
type Parsed<'a> = (Vec<String>, Vec<(&'a str, Row)>);

/// The table of a text, unless it has none: a line that a kill cut short has no line feed, and
/// lines that are no rows are not the run's.
fn parsed<'a>(text: &'a str, path: &Path) -> Result<Option<Parsed<'a>>, FileError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let Some((header, lines)) = whole.split_once('\n') else {
        return Ok(None);
    };
    let header: Vec<String> = header.split(',').map(str::to_owned).collect();
    if !header.starts_with(&FIRST.map(str::to_owned)) {
        let why = "its first line does not begin with `epoch,step`; mend it or move the file away";
        let error = io::Error::new(io::ErrorKind::InvalidData, why);
        return Err(cannot("read", path)(error));
    }
    let lines = lines.lines();
    let rows = lines
        .filter_map(|line| Some((line, Row::parse(line, &header)?)))
        .collect();
    Ok(Some((header, rows)))
}

/// The rows of a table, which is left as it is.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>, FileError> {
    let text = read(path)?;
    let (_, lines) = parsed(&text, path)?.unwrap_or_default();
    Ok(lines.into_iter().map(|(_, row)| row).collect())
}

/// The text of a file, none if there is no file.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    let text = String::from_utf8(read_file(path)?.unwrap_or_default());
    text.map_err(|error| {
        let why = format!("{error}; move it away, and the run begins another");
        cannot("read", path)(io::Error::new(io::ErrorKind::InvalidData, why))
    })
}

/// What ends the last line of `text`, if a full disk or a kill cut it short.
pub(super) fn line_end(text: &str) -> &'static str {
    match text.is_empty() || text.ends_with('\n') {
        true => "",
        false => "\n",
    }
}

/// Writes at the end of a file, which is opened the first time.
pub(super) fn append(path: &Path, file: &mut Option<File>, text: &str) -> Result<(), FileError> {
    let open = || OpenOptions::new().create(true).append(true).open(path);
    let mut opened = match file.take() {
        Some(file) => file,
        None => open().map_err(cannot("open", path))?,
    };
    let written = opened.write_all(text.as_bytes());
    *file = Some(opened);
    written.map_err(cannot("write", path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::row::row;

    #[test]
    fn a_table_keeps_whole_rows_and_gains_columns_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let text = || fs::read_to_string(&path).unwrap();
        let (mut table, rows) = Table::open(path.clone(), |_| true).unwrap();
        assert!(rows.is_empty() && !path.exists());
        table.append(&row(Some(0), 0, &[("loss", 0.5)])).unwrap();
        table.append(&row(Some(0), 3, &[("loss", 0.25)])).unwrap();
        assert_eq!(text(), "epoch,step,loss\n0,0,0.5\n0,3,0.25\n");

        fs::write(&path, text() + "0,4,0.1\n0,5").unwrap();
        let (mut table, rows) = Table::open(path.clone(), |row| row.step < 4).unwrap();
        assert_eq!(rows[1], row(Some(0), 3, &[("loss", 0.25)]));
        assert_eq!(text(), "epoch,step,loss\n0,0,0.5\n0,3,0.25\n");
        table
            .append(&row(None, 4, &[("lr", 1.0), ("loss", 1e-7)]))
            .unwrap();
        table.append(&row(Some(1), 5, &[("lr", 2.0)])).unwrap();
        let expected = "epoch,step,loss,lr\n0,0,0.5\n0,3,0.25\n,4,0.0000001,1\n1,5,,2\n";
        assert_eq!(text(), expected);
    }

    #[test]
    fn lines_of_others_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let lines = "0,0,0.5\n# a note\n\nbest,1,0.4\n0,one,0.3\n,2,0.2\n0,3";
        fs::write(&path, format!("epoch,step,loss\n{lines}")).unwrap();
        let (mut table, rows) = Table::open(path.clone(), |_| true).unwrap();
        assert_eq!(rows.len(), 2);
        table.append(&row(Some(0), 3, &[("loss", 0.1)])).unwrap();
        let expected = "epoch,step,loss\n0,0,0.5\n,2,0.2\n0,3,0.1\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        for broken in [&b"epoch,step\n0,\xff\n"[..], b"# a note\nepoch,step\n0,1\n"] {
            fs::write(&path, broken).unwrap();
            let error = Table::open(path.clone(), |_| false).unwrap_err();
            assert_eq!(error.action, "read");
            assert_eq!(fs::read(&path).unwrap(), broken);
        }
    }
}
