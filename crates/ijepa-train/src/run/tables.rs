//! What a run writes down while it lasts.

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    path::{Path, PathBuf},
};

use ijepa_data::{Skipped, csv_cell};
use ijepa_model::files::FileError;
use serde_json::Value;

use super::{
    basis::Basis,
    earlier::Earlier,
    files::{EPOCHS, METRICS, MONITORS, SKIPPED, WARNINGS},
    row::{PROCESSES, Row},
    table::{Table, append, line_end, read, rows},
    tensorboard::EventFile,
};
use crate::monitor::Monitors;

/// Scores that depend on labelled images.
const BY_LABELS: [&str; 3] = ["knn", "probe", "top1"];

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
    /// The step whose row is there only because the run ended.
    end: Option<u64>,
    monitors: Table,
    /// The last row of `monitors.csv` before where the run goes on.
    last_monitors: Option<Row>,
    epochs: Table,
    skipped: SkippedImages,
    warnings: PathBuf,
    events: EventFile,
    basis: Basis,
    /// The rows of `epochs.csv` that were measured on what is measured on now.
    pub(super) evaluations: Vec<Row>,
    /// The lasting rows that were measured on something else.
    others: Vec<Row>,
}

impl Tables {
    /// Opens the tables in `folder` of a run that goes on `from` so many steps, cut back to them,
    /// or begins, and whose observers measure on `measured_on`. Where there is no step to make
    /// nothing is cut. The row of where the run ended, unless it is one of every `log_every` steps,
    /// and scores within an epoch are forgotten once it has gone on from there.
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
        let is_before = |row: &Row| row.step < step;
        let kept = |row: &Row| from.is_some() && (is_before(row) || !goes_on);
        let logged = |name| Table::open(folder.join(name), kept);
        let (metrics, mut rows) = logged(METRICS)?;
        rows.retain(is_before);
        let is_end = |row: &Row| row.step + 1 == step && !row.step.is_multiple_of(log_every);
        let (monitors, monitored) = logged(MONITORS)?;
        let lasts = |row: &Row| row.step == step || (is_before(row) && row.is_lasting());
        let (epochs, mut evaluations) = Table::open(folder.join(EPOCHS), |row| {
            from.is_some() && (lasts(row) || !goes_on)
        })?;
        evaluations.retain(lasts);
        let basis = Basis::open(folder, step, measured_on)?;
        let (others, evaluations) = basis.divided(evaluations);
        let mut tables = Self {
            metrics,
            earlier: Earlier::of(&rows),
            end: rows.last().filter(|row| is_end(row)).map(|row| row.step),
            monitors,
            last_monitors: monitored.into_iter().rfind(is_before),
            epochs,
            skipped: SkippedImages::open(folder.join(SKIPPED))?,
            warnings: folder.join(WARNINGS),
            events: EventFile::create(folder, step)?,
            basis,
            evaluations,
            others: others.into_iter().filter(Row::is_lasting).collect(),
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
        self.forget_end()?;
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

    /// Drops the row that is there only because the run ended, once it has gone on.
    pub(super) fn forget_end(&mut self) -> Result<(), FileError> {
        if let Some(end) = self.end.take() {
            for table in [&mut self.metrics, &mut self.monitors] {
                table.retain(|row| row.step != end)?;
            }
        }
        Ok(())
    }

    /// Why the run looked collapsed when it was last monitored before, if it did.
    pub(super) fn known_collapse(&self) -> Option<String> {
        let row = self.last_monitors.as_ref()?;
        Monitors::read(|name| row.get(name))?.collapse()
    }

    /// Appends what an evaluation measured.
    pub(super) fn evaluated(&mut self, row: Row) -> Result<(), FileError> {
        if !self.evaluations.iter().all(Row::is_lasting) {
            self.epochs.retain(Row::is_lasting)?;
            self.evaluations.retain(Row::is_lasting);
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
        let before = match read(&self.warnings)? {
            text if text.is_empty() => "step,warning\n",
            text => line_end(&text),
        };
        let line = format!("{before}{step},{}\n", csv_cell(warning));
        append(&self.warnings, &mut None, &line)
    }

    /// A warning if scores by labels are measured on something else from here on. Ranks are, of as
    /// many images as a short trial trains on, and nobody has to hear of it.
    pub(super) fn other_basis(&self) -> Option<String> {
        let step = self.others.last().filter(|_| self.basis.is_new())?.step;
        self.others.iter().any(is_by_labels).then(|| {
            format!(
                "scores up to step {step} were measured on other images or otherwise; they stay in \
                 {EPOCHS} and are not compared with those from here on"
            )
        })
    }

    /// Completed steps of the best epoch, the first of equals, by the first of these scores that
    /// any epoch has. Ranks say nothing where scores by labels of something else were known.
    pub(super) fn best(&self, by: &[&str]) -> Option<u64> {
        let is_known = self.evaluations.iter().any(is_by_labels);
        let was_known = self.others.iter().any(is_by_labels);
        best(&self.evaluations, by).filter(|_| is_known || !was_known)
    }

    /// The same of each time whose scores are not compared any more: where it ended the run was
    /// measured twice.
    pub(super) fn best_of_others(&self, by: &[&str]) -> BTreeSet<u64> {
        let times = self.others.chunk_by(|row, next| row.step < next.step);
        times.filter_map(|rows| best(rows, by)).collect()
    }

    /// Whether the best epoch so far cannot be compared with others.
    pub(super) fn has_other_scores(&self) -> bool {
        !self.others.is_empty()
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
    let rows = rows(&folder.join(METRICS)).ok()?;
    let [.., before, last] = &rows[..] else {
        return None;
    };
    Some([before.step, last.step])
}

fn is_by_labels(row: &Row) -> bool {
    BY_LABELS.iter().any(|name| row.get(name).is_some())
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
        "images" | "images_per_s" | "data_wait_ms" | "step_ms" | PROCESSES => {
            format!("speed/{column}")
        }
        _ => format!("train/{column}"),
    }
}

/// The images that could not be read, each of which is listed once.
#[derive(Debug)]
struct SkippedImages {
    path: PathBuf,
    listed: HashSet<String>,
    /// What comes before the next line.
    before: &'static str,
    file: Option<File>,
}

impl SkippedImages {
    fn open(path: PathBuf) -> Result<Self, FileError> {
        let text = read(&path)?;
        Ok(Self {
            path,
            listed: text.lines().map(str::to_owned).collect(),
            before: match text.is_empty() {
                true => "path,why\n",
                false => line_end(&text),
            },
            file: None,
        })
    }

    fn add(&mut self, image: &Skipped) -> Result<(), FileError> {
        let line = image.to_csv();
        if self.listed.contains(&line) {
            return Ok(());
        }
        let before = std::mem::take(&mut self.before);
        append(&self.path, &mut self.file, &format!("{before}{line}\n"))?;
        self.listed.insert(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::row::row;

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
        let header = "epoch,step,images\n";
        let logged = |steps: &[u64]| {
            let rows = steps.iter().map(|step| format!("0,{step},{step}\n"));
            header.to_owned() + &rows.collect::<String>()
        };
        fs::write(folder.path().join(METRICS), logged(&[0, 10, 13])).unwrap();
        fs::write(folder.path().join(EPOCHS), "epoch,step,knn\n,0,9\n").unwrap();

        // Without a step to make nothing is cut, also if it is told to go back.
        for step in [14, 5] {
            let tables = open(Some(step), false);
            let last = tables.earlier.last.unwrap().step;
            assert_eq!(
                (tables.evaluations.len(), last),
                (1, if step == 14 { 13 } else { 0 })
            );
            assert_eq!(of(METRICS), logged(&[0, 10, 13]));
        }
        // The row of its end stays until there is another one.
        let mut tables = open(Some(14), true);
        assert_eq!(of(METRICS), logged(&[0, 10, 13]));
        let next = row(Some(0), 20, &[("images", 20.0)]);
        tables.log(&next, &Row::default()).unwrap();
        assert_eq!(of(METRICS), logged(&[0, 10, 20]));
        assert!(open(None, true).evaluations.is_empty());
        assert_eq!(of(METRICS), header);
        assert_eq!(of(EPOCHS).lines().count(), 1);
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
