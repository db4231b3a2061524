//! The parts of a report as HTML.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use serde_json::Value;

use crate::{
    PatchPicture, Report, figures,
    markup::{escape, listing, row, table},
    masks,
    number::{grouped, short},
    picture,
    run::{RunKind, RunRecord},
};

mod header;

use header::header;

/// Whatever a page may load: nothing, so that it works and stays silent without a network.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// Epochs in the table that is open at once.
const OPEN_EPOCHS: usize = 12;

/// The whole document.
pub(crate) fn html(report: &Report) -> String {
    let runs = &report.runs;
    let names: Vec<&str> = runs.iter().map(RunRecord::name).collect();
    let title = names.join(", ");
    let mut body = header(runs, &names);
    if let Some(overview) = &report.overview {
        body += &section(&overview.title, &overview.html());
    }
    body += &controls(runs);
    body += &section(
        "Training",
        &charts(figures::training(runs), "No step was logged yet."),
    );
    let evaluation = figures::evaluation(runs);
    let none = "No epoch was evaluated yet.";
    body += &section("Features", &charts(evaluation, none));
    let cost = figures::cost(runs);
    if !cost.is_empty() {
        body += &section("Accuracy against cost", &charts(cost, ""));
    }
    if runs.len() > 1 {
        body += &section("Recipe differences", &differences(runs));
    }
    for (run, patches) in runs.iter().zip(&report.patches) {
        let about = if runs.len() > 1 {
            format!(": {}", run.name())
        } else {
            String::new()
        };
        if run.kind() == RunKind::Pretraining {
            body += &section(&format!("Masks{about}"), &masks_of(run));
            let patches = patches_of(patches.as_ref());
            body += &section(&format!("Patch features{about}"), &patches);
        }
        body += &section(&format!("Evaluations{about}"), &evaluations(run));
        body += &section(&format!("Environment and recipe{about}"), &settings(run));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} · I-JEPA report</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{}{}</style>\n</head>\n\
         <body>\n{body}<!-- uPlot: {} -->\n<script>\n{}</script>\n<script>\n{}</script>\n</body>\n</html>\n",
        escape(&title),
        include_str!("../assets/uPlot.min.css"),
        include_str!("../assets/style.css"),
        include_str!("../assets/uPlot-LICENSE"),
        without_comment(include_str!("../assets/uPlot.iife.min.js")),
        include_str!("../assets/script.js"),
    )
}

/// A script without the comment that it begins with.
fn without_comment(script: &str) -> &str {
    script.split_once("*/").map_or(script, |(_, code)| code)
}

fn section(title: &str, content: &str) -> String {
    format!(
        "<section>\n<h2>{}</h2>\n{content}</section>\n",
        escape(title)
    )
}

fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escape(text))
}

fn charts(charts: String, none: &str) -> String {
    if charts.is_empty() {
        return note(none);
    }
    format!("<div class=\"charts\">\n{charts}</div>\n")
}

/// Colours and dashes that the style sheet has.
const COLORS: usize = 6;
const DASHES: usize = 5;

/// What the script lets a reader change in all charts.
fn controls(runs: &[RunRecord]) -> String {
    let mut html = String::from(
        "<form class=\"controls\"><label>Smoothing <input type=\"range\" name=\"smoothing\" min=\"0\" \
         max=\"0.98\" step=\"0.02\" value=\"0\"></label><label><input type=\"checkbox\" name=\"log\">\
         logarithmic</label>",
    );
    if runs.len() > 1 {
        html += "<label><input type=\"checkbox\" name=\"seeds\">seeds as mean and range</label>";
        for (number, run) in runs.iter().enumerate() {
            let _ = write!(
                html,
                "<label><input type=\"checkbox\" name=\"run\" value=\"{number}\" checked><svg \
                 viewBox=\"0 0 44 14\" aria-hidden=\"true\"><path class=\"line s{} d{}\" \
                 d=\"M2 7H42\"/></svg>{}</label>",
                number % COLORS,
                number / COLORS % DASHES,
                escape(run.name())
            );
        }
    }
    html + "</form>\n"
}

fn number(value: Option<f64>) -> String {
    value.map_or(UNKNOWN.to_owned(), short)
}

/// A number in a table, where whole numbers are counts and keep all their digits.
fn cell(value: Option<f64>) -> String {
    match value {
        Some(value) if value.fract() == 0.0 && value.abs() < 1e12 => grouped(value as i64),
        _ => number(value),
    }
}

fn count(value: Option<u64>) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| grouped(value as i64))
}

/// What stands for a figure that was not measured.
const UNKNOWN: &str = "–";

/// Keys in which the recipes differ.
fn differences(runs: &[RunRecord]) -> String {
    if runs.iter().any(|run| run.kind() != runs[0].kind()) {
        return note("Not compared: the runs are of several kinds.");
    }
    let settings: Option<Vec<_>> = runs.iter().map(RunRecord::settings).collect();
    let Some(settings) = settings else {
        return note("Not compared: a recipe is missing or cannot be read.");
    };
    let mut keys: BTreeSet<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    keys.retain(|&key| {
        settings
            .iter()
            .any(|it| it.get(key) != settings[0].get(key))
    });
    if keys.is_empty() {
        return note("The recipes are the same.");
    }
    let rows: String = keys
        .iter()
        .map(|key| {
            let values = settings.iter().map(|settings| settings.get(*key));
            let cells = values.map(|value| value.map_or(UNKNOWN, String::as_str));
            row(std::iter::once(key.as_str()).chain(cells))
        })
        .collect();
    let names = std::iter::once("key").chain(runs.iter().map(RunRecord::name));
    format!("<div class=\"words\">{}</div>", table(names, &rows))
}

fn masks_of(run: &RunRecord) -> String {
    run.recipe()
        .and_then(masks::pictures)
        .unwrap_or_else(|| note("Not shown: the recipe is missing or its masks cannot be drawn."))
}

fn patches_of(patches: Result<&Vec<PatchPicture>, &String>) -> String {
    let patches = match patches {
        Ok(patches) => patches,
        Err(why) => return note(why),
    };
    let mut html = note(
        "The first three principal components of the patch features, as red, green and blue: \
         patches of one colour have similar features, in all images alike.",
    );
    html += "<div class=\"patches\">";
    for patch in patches {
        let name = escape(&patch.name);
        let _ = write!(
            html,
            "<figure><div><img alt=\"{name}\" src=\"{}\"><img alt=\"Patch features of {name}\" \
             src=\"{}\"></div><figcaption>{name}</figcaption></figure>",
            picture::data_uri(&patch.image),
            picture::data_uri(&patch.patches),
        );
    }
    html + "</div>\n"
}

/// Columns of `epochs.csv` and their names; those of a user's observers follow under their own.
const EPOCH_COLUMNS: [(&str, &str); 12] = [
    ("epoch", "epoch"),
    ("step", "step"),
    ("knn", "kNN, %"),
    ("probe", "probe, %"),
    ("top1", "top-1, %"),
    ("top5", "top-5, %"),
    ("rankme", "RankMe"),
    ("rankme_centered", "centred"),
    ("feature_std", "spread"),
    ("alignment", "alignment"),
    ("uniformity", "uniformity"),
    ("lidar", "LiDAR"),
];

fn evaluations(run: &RunRecord) -> String {
    let own = run.epochs.columns().iter().map(String::as_str);
    let own = own.filter(|name| EPOCH_COLUMNS.iter().all(|(column, _)| column != name));
    let columns: Vec<_> = EPOCH_COLUMNS
        .into_iter()
        .chain(own.map(|name| (name, name)))
        .map(|(column, name)| (name, run.epochs.column(column)))
        .filter(|(_, values)| values.iter().any(Option::is_some))
        .collect();
    let mut html = String::new();
    if columns.is_empty() {
        html += &note("No epoch was evaluated yet.");
    } else {
        let rows: Vec<String> = (0..run.epochs.len())
            .map(|line| row(columns.iter().map(|(_, values)| cell(values[line]))))
            .collect();
        let names = || columns.iter().map(|(name, _)| *name);
        let last = &rows[rows.len().saturating_sub(OPEN_EPOCHS)..];
        html += &table(names(), &last.concat());
        if last.len() < rows.len() {
            html += &details(
                &format!("All {} epochs", rows.len()),
                &table(names(), &rows.concat()),
            );
        }
    }
    for (name, result) in &run.results {
        html += &format!("<h3>Result of {name}</h3>\n");
        html += &result_table(result);
    }
    html
}

/// A result of another command: one row a number, nested names joined.
fn result_table(result: &Value) -> String {
    fn rows(prefix: &str, value: &Value, found: &mut String) {
        let name = |key: &str| {
            if prefix.is_empty() {
                key.to_owned()
            } else {
                format!("{prefix} {key}")
            }
        };
        match value {
            Value::Object(fields) => fields
                .iter()
                .for_each(|(key, value)| rows(&name(key), value, found)),
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    rows(&name(&(number + 1).to_string()), item, found);
                }
            }
            Value::Number(value) => *found += &row([prefix, &cell(value.as_f64())]),
            Value::Null => (),
            Value::String(text) => *found += &row([prefix, text]),
            Value::Bool(value) => *found += &row([prefix, if *value { "yes" } else { "no" }]),
        }
    }
    let mut found = String::new();
    rows("", result, &mut found);
    listing(&found)
}

fn settings(run: &RunRecord) -> String {
    let mut rows = String::new();
    if let Value::Object(fields) = &run.environment {
        for (key, value) in fields {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Array(words) => {
                    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                    words.join(" ")
                }
                other => other.to_string(),
            };
            rows += &row([key, &text]);
        }
    }
    rows += &row(["run", &run.path().display().to_string()]);
    let environment = listing(&rows);
    let recipe = format!("<pre tabindex=\"0\">{}</pre>", escape(&run.recipe_text));
    match run.recipe_text.is_empty() {
        true => environment + &note("There are no settings."),
        false => environment + &details("Recipe", &recipe),
    }
}

fn details(title: &str, content: &str) -> String {
    format!(
        "<details><summary>{}</summary>\n{content}</details>\n",
        escape(title)
    )
}
