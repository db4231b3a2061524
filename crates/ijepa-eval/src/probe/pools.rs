//! Which columns of a feature a head sees.

use std::ops::Range;

use ijepa_model::VisionTransformer;
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
    /// A learned query that attends to the tokens of the last layer (V-JEPA's attentive probe).
    Attentive,
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
    /// Features of [`Pooling::Tokens`](ijepa_model::Pooling::Tokens), for attentive heads.
    Attentive {
        /// Tokens of an image.
        tokens: usize,
        /// Attention heads, a divisor of the width of a token.
        num_heads: usize,
    },
}

impl Pools {
    /// Attentive heads on the tokens of `encoder`, with as many attention heads.
    pub fn attentive(encoder: &VisionTransformer) -> Self {
        Self::Attentive {
            tokens: encoder.grid().num_patches(),
            num_heads: encoder.config().num_heads,
        }
    }

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
            Self::Attentive { tokens, num_heads } => {
                let fits = |count: usize, of: usize| count > 0 && of.is_multiple_of(count);
                match fits(tokens, dim) && fits(num_heads, dim / tokens.max(1)) {
                    true => Ok(vec![(Pool::Attentive, 0..dim)]),
                    false => Err(ProbeError::Tokens {
                        dim,
                        tokens,
                        num_heads,
                    }),
                }
            }
        }
    }
}
