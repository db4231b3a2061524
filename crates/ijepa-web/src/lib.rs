//! What the page shows of one picture: masks, colours of patch features, and what the predictor
//! makes of a hidden block.
//!
//! [`Model`] is plain Rust and runs anywhere; `bindings` is the same for JavaScript.

#[cfg(target_arch = "wasm32")]
mod bindings;
mod model;
mod trial;

pub use model::{Model, Picture, Prediction, WebError};
pub use trial::computes;
