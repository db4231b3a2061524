//! What patch features look like, as numbers: principal components, colours, cosines.
//!
//! Features are slices `[rows, dim]`, row by row.

mod colors;
mod cosine;
mod lanes;
mod pca;

pub use colors::Colors;
pub use cosine::{cosine_map, mean, rank, separation};
pub use lanes::{dot, mean_row};
pub use pca::Pca;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
