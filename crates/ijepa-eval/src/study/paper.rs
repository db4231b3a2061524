//! The paper's tables 6 to 14, as data, and the studies that they are.

use std::{collections::BTreeSet, sync::LazyLock};

use ijepa_train::Recipe;
use serde::Deserialize;

use super::{
    Labels, Measure, Metric, NamedSource, PaperReport, Study, StudyError, Task, Variant,
    low_shot::LowShot,
};
use crate::Error;

const TEXT: &str = include_str!("paper.toml");

static TABLES: LazyLock<Vec<PaperTable>> = LazyLock::new(|| match parse(TEXT) {
    Ok(tables) => tables,
    Err(why) => panic!("paper.toml: {why}"),
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Paper {
    table: Vec<PaperTable>,
}

/// A table of the paper in which one setting of pretraining changes from row to row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperTable {
    /// Its number in the paper.
    pub number: u8,
    /// What it is about.
    pub title: String,
    /// What the names of its rows are values of.
    pub column: String,
    /// The paper's encoder.
    pub arch: String,
    /// The paper's epochs, as far as its rows share them.
    pub epochs: String,
    /// How the paper judges its rows.
    pub metrics: Vec<Metric>,
    /// Name of the preset that all rows change at full size.
    pub recipe: String,
    /// What all rows change at full size.
    #[serde(default)]
    pub full: Vec<String>,
    /// What all rows change in a small recipe, so that each of them fits its patch grid.
    #[serde(default)]
    pub small: Vec<String>,
    /// The rows in the paper's order.
    pub rows: Vec<PaperRow>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperRow {
    /// Its name.
    pub name: String,
    /// The paper's accuracies, percent, one a metric of the table.
    pub paper: Vec<f64>,
    /// What it changes at full size.
    #[serde(default)]
    pub full: Vec<String>,
    /// What it changes in a small recipe, if not the same; `{half_predictor_depth}` and
    /// `{embed_dim}` stand for what the recipe has.
    pub small: Option<Vec<String>>,
}

/// The tables of `text`, or what is wrong with it.
fn parse(text: &str) -> Result<Vec<PaperTable>, String> {
    let tables = toml::from_str::<Paper>(text).map_err(|error| error.to_string())?;
    let tables = tables.table;
    let numbers: BTreeSet<u8> = tables.iter().map(|table| table.number).collect();
    if numbers.len() < tables.len() {
        return Err("a table stands there twice".to_owned());
    }
    for PaperTable {
        number,
        metrics,
        rows,
        ..
    } in &tables
    {
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let row = rows.iter().find(|row| row.paper.len() != metrics.len());
        match row {
            _ if rows.is_empty() || metrics.is_empty() => {
                return Err(format!("table {number} has no rows or no metrics"));
            }
            _ if names.len() < rows.len() => {
                return Err(format!("two rows of table {number} have one name"));
            }
            Some(PaperRow { name, .. }) => {
                let expected = metrics.len();
                return Err(format!(
                    "table {number}, row {name}: expected {expected} figures"
                ));
            }
            None => {}
        }
    }
    Ok(tables)
}

impl PaperTable {
    /// Numbers of the tables.
    pub fn numbers() -> impl Iterator<Item = u8> {
        TABLES.iter().map(|table| table.number)
    }

    /// The table of this number.
    pub fn find(number: u8) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.number == number)
    }

    /// The row that the paper finds best by its first metric.
    pub fn best(&self) -> &PaperRow {
        let better = |a: &&PaperRow, b: &&PaperRow| a.paper[0].total_cmp(&b.paper[0]);
        self.rows.iter().max_by(better).expect("a table has rows")
    }

    /// What `row` changes at full size, what all rows change included.
    pub fn full_changes(&self, row: &PaperRow) -> Vec<String> {
        self.full.iter().chain(&row.full).cloned().collect()
    }

    /// What `row` changes in the small `recipe`, what all rows change included.
    pub fn small_changes(&self, row: &PaperRow, recipe: &Recipe) -> Vec<String> {
        let model = &recipe.model;
        let half_depth = (model.predictor_depth / 2).max(1);
        let config = recipe.model_config();
        let width = config.map_or(model.predictor_dim, |config| config.encoder.embed_dim);
        let own = row.small.as_ref().unwrap_or(&row.full);
        let changes = self.small.iter().chain(own).map(|change| {
            change
                .replace("{half_predictor_depth}", &half_depth.to_string())
                .replace("{embed_dim}", &width.to_string())
        });
        changes.collect()
    }

    /// The study of its rows as short runs: changes of a small `recipe`, each with one seed, judged
    /// by the table's metrics on `task` with `labels` of its training images where they are few.
    ///
    /// # Errors
    ///
    /// [`StudyError::Eval`] if training labels are missing.
    pub fn study(
        &'static self,
        recipe: Recipe,
        task: Task,
        labels: Labels,
    ) -> Result<Study, StudyError> {
        let train = &task.train.source;
        let low_shot = LowShot::choose(train, labels).map_err(Error::from)?;
        let paper = PaperReport {
            table: self.number,
            title: &self.title,
            column: &self.column,
            paper: format!("{}, {} epochs", self.arch, self.epochs),
            metrics: &self.metrics,
            best: &self.best().name,
            low_shot_images: low_shot.source.len(),
            low_shot_per_class: low_shot.per_class,
            train_images: train.len(),
            test_images: task.test.source.len(),
            rows: &self.rows,
        };
        let few = Task {
            train: NamedSource::new(task.train.name.clone(), low_shot.source),
            test: task.test.clone(),
        };
        let measure = |&metric: &Metric| Measure {
            metric,
            task: if metric.is_low_shot() { &few } else { &task }.clone(),
        };
        let variant = |row: &PaperRow| Variant {
            name: row.name.clone(),
            overrides: self.small_changes(row, &recipe),
        };
        let variants = self.rows.iter().map(variant).collect();
        Ok(Study {
            measures: self.metrics.iter().map(measure).collect(),
            paper: Some(paper),
            ..Study::sweep(recipe, variants, Vec::new())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_is_refused() {
        assert_eq!(parse(TEXT).unwrap().len(), 9);
        for (from, to, why) in [
            ("number = 7", "number = 6", "twice"),
            ("paper = [20.2]", "paper = []", "row block: expected 1"),
            ("\"random\"", "\"block\"", "two rows of table 6"),
            ("title = \"Targets\"", "titel = \"Targets\"", "titel"),
            ("paper = [54.2] }", "paper = [54.2], smal = [] }", "smal"),
            ("[\"low_shot_linear\"]", "[\"low_shot\"]", "low_shot"),
            ("[\"low_shot_linear\"]", "[]", "no metrics"),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let error = parse(&TEXT.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
