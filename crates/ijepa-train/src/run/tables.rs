//! What a run writes down while it lasts.

use std::{
    collections::HashSet,
    fs::File,
    path::{Path, PathBuf},
};

use ijepa_data::Skipped;
use ijepa_model::files::FileError;
use serde_json::Value;

use super::{
    basis::Basis,
    earlier::Earlier,
    row::Row,
    table::{Table, append, read},
    tensorboard::EventFile,
};

/// The table of logged steps, which every run has.
pub(super) const METRICS: &str = "metrics.csv";
const MONITORS: &str = "monitors.csv";
const EPOCHS: &str = "epochs.csv";
const SKIPPED: &str = "skipped.csv";
const WARNINGS: &str = "warnings.csv";

/// How the tables are gone on with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    /// Completed steps; none if the run begins.
    pub(super) from: Option<u64>,
    /// Whether there are steps to be made.
    pub(super) goes_on: bool,
    /// Steps between rows.
    pub(super) log_every: u64,
}

/// The tables of a run directory, and TensorBoard's file.
#[derive(Debug)]
pub(super) struct Tables {
    metrics: Table,
    /// What the rows of `metrics.csv` say of the processes before.
    pub(super) earlier: Earlier,
    monitors: Table,
    epochs: Table,
    skipped: SkippedImages,
    warnings: PathBuf,
    events: EventFile,
    basis: Basis,
    /// The rows of `epochs.csv` that were measured on what is measured on now.
    pub(super) evaluations: Vec<Row>,
    /// Completed steps of the last row that was measured on something else.
    pub(super) other_until: Option<u64>,
}

impl Tables {
    /// Opens the tables in `folder`, cut back to the first steps of a run that goes on `from` so
    /// many, or empty, and whose observers measure on `measured_on`. If it `goes_on`, the row of
    /// where it ended stays only if it is one of every `log_every` steps; scores within an epoch
    /// are forgotten once it has gone on from there.
    pub(super) fn open(
        folder: &Path,
        Beginning {
            from,
            goes_on,
            log_every,
        }: Beginning,
        measured_on: Vec<Value>,
    ) -> Result<Self, FileError> {
        let step = from.unwrap_or(0);
        let is_end = |row: &Row| row.step + 1 == step && !row.step.is_multiple_of(log_every);
        let kept = |row: &Row| row.step < step && !(goes_on && is_end(row));
        let logged = |name| Table::open(folder.join(name), kept);
        let (metrics, rows) = logged(METRICS)?;
        let earlier = Earlier::of(&rows);
        let (monitors, _) = logged(MONITORS)?;
        let (epochs, evaluations) = Table::open(folder.join(EPOCHS), |row| {
            from.is_some() && (row.step == step || (row.step < step && row.is_lasting()))
        })?;
        let basis = Basis::open(folder, step, measured_on)?;
        let (evaluations, others): (Vec<_>, Vec<_>) = evaluations
            .into_iter()
            .partition(|row| basis.covers(row.step));
        let mut tables = Self {
            metrics,
            earlier,
            monitors,
            epochs,
            skipped: SkippedImages::open(folder.join(SKIPPED))?,
            warnings: folder.join(WARNINGS),
            events: EventFile::create(folder, step)?,
            basis,
            evaluations,
            other_until: others.last().map(|row| row.step),
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
        let stays = |other: &Row| other.is_lasting() && other.step != row.step;
        if self.basis.is_new() || !self.evaluations.iter().all(stays) {
            self.epochs.retain(stays)?;
            self.evaluations.retain(stays);
        }
        self.epochs.append(&row)?;
        self.basis.used()?;
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

    /// A warning if scores are measured on something else from here on.
    pub(super) fn other_basis(&self) -> Option<String> {
        let step = self.other_until.filter(|_| self.basis.is_new())?;
        Some(format!(
            "scores up to step {step} were measured on other images or otherwise; they stay in \
             {EPOCHS} and are not compared with those from here on"
        ))
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
        let line = image.to_csv();
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

#[cfg(test)]
mod tests {
    use std::fs;

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
    fn a_run_that_begins_anew_has_no_scores_and_one_that_goes_on_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let open = |from: Option<u64>, goes_on: bool| {
            let beginning = Beginning {
                from,
                goes_on,
                log_every: 10,
            };
            Tables::open(folder.path(), beginning, Vec::new()).unwrap()
        };
        let rows = [0, 10, 13]
            .map(|step| format!("0,{step},{step}\n"))
            .concat();
        fs::write(
            folder.path().join(METRICS),
            format!("epoch,step,images\n{rows}"),
        )
        .unwrap();
        fs::write(folder.path().join(EPOCHS), "epoch,step,knn\n,0,9\n").unwrap();
        let tables = open(Some(14), false);
        assert_eq!(
            (tables.evaluations.len(), tables.earlier.last.unwrap().step),
            (1, 13)
        );
        assert_eq!(of(METRICS).lines().count(), 4);
        open(Some(14), true);
        assert_eq!(of(METRICS), "epoch,step,images\n0,0,0\n0,10,10\n");
        assert!(open(None, true).evaluations.is_empty());
        assert_eq!(
            (of(METRICS).lines().count(), of(EPOCHS).lines().count()),
            (1, 1)
        );
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
