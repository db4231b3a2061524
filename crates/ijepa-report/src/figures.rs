//! Which curves a report shows.

use crate::{
    chart::{
        Chart,
        Spacing::{self, Linear, LogIfWide},
    },
    run::RunRecord,
    series::Series,
    table::Table,
};

/// A curve of a column: its name, title, how to read it, how its values are spread.
type Curve = (&'static str, &'static str, &'static str, Spacing);

const METRICS: [Curve; 9] = [
    (
        "loss",
        "Loss",
        "Falls, rises and falls again in healthy runs; low is not good by itself.",
        LogIfWide,
    ),
    (
        "feature_std",
        "Feature spread",
        "Standard deviation of features over patches and images: 1 spread out, 0 collapsed.",
        Linear,
    ),
    (
        "grad_norm",
        "Gradient norm",
        "Global norm before clipping.",
        LogIfWide,
    ),
    ("lr", "Learning rate", "As the schedule says.", Linear),
    ("wd", "Weight decay", "As the schedule says.", Linear),
    (
        "ema",
        "Target momentum",
        "How much of the target encoder a step keeps.",
        Linear,
    ),
    (
        "images_per_s",
        "Images per second",
        "Speed since the last logged step.",
        Linear,
    ),
    (
        "step_ms",
        "Time of a step, ms",
        "Mean since the last logged step, waiting for data included.",
        Linear,
    ),
    (
        "data_wait_ms",
        "Wait for data, ms",
        "Of a step, mean since the last logged one: more workers or faster storage help.",
        Linear,
    ),
];

const MONITORS: [Curve; 3] = [
    (
        "loss_ratio",
        "Loss over a trivial predictor's",
        "Against the mean target of each position: above 1, positions explain more than the context does.",
        LogIfWide,
    ),
    (
        "image_cosine",
        "Likeness of images",
        "Mean cosine between the features of different images: 1 means all look the same.",
        Linear,
    ),
    (
        "patch_cosine",
        "Likeness of patches",
        "Mean cosine between patches of one target block: 1 means no detail is left.",
        Linear,
    ),
];

const EPOCHS: [Curve; 10] = [
    (
        "knn",
        "kNN accuracy, %",
        "Top-1 of 20 nearest neighbours, centred features.",
        Linear,
    ),
    (
        "probe",
        "Probe accuracy, %",
        "Top-1 of a linear probe.",
        Linear,
    ),
    ("top1", "Top-1 accuracy, %", "On the test images.", Linear),
    ("top5", "Top-5 accuracy, %", "On the test images.", Linear),
    (
        "rankme",
        "RankMe",
        "Effective rank of the features; compare runs of one kind only.",
        Linear,
    ),
    (
        "rankme_centered",
        "RankMe, centred",
        "The same without the mean feature: directions that tell images apart.",
        Linear,
    ),
    (
        "feature_std",
        "Spread of pooled features",
        "Standard deviation over images, mean over the width.",
        Linear,
    ),
    (
        "alignment",
        "Alignment",
        "Squared distance of two masked views of an image: low means views agree.",
        LogIfWide,
    ),
    (
        "uniformity",
        "Uniformity",
        "Of unit features on their sphere: lower is more even.",
        Linear,
    ),
    (
        "lidar",
        "LiDAR",
        "Effective rank of what tells images apart rather than views.",
        Linear,
    ),
];

/// Curves of every logged step.
pub(crate) fn training(runs: &[RunRecord]) -> String {
    let tables = |curve: &Curve, table: fn(&RunRecord) -> &Table| {
        chart(runs, curve, axis(runs), |run| {
            let steps = table(run).column("step");
            let xs = match runs.len() {
                1 => steps,
                _ => run.images_at(&steps),
            };
            (xs, table(run).column(curve.0))
        })
    };
    let metrics = |curves: &[Curve]| -> String {
        let charts = curves.iter().map(|curve| tables(curve, |run| &run.metrics));
        charts.collect()
    };
    let monitors = MONITORS
        .iter()
        .map(|curve| tables(curve, |run| &run.monitors));
    metrics(&METRICS[..2]) + &monitors.collect::<String>() + &metrics(&METRICS[2..])
}

/// Curves of every evaluated epoch.
pub(crate) fn evaluation(runs: &[RunRecord]) -> String {
    let one = |curve: &Curve| {
        chart(runs, curve, axis(runs), |run| {
            let steps = run.epochs.column("step");
            let xs = if runs.len() > 1 {
                run.at_epochs(&run.metrics.column("images"))
            } else {
                steps
            };
            (xs, run.epochs.column(curve.0))
        })
    };
    EPOCHS.iter().map(one).collect()
}

/// What other commands found about a finished run.
type Mark = (Curve, fn(&RunRecord) -> Option<f64>);

/// The paper's figures 1 and 5.
const MARKS: [Mark; 2] = [
    (
        (
            "linear",
            "Linear accuracy, %",
            "Top-1 of probe.json, one mark a run (as figure 1 of the paper).",
            Linear,
        ),
        RunRecord::linear,
    ),
    (
        (
            "low-shot",
            "Low-shot accuracy, %",
            "Top-1 of lowshot.json, one mark a run (as figure 5 of the paper).",
            Linear,
        ),
        RunRecord::low_shot,
    ),
];

/// Accuracy against what it cost (the paper's figures 1 and 5).
pub(crate) fn cost(runs: &[RunRecord]) -> String {
    let mut html = String::new();
    for (curve, accuracy) in &MARKS {
        // A single mark compares nothing.
        if runs.iter().filter_map(accuracy).count() > 1 {
            html += &chart(runs, curve, ("device-hours", LogIfWide), |run| {
                let hours = run.hours().into_iter().flatten().next_back();
                (vec![hours], vec![accuracy(run)])
            });
        }
    }
    for (column, title, _, spacing) in &EPOCHS[..2] {
        let hours = (
            *column,
            *title,
            "Against hours of computing on one device.",
            *spacing,
        );
        html += &chart(runs, &hours, ("device-hours", LogIfWide), |run| {
            (run.at_epochs(&run.hours()), run.epochs.column(column))
        });
        let work = (
            *column,
            *title,
            "Against floating-point operations by formula.",
            *spacing,
        );
        html += &chart(runs, &work, ("FLOP", LogIfWide), |run| {
            (run.at_epochs(&run.flop()), run.epochs.column(column))
        });
    }
    html
}

fn axis(runs: &[RunRecord]) -> (&'static str, Spacing) {
    (
        if runs.len() > 1 {
            "images seen"
        } else {
            "step"
        },
        Linear,
    )
}

type Columns = (Vec<Option<f64>>, Vec<Option<f64>>);

fn chart(
    runs: &[RunRecord],
    &(_, title, help, y_spacing): &Curve,
    (x_label, x_spacing): (&'static str, Spacing),
    columns: impl Fn(&RunRecord) -> Columns,
) -> String {
    let series = runs.iter().enumerate().map(|(number, run)| {
        let (xs, ys) = columns(run);
        let like = runs.iter().position(|other| run.repeats(other));
        Series {
            group: like.unwrap_or(number),
            start: EPOCHS
                .iter()
                .find(|epoch| epoch.1 == title)
                .and_then(|epoch| run.at_start(epoch.0)),
            ..Series::new(run.name(), number, &xs, &ys)
        }
    });
    let chart = Chart {
        title,
        help,
        x_label,
        x_spacing,
        y_spacing,
        series: series.collect(),
    };
    chart.to_html()
}
