//! What a run writes down while it lasts.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use ijepa_data::Skipped;
use ijepa_model::files::{FileError, cannot, write_bytes};

use super::{
    row::{FIRST, Row},
    tensorboard::EventFile,
};

/// The table of logged steps, which every run has.
pub(super) const METRICS: &str = "metrics.csv";
const MONITORS: &str = "monitors.csv";
const EPOCHS: &str = "epochs.csv";
const SKIPPED: &str = "skipped.csv";
const WARNINGS: &str = "warnings.csv";

/// The tables of a run directory, and TensorBoard's file.
#[derive(Debug)]
pub(super) struct Tables {
    metrics: Table,
    monitors: Table,
    epochs: Table,
    skipped: SkippedImages,
    warnings: PathBuf,
    events: EventFile,
    /// The rows of `epochs.csv`.
    pub(super) evaluations: Vec<Row>,
}

impl Tables {
    /// Opens the tables in `folder`, cut back to the first `step` steps. Where a run ended within
    /// an epoch is forgotten once it has gone on from there.
    pub(super) fn open(folder: &Path, step: u64) -> Result<Self, FileError> {
        let logged = |name| Table::open(folder.join(name), |row| row.step < step);
        let (metrics, _) = logged(METRICS)?;
        let (monitors, _) = logged(MONITORS)?;
        let (epochs, evaluations) = Table::open(folder.join(EPOCHS), |row| {
            row.step == step || (row.step < step && row.is_lasting())
        })?;
        let mut tables = Self {
            metrics,
            monitors,
            epochs,
            skipped: SkippedImages::open(folder.join(SKIPPED))?,
            warnings: folder.join(WARNINGS),
            events: EventFile::create(folder, step)?,
            evaluations,
        };
        // The new session has made TensorBoard forget it.
        if let Some(row) = tables.evaluations.last().filter(|row| row.step == step) {
            let row = row.clone();
            tables.show_scores(&row)?;
        }
        Ok(tables)
    }

    /// Appends a logged step.
    pub(super) fn log(&mut self, row: &Row, monitors: &Row) -> Result<(), FileError> {
        self.metrics.append(row)?;
        if !monitors.columns.is_empty() {
            self.monitors.append(monitors)?;
        }
        let monitors = monitors.columns.iter();
        let monitors = monitors.map(|(name, value)| (format!("monitors/{name}"), value));
        let scalars = row.columns.iter();
        let scalars = scalars.map(|(name, value)| (tag(name), value));
        self.show(row.step, scalars.chain(monitors))
    }

    /// Appends what an evaluation measured.
    pub(super) fn evaluated(&mut self, row: Row) -> Result<(), FileError> {
        if !self.evaluations.iter().all(Row::is_lasting) {
            self.epochs.retain(Row::is_lasting)?;
            self.evaluations.retain(Row::is_lasting);
        }
        self.epochs.append(&row)?;
        self.show_scores(&row)?;
        self.evaluations.push(row);
        Ok(())
    }

    fn show_scores(&mut self, row: &Row) -> Result<(), FileError> {
        let scores = row.columns.iter();
        let scores = scores.map(|(name, value)| (format!("eval/{name}"), value));
        self.show(row.step, scores)
    }

    /// Appends the images that are not listed yet.
    pub(super) fn skipped(&mut self, images: &[Skipped]) -> Result<(), FileError> {
        images.iter().try_for_each(|image| self.skipped.add(image))
    }

    /// Appends a warning, so that it outlives the terminal.
    pub(super) fn warned(&mut self, step: u64, warning: &str) -> Result<(), FileError> {
        let header = match read(&self.warnings)?.is_empty() {
            true => "step,warning\n",
            false => "",
        };
        let line = format!("{header}{step},{}\n", quoted(warning));
        append(&self.warnings, &mut None, &line)
    }

    /// Completed steps of the best epoch, the first of equals, by the first of these scores that
    /// any epoch has.
    pub(super) fn best(&self, by: &[&str]) -> Option<u64> {
        best(&self.evaluations, by)
    }

    fn show(
        &mut self,
        step: u64,
        scalars: impl Iterator<Item = (String, Option<f64>)>,
    ) -> Result<(), FileError> {
        let scalars = scalars.filter_map(|(name, value)| Some((name, value?)));
        self.events.scalars(step, scalars)
    }
}

/// The last two steps of the table in `folder`, if it has two.
pub(super) fn last_two_logged(folder: &Path) -> Option<[u64; 2]> {
    let (_, rows) = Table::open(folder.join(METRICS), |_| true).ok()?;
    let [.., before, last] = &rows[..] else {
        return None;
    };
    Some([before.step, last.step])
}

fn best(evaluations: &[Row], by: &[&str]) -> Option<u64> {
    let epochs = evaluations.iter().filter(|row| row.epoch.is_some());
    let scored = |name: &&str| {
        let scores = epochs.clone();
        let scores = scores.filter_map(|row| Some((row.get(name)?, row.step)));
        scores.reduce(|best, next| if next.0 > best.0 { next } else { best })
    };
    by.iter().find_map(scored).map(|(_, step)| step)
}

/// What TensorBoard calls a column of `metrics.csv`.
fn tag(column: &str) -> String {
    match column {
        "wd" => "train/weight_decay".to_owned(),
        "context_patches" | "target_patches" => format!("masks/{column}"),
        "images" | "images_per_s" | "data_wait_ms" | "step_ms" => format!("speed/{column}"),
        _ => format!("train/{column}"),
    }
}

/// A table of comma-separated values that grows at its end, columns too.
#[derive(Debug)]
struct Table {
    path: PathBuf,
    header: Vec<String>,
    /// None before the first row.
    file: Option<File>,
}

impl Table {
    /// Opens a table, which need not be there, with the rows that are `kept`.
    fn open(path: PathBuf, kept: impl Fn(&Row) -> bool) -> Result<(Self, Vec<Row>), FileError> {
        let header = FIRST.map(str::to_owned).into();
        let mut table = Self {
            path,
            header,
            file: None,
        };
        let rows = table.retain(kept)?;
        Ok((table, rows))
    }

    /// Drops all rows but those that are `kept`, and returns these.
    fn retain(&mut self, kept: impl Fn(&Row) -> bool) -> Result<Vec<Row>, FileError> {
        let text = read(&self.path)?;
        // A line that a kill cut short has no line feed.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let Some((header, lines)) = whole.split_once('\n') else {
            return Ok(Vec::new());
        };
        self.header = header.split(',').map(str::to_owned).collect();
        let (mut rows, mut kept_text) = (Vec::new(), format!("{header}\n"));
        for line in lines.lines() {
            let row = Row::parse(line, &self.header);
            if row.as_ref().is_none_or(&kept) {
                kept_text += &format!("{line}\n");
                rows.extend(row);
            }
        }
        if kept_text != text {
            write_bytes(&self.path, kept_text)?;
        }
        self.file = None;
        Ok(rows)
    }

    /// Adds a row, and to the header what it does not have yet.
    fn append(&mut self, row: &Row) -> Result<(), FileError> {
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

/// The images that could not be read, each of which is listed once.
#[derive(Debug)]
struct SkippedImages {
    path: PathBuf,
    listed: HashSet<String>,
    file: Option<File>,
}

impl SkippedImages {
    fn open(path: PathBuf) -> Result<Self, FileError> {
        let listed = read(&path)?.lines().map(str::to_owned).collect();
        Ok(Self {
            path,
            listed,
            file: None,
        })
    }

    fn add(&mut self, image: &Skipped) -> Result<(), FileError> {
        let line = format!("{},{}", quoted(&image.path), quoted(&image.why));
        if self.listed.contains(&line) {
            return Ok(());
        }
        let header = if self.listed.is_empty() {
            "path,why\n"
        } else {
            ""
        };
        append(&self.path, &mut self.file, &format!("{header}{line}\n"))?;
        self.listed.insert(line);
        Ok(())
    }
}

/// A cell of text, on one line.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\"").replace('\n', " "))
}

/// The text of a file, none if there is no file.
fn read(path: &Path) -> Result<String, FileError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(cannot("read", path)),
    }
}

/// Writes at the end of a file, which is opened the first time.
fn append(path: &Path, file: &mut Option<File>, text: &str) -> Result<(), FileError> {
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
    use super::*;
    use crate::run::Columns;

    fn row(epoch: Option<u64>, step: u64, columns: &[(&str, f64)]) -> Row {
        let columns = Columns::of(columns.iter().copied());
        Row {
            epoch,
            step,
            columns,
        }
    }

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
    fn a_table_that_cannot_be_read_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let broken = b"epoch,step\n0,\xff\n";
        fs::write(&path, broken).unwrap();
        let error = Table::open(path.clone(), |_| false).unwrap_err();
        assert_eq!(error.action, "read");
        assert_eq!(fs::read(&path).unwrap(), broken);
    }

    #[test]
    fn labels_decide_before_ranks() {
        let best = |rows: &[(u64, &[(&str, f64)])]| {
            let rows = rows
                .iter()
                .map(|(step, columns)| row(Some(0), *step, columns));
            best(&rows.collect::<Vec<_>>(), &["knn", "rankme"])
        };
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[(10, &[])]), None);
        let ranks = [4.0, 5.0, 4.5].map(|rank| [("rankme", rank)]);
        assert_eq!(
            best(&[(10, &ranks[0]), (20, &ranks[1]), (30, &ranks[2])]),
            Some(20)
        );
        let both = [(9.0, 30.0), (5.0, 32.0), (9.5, 31.0)]
            .map(|(rank, knn)| [("rankme", rank), ("knn", knn)]);
        assert_eq!(
            best(&[(10, &both[0]), (20, &both[1]), (30, &both[2])]),
            Some(20)
        );
        // An epoch without labels cannot beat one with, whatever came first.
        let mixed = [(10, &both[0][..1]), (20, &both[1][..]), (30, &both[2][..1])];
        assert_eq!(best(&mixed), Some(20));
        // Of equals the first stays.
        assert_eq!(best(&[(10, &both[0]), (20, &both[0])]), Some(10));
        // The end of a run within an epoch does not count.
        let end = row(None, 30, &both[1]);
        assert_eq!(super::best(&[end], &["knn"]), None);
    }

    #[test]
    fn an_unreadable_image_is_listed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("skipped.csv");
        let image = |path: &str| Skipped {
            index: 0,
            path: path.to_owned(),
            why: "no \"image\", too short".to_owned(),
        };
        for _ in 0..2 {
            let mut skipped = SkippedImages::open(path.clone()).unwrap();
            skipped.add(&image("a.png")).unwrap();
            skipped.add(&image("b, c.png")).unwrap();
            skipped.add(&image("a.png")).unwrap();
        }
        let why = "\"no \"\"image\"\", too short\"";
        let expected = format!("path,why\n\"a.png\",{why}\n\"b, c.png\",{why}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
}
