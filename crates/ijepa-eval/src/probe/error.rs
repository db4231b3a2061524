//! Why there is no probe.

use ijepa_data::DataError;

use crate::features::{ExtractError, WidthError};
use crate::labels::LabelsError;

/// Classifiers that cannot be trained on frozen features.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A list without an element.
    #[error("no {what} is given, expected at least one")]
    Empty {
        /// What the list is of.
        what: &'static str,
    },
    /// A number out of range.
    #[error("{key} is {found}, expected {expected}")]
    Value {
        /// What the number is.
        key: &'static str,
        /// The number.
        found: f64,
        /// The range.
        expected: &'static str,
    },
    /// Features of which no quarter is the last layer.
    #[error("{dim} features an image are no last four layers; extract them with concat4 pooling")]
    Quarters {
        /// Values of a feature.
        dim: usize,
    },
    /// Features that are not so many tokens of an encoder with so many heads.
    #[error(
        "{dim} features an image are not {tokens} tokens for {num_heads} attention heads; extract \
         them with tokens pooling"
    )]
    Tokens {
        /// Values of a feature.
        dim: usize,
        /// Tokens of an image.
        tokens: usize,
        /// Attention heads.
        num_heads: usize,
    },
    /// Attentive heads with anything but AdamW or with a batch norm, or AdamW with other heads.
    #[error("attentive heads, and only they, learn by AdamW, and without batch norms")]
    Optimizer,
    /// The two sets come from different encoders.
    #[error(transparent)]
    Width(#[from] WidthError),
    /// Labels that nothing can be learned from.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// Every head has left the numbers.
    #[error("all {heads} heads diverged with learning rates {}; use smaller ones", listed(.lrs))]
    Diverged {
        /// Heads.
        heads: usize,
        /// Their learning rates.
        lrs: Vec<f64>,
    },
    /// Images cannot be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Augmented images have no features.
    #[error(transparent)]
    Extract(#[from] ExtractError),
}

fn listed(rates: &[f64]) -> String {
    let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:?}")).collect();
    rates.join(", ")
}
