//! Which columns of a feature a head sees.

use std::ops::Range;

use serde::Serialize;

use super::ProbeError;

/// How the tokens of an image became the features of one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// Unknown: the features were given.
    Given,
    /// Mean over the tokens of the last layer.
    Mean,
    /// Means of the last four layers side by side.
    Concat4,
}

/// The poolings that heads are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pools {
    /// The features as they are, whatever they are.
    Given,
    /// Features of mean pooling.
    #[default]
    Mean,
    /// Features of [`Pooling::Concat4`](ijepa_model::Pooling::Concat4).
    Concat4,
    /// The same features once whole and once their last quarter, which is the mean of the last
    /// layer: both of the paper's poolings from one forward pass.
    Both,
}

impl Pools {
    /// Each pooling and its columns of features `dim` wide.
    pub(crate) fn columns(self, dim: usize) -> Result<Vec<(Pool, Range<usize>)>, ProbeError> {
        let quarters = dim.is_multiple_of(4) && dim > 0;
        match self {
            Self::Given => Ok(vec![(Pool::Given, 0..dim)]),
            Self::Mean => Ok(vec![(Pool::Mean, 0..dim)]),
            Self::Concat4 | Self::Both if !quarters => Err(ProbeError::Quarters { dim }),
            Self::Concat4 => Ok(vec![(Pool::Concat4, 0..dim)]),
            Self::Both => Ok(vec![
                (Pool::Mean, dim / 4 * 3..dim),
                (Pool::Concat4, 0..dim),
            ]),
        }
    }
}
