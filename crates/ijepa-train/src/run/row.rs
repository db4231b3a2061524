//! Rows of named numbers.

/// Named numbers in an order; one that was not measured is a name alone.
///
/// ```
/// use ijepa_train::run::Columns;
///
/// let scores = Columns::of([("rankme", 12.5)]);
/// assert_eq!((scores.get("rankme"), scores.get("knn")), (Some(12.5), None));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns(Vec<(String, Option<f64>)>);

impl Columns {
    /// Columns that were all measured.
    pub fn of<'a>(columns: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let columns = columns.into_iter();
        columns.map(|(name, value)| (name, Some(value))).collect()
    }

    /// The number called `name`, if it was measured.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(found, _)| found == name)?.1
    }

    /// Names and numbers in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, value)| value.is_none())
    }

    /// These, filled up with `others`.
    pub(super) fn or(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            match self.0.iter_mut().find(|(found, _)| *found == name) {
                Some((_, found)) => *found = found.or(value),
                None => self.0.push((name, value)),
            }
        }
        self
    }
}

impl<S: Into<String>> FromIterator<(S, Option<f64>)> for Columns {
    fn from_iter<I: IntoIterator<Item = (S, Option<f64>)>>(columns: I) -> Self {
        let columns = columns.into_iter();
        Self(columns.map(|(name, value)| (name.into(), value)).collect())
    }
}

/// One row of a table of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Epoch, from 0; of an evaluation the one that has ended, none before the first step and
    /// within an epoch.
    pub epoch: Option<u64>,
    /// Of a logged step its number, from 0; of an evaluation the completed steps.
    pub step: u64,
    /// What was measured.
    pub columns: Columns,
}

/// The column that says how many processes made a step; it is empty where one did.
pub const PROCESSES: &str = "processes";

/// The first columns of every table.
pub(super) const FIRST: [&str; 2] = ["epoch", "step"];

impl Row {
    /// The number called `name`, if it was measured.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.columns.get(name)
    }

    /// Whether it stays in the table of evaluations when the run has gone on: what was measured
    /// where a run ended within an epoch does not.
    pub(super) fn is_lasting(&self) -> bool {
        self.epoch.is_some() || self.step == 0
    }

    /// Reads a line of a table with these columns, if it is one.
    pub(super) fn parse(line: &str, header: &[String]) -> Option<Self> {
        let mut cells = line.split(',');
        let (epoch, step) = (cells.next()?, cells.next()?);
        let epoch = match epoch {
            "" => None,
            text => Some(text.parse().ok()?),
        };
        let names = header.iter().skip(FIRST.len()).cloned();
        Some(Self {
            epoch,
            step: step.parse().ok()?,
            columns: names.zip(cells.map(|cell| cell.parse().ok())).collect(),
        })
    }

    /// Writes a line of a table with these columns, numbers in full precision.
    pub(super) fn to_csv(&self, header: &[String]) -> String {
        let text = |number: Option<f64>| number.map_or(String::new(), |number| number.to_string());
        let mut line = self.epoch.map_or(String::new(), |epoch| epoch.to_string());
        line += &format!(",{}", self.step);
        for name in &header[FIRST.len()..] {
            line += &format!(",{}", text(self.get(name)));
        }
        line + "\n"
    }
}

/// A row of a test.
#[cfg(test)]
pub(super) fn row(epoch: Option<u64>, step: u64, columns: &[(&str, f64)]) -> Row {
    let columns = Columns::of(columns.iter().copied());
    Row {
        epoch,
        step,
        columns,
    }
}
