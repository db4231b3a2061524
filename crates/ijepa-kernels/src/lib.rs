//! Fused differentiable operations of vision transformers for Burn.
//!
//! Burn's autodiff takes attention, layer norm and GELU apart into elementary operations, each
//! with results of its own that are kept until the backward pass. The operations here are one
//! node of the graph each: forward and backward are written by hand, keep only what the backward
//! pass cannot cheaply recompute, and on the flex backend run vectorised on all cores.
//!
//! Every operation stands beside its plain-Burn [`mod@reference`], which tests compare it with.
//! Backends without kernels of their own run the same formulas through Burn's operations.

#![cfg_attr(
    feature = "ndarray",
    expect(deprecated, reason = "ndarray is a promised backend")
)]
#![cfg_attr(
    not(any(feature = "flex", feature = "ndarray", feature = "cube")),
    expect(unused, reason = "without a backend nothing runs the operations")
)]

mod autodiff;
mod block;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod functions;
#[cfg(feature = "heads")]
mod heads;
mod list;
#[cfg(feature = "maps")]
mod maps;
mod memory;
mod plain;
mod primitives;
mod processor;
pub mod reference;
mod tensors;
mod update;
mod workers;

pub use block::BlockOptions;
pub use functions::{
    BlockParameters, LinearParameters, NormParameters, attention, attention_from, bias_gelu,
    layer_norm, linear, transformer_block,
};
#[cfg(feature = "heads")]
pub use heads::{
    HeadRule, HeadStep, SteppedHeads, add_product, column_sums, cross_entropy, fold_heads,
    step_heads,
};
pub use list::TensorList;
#[cfg(feature = "maps")]
pub use maps::{Activation, GroupNormOptions, conv3x3, group_norm};
pub use memory::{keep_freed_memory, share_freed_memory};
pub use processor::{has_bf16_products, has_int8_products};
pub use update::{AdamWRule, adamw, add, lerp, scale, squared_norm};
pub use workers::on_workers;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
