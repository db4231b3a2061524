//! Names of the files in a run directory beside checkpoints
//! ([`run_folder`](ijepa_model::checkpoint::run_folder)).

/// Settings of fine-tuning.
pub const FINE_TUNING: &str = "finetune.toml";
/// Settings of a decoder.
pub const DECODER: &str = "decoder.toml";
/// Logged steps.
pub const METRICS: &str = "metrics.csv";
/// What the logged steps of pretraining show of collapse.
pub const MONITORS: &str = "monitors.csv";
/// Scores of evaluated epochs.
pub const EPOCHS: &str = "epochs.csv";
/// Images that could not be read.
pub(super) const SKIPPED: &str = "skipped.csv";
/// Warnings.
pub(super) const WARNINGS: &str = "warnings.csv";
/// What the scores are measured on.
pub const EVALUATION: &str = "evaluation.json";
/// Where and with what the run was made.
pub const ENVIRONMENT: &str = "environment.json";
/// Scores at the end beside those of random weights and pixels.
pub const BASELINES: &str = "baselines.json";
