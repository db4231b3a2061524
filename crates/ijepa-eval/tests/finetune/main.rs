//! Fine-tuning: against timm and PyTorch, on rendered images, resumed, and on wrong input.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod errors;
mod golden;
mod keys;
mod runs;
mod support;
