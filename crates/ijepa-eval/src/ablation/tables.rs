//! The paper's tables 6 to 14 as data.

use super::Metric::{self, Linear, LowShotFineTuning, LowShotLinear};

/// A table of the paper in which one setting of pretraining changes from row to row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AblationTable {
    /// Its number in the paper.
    pub number: u8,
    /// What it is about.
    pub title: &'static str,
    /// What the names of its rows are values of.
    pub column: &'static str,
    /// The paper's encoder.
    pub arch: &'static str,
    /// The paper's epochs, as far as its rows share them.
    pub epochs: &'static str,
    /// How the paper judges its rows.
    pub metrics: &'static [Metric],
    /// Name of the preset that all rows change at full size.
    pub recipe: &'static str,
    /// What all rows change at full size.
    pub full: &'static [&'static str],
    /// What all rows change in a small recipe, so that each of them fits its patch grid.
    pub small: &'static [&'static str],
    /// The rows in the paper's order.
    pub rows: &'static [AblationRow],
}

/// A row of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AblationRow {
    /// Its name.
    pub name: &'static str,
    /// What it changes at full size.
    pub full: &'static [&'static str],
    /// What it changes in a small recipe.
    pub small: SmallChange,
    /// The paper's accuracies, percent, one a metric of the table.
    pub paper: &'static [f64],
}

/// What a row changes in a small recipe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SmallChange {
    /// The same keys as at full size.
    Same,
    /// Other keys.
    Keys(&'static [&'static str]),
    /// A predictor of half the recipe's depth.
    HalfThePredictorDepth,
    /// A predictor as wide as the encoder.
    PredictorAsWideAsTheEncoder,
}

const NOTHING: &[&str] = &[];

/// Contexts as long as their masks make them, and of two patches or more.
const SMALL_MASKS: &[&str] = &["mask.length_multiple=1", "mask.min_keep=1"];

/// The paper's smallest blocks, which may hold a single patch of a small grid.
const SMALLEST_BLOCKS: &[&str] = &["mask.target_scale=[0.075,0.2]", "mask.min_keep=0"];

/// A weight decay of 0.05 throughout, the second row of table 13.
const FIXED_DECAY: &[&str] = &[
    "optimizer.weight_decay=0.05",
    "optimizer.final_weight_decay=0.05",
    "optimizer.weight_decay_schedule=constant",
];

const RAMPED_DECAY: &[&str] = &[
    "optimizer.weight_decay=0.04",
    "optimizer.final_weight_decay=0.4",
    "optimizer.weight_decay_schedule=cosine",
];

const fn row(
    name: &'static str,
    full: &'static [&'static str],
    paper: &'static [f64],
) -> AblationRow {
    let small = SmallChange::Same;
    AblationRow {
        name,
        full,
        small,
        paper,
    }
}

const fn translated(small: SmallChange, row: AblationRow) -> AblationRow {
    AblationRow { small, ..row }
}

/// What tables 6, 8, 9 and 10 have in common: masks of a ViT-B/16.
const MASKS: AblationTable = AblationTable {
    number: 0,
    title: "",
    column: "",
    arch: "ViT-B/16",
    epochs: "300",
    metrics: &[LowShotLinear],
    recipe: "in1k_vitb16_ep600",
    full: &["optimizer.epochs=300"],
    small: SMALL_MASKS,
    rows: &[],
};

/// What tables 7 and 11 to 14 have in common.
const LARGE: AblationTable = AblationTable {
    arch: "ViT-L/16",
    recipe: "in1k_vitl16_ep600",
    full: NOTHING,
    small: NOTHING,
    ..MASKS
};

/// Every table, by its number.
pub(super) const TABLES: &[AblationTable] = &[
    AblationTable {
        number: 6,
        title: "Masking strategy",
        column: "mask",
        rows: &[
            row("multi-block", NOTHING, &[54.2]),
            row("rasterized", &["mask.strategy=rasterized"], &[15.5]),
            row("block", &["mask.strategy=block"], &[20.2]),
            row("random", &["mask.strategy=random"], &[17.6]),
        ],
        ..MASKS
    },
    AblationTable {
        number: 7,
        title: "Targets",
        column: "targets",
        epochs: "500 and 800",
        rows: &[
            translated(
                SmallChange::Keys(NOTHING),
                row("features", &["optimizer.epochs=500"], &[66.9]),
            ),
            translated(
                SmallChange::Keys(&["objective.target=pixels"]),
                row(
                    "pixels",
                    &["optimizer.epochs=800", "objective.target=pixels"],
                    &[40.7],
                ),
            ),
        ],
        ..LARGE
    },
    AblationTable {
        number: 8,
        title: "Size of the target blocks",
        column: "target scale",
        rows: &[
            translated(
                SmallChange::Keys(SMALLEST_BLOCKS),
                row("0.075-0.2", &["mask.target_scale=[0.075,0.2]"], &[19.2]),
            ),
            row("0.1-0.2", &["mask.target_scale=[0.1,0.2]"], &[39.2]),
            row("0.125-0.2", &["mask.target_scale=[0.125,0.2]"], &[42.4]),
            row("0.15-0.2", NOTHING, &[54.2]),
            row("0.2-0.25", &["mask.target_scale=[0.2,0.25]"], &[38.9]),
            row("0.2-0.3", &["mask.target_scale=[0.2,0.3]"], &[33.6]),
        ],
        ..MASKS
    },
    AblationTable {
        number: 9,
        title: "Size of the context block",
        column: "context scale",
        rows: &[
            row("0.4-1.0", &["mask.context_scale=[0.4,1.0]"], &[31.2]),
            row("0.65-1.0", &["mask.context_scale=[0.65,1.0]"], &[47.1]),
            row("0.75-1.0", &["mask.context_scale=[0.75,1.0]"], &[49.3]),
            row("0.85-1.0", NOTHING, &[54.2]),
        ],
        ..MASKS
    },
    AblationTable {
        number: 10,
        title: "Number of target blocks",
        column: "target blocks",
        rows: &[
            row("1", &["mask.num_targets=1"], &[9.0]),
            row("2", &["mask.num_targets=2"], &[22.0]),
            row("3", &["mask.num_targets=3"], &[48.5]),
            row("4", NOTHING, &[54.2]),
        ],
        ..MASKS
    },
    AblationTable {
        number: 11,
        title: "What is masked: output or input of the target encoder",
        column: "target masking",
        arch: "ViT-H/16",
        full: &["model.arch=vit_h16", "optimizer.epochs=300"],
        rows: &[
            row("output", NOTHING, &[67.3]),
            row("input", &["objective.target_masking=input"], &[56.1]),
        ],
        ..LARGE
    },
    AblationTable {
        number: 12,
        title: "Depth of the predictor",
        column: "predictor depth",
        epochs: "500",
        full: &["optimizer.epochs=500"],
        rows: &[
            translated(
                SmallChange::HalfThePredictorDepth,
                row("6", &["model.predictor_depth=6"], &[64.0]),
            ),
            row("12", NOTHING, &[66.9]),
        ],
        ..LARGE
    },
    AblationTable {
        number: 13,
        title: "Weight decay",
        column: "weight decay",
        epochs: "600",
        metrics: &[LowShotFineTuning, Linear],
        rows: &[
            translated(
                SmallChange::Keys(RAMPED_DECAY),
                row("0.04-0.4", NOTHING, &[69.4, 77.8]),
            ),
            row("0.05", FIXED_DECAY, &[70.7, 76.4]),
        ],
        ..LARGE
    },
    AblationTable {
        number: 14,
        title: "Width of the predictor",
        column: "predictor width",
        epochs: "600",
        metrics: &[LowShotFineTuning],
        full: FIXED_DECAY,
        rows: &[
            row("384", NOTHING, &[70.7]),
            translated(
                SmallChange::PredictorAsWideAsTheEncoder,
                row("1024", &["model.predictor_dim=1024"], &[68.4]),
            ),
        ],
        ..LARGE
    },
];
