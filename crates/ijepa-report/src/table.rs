//! Tables of numbers that a run appends to while it is read.

/// A CSV file of numbers by column name. Cells that are empty, no number or not finite are `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Option<f64>>>,
}

impl Table {
    /// Reads `text`, `None` if it has lines and no column of steps; a last line without a line feed
    /// is still being written and is left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut lines = whole.lines();
        let header = lines.next().unwrap_or_default();
        let number = |cell: &str| {
            let value: Option<f64> = cell.trim().parse().ok();
            value.filter(|value| value.is_finite())
        };
        let columns: Vec<String> = header
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();
        let is_one = header.is_empty() || columns.iter().any(|name| name == "step");
        let rows = lines.filter(|line| !line.trim().is_empty());
        is_one.then(|| Self {
            rows: rows
                .map(|line| line.split(',').map(number).collect())
                .collect(),
            columns,
        })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Names of the columns.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// One value per row; all `None` if there is no such column.
    pub(crate) fn column(&self, name: &str) -> Vec<Option<f64>> {
        let at = self.columns.iter().position(|column| column == name);
        let cell = |row: &Vec<Option<f64>>| *row.get(at?)?;
        self.rows.iter().map(cell).collect()
    }

    /// The last value of a column that is a number.
    pub(crate) fn last(&self, name: &str) -> Option<f64> {
        self.column(name).into_iter().flatten().next_back()
    }

    /// The first value of a column that is a number.
    pub(crate) fn first(&self, name: &str) -> Option<f64> {
        self.column(name).into_iter().flatten().next()
    }

    /// The largest value of a column.
    pub(crate) fn largest(&self, name: &str) -> Option<f64> {
        self.column(name).into_iter().flatten().reduce(f64::max)
    }

    /// Its rows from that of `since` completed steps on, the last if there are several.
    pub(crate) fn since(&self, since: f64) -> Self {
        let steps = self.column("step");
        let first = steps.iter().rposition(|&step| step == Some(since));
        let first = first.unwrap_or_else(|| steps.partition_point(|&step| step < Some(since)));
        Self {
            columns: self.columns.clone(),
            rows: self.rows[first..].to_vec(),
        }
    }

    /// What `read` makes of each row, whose value in a column its argument gives.
    pub(crate) fn each<T>(&self, read: impl Fn(&dyn Fn(&str) -> Option<f64>) -> T) -> Vec<T> {
        let at = |name: &str| self.columns.iter().position(|column| column == name);
        let rows = self.rows.iter();
        rows.map(|row| read(&|name| *row.get(at(name)?)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_left_out() {
        let table = Table::parse("epoch,step,loss\n0,0,NaN\n0,10,\n0,20,0.5\n0,30,inf\n0,40\n0,5");
        let table = table.expect("it has steps");
        assert_eq!(table.len(), 5);
        assert_eq!(table.column("loss"), [None, None, Some(0.5), None, None]);
        assert_eq!((table.last("step"), table.last("knn")), (Some(40.0), None));
        assert_eq!(table.column("knn"), [None; 5]);
    }

    #[test]
    fn files_without_a_whole_line_are_empty() {
        for text in ["", "epoch,step", "epoch,step\n", "\n\n"] {
            let table = Table::parse(text).unwrap_or_else(|| panic!("{text:?} is refused"));
            assert_eq!((table.len(), table.first("step")), (0, None), "{text:?}");
        }
        assert_eq!(Table::parse("<html>\n</html>\n"), None);
    }
}
