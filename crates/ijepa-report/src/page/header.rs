//! The head of a page: what became of one run, or of several side by side.

use std::fmt::Write;

use super::{UNKNOWN, count, number};
use crate::{
    markup::{escape, row, table},
    number::grouped,
    run::RunRecord,
    summary::RunSummary,
    verdict::Judgement,
};

pub(super) fn header(runs: &[RunRecord], names: &[&str]) -> String {
    match runs {
        [run] => format!(
            "<header>\n<p class=\"kicker\">I-JEPA {}</p>\n<h1>{}</h1>\n\
             <p class=\"verdict\">{}</p>\n{}</header>\n",
            run.kind().words(),
            escape(run.name()),
            verdict(&run.judgement()),
            facts(&run.summary()),
        ),
        _ => format!(
            "<header>\n<p class=\"kicker\">I-JEPA {}, {} runs compared</p>\n<h1>{}</h1>\n\
             {}</header>\n",
            runs[0].kind().words(),
            runs.len(),
            escape(&names.join(", ")),
            comparison(runs),
        ),
    }
}

fn pill(judgement: &Judgement) -> String {
    let class = serde_json::to_value(judgement.verdict).unwrap_or_default();
    format!(
        "<span class=\"pill {}\">{}</span>",
        class.as_str().unwrap_or_default(),
        judgement.verdict.words()
    )
}

fn verdict(judgement: &Judgement) -> String {
    format!(
        "{} <span>{}</span>",
        pill(judgement),
        escape(&judgement.reason)
    )
}

/// Name and text of the final figures.
fn figures_of(summary: &RunSummary) -> Vec<(&'static str, String)> {
    let steps = match summary.total_steps {
        Some(total) => format!(
            "{} of {}",
            grouped(summary.steps as i64),
            grouped(total as i64)
        ),
        None => grouped(summary.steps as i64),
    };
    vec![
        ("Steps", steps),
        ("Images", count(summary.images)),
        ("Loss", number(summary.loss_last)),
        ("Feature spread", number(summary.feature_std)),
        ("RankMe", number(summary.rankme)),
        ("kNN, %", number(summary.knn)),
        ("Probe, %", number(summary.probe)),
        ("Top-1, %", number(summary.top1)),
        ("Images/s", number(summary.images_per_s)),
        ("Device-hours", number(summary.device_hours)),
        ("FLOP", number(summary.flop)),
        (
            "Device",
            summary.device.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        ),
    ]
}

fn facts(summary: &RunSummary) -> String {
    let mut html = String::from("<dl class=\"facts\">");
    let known = figures_of(summary)
        .into_iter()
        .filter(|(_, text)| text != UNKNOWN);
    for (name, text) in known {
        let text = escape(&text).replacen(" of ", " <small>of ", 1);
        let end = if text.contains("<small>") {
            "</small>"
        } else {
            ""
        };
        let _ = write!(html, "<div><dt>{name}</dt><dd>{text}{end}</dd></div>");
    }
    html + "</dl>\n"
}

/// Final figures, one column a run.
fn comparison(runs: &[RunRecord]) -> String {
    let figures: Vec<_> = runs.iter().map(|run| figures_of(&run.summary())).collect();
    let cells = |texts: &mut dyn Iterator<Item = String>| -> String {
        texts.map(|text| format!("<td>{text}</td>")).collect()
    };
    let verdicts = cells(&mut runs.iter().map(|run| pill(&run.judgement())));
    let reasons = cells(&mut runs.iter().map(|run| escape(&run.judgement().reason)));
    let mut rows = format!(
        "<tr><th scope=\"row\">Verdict</th>{verdicts}</tr>\n\
         <tr><th scope=\"row\">Reason</th>{reasons}</tr>\n"
    );
    for (line, (name, _)) in figures[0].iter().enumerate() {
        let texts = || figures.iter().map(|figures| figures[line].1.clone());
        if texts().any(|text| text != UNKNOWN) {
            rows += &row(std::iter::once((*name).to_owned()).chain(texts()));
        }
    }
    let names = std::iter::once("").chain(runs.iter().map(RunRecord::name));
    format!("<div class=\"words\">{}</div>", table(names, &rows))
}
