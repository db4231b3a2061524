//! Patch grids and mask samplers of I-JEPA (Assran et al. 2023, §3 and appendix A).
//!
//! An image of 14x14 patches, its context (`c`) and four target blocks (`0`-`3`, `*` where
//! several overlap); `.` is seen by nobody:
//!
//! ```text
//! c c c 0 0 0 0 0 c c c c c .
//! c c c 0 0 0 0 0 c 3 3 3 3 3
//! c c c 0 0 0 0 0 c 3 3 3 3 3
//! ```
//!
//! A *mask group* is a run of consecutive samples of the global batch whose block sizes are drawn
//! once and whose masks are cut to one length, so that they form rectangular tensors.
//! Everything about a group is a pure function of (seed, step, group number): micro-batches,
//! threads, ranks and resumption cannot change it.
//!
//! ```
//! use ijepa_masking::{MaskRng, MaskSampler, MultiBlockConfig, PatchGrid};
//!
//! let grid = PatchGrid::from_image([224, 224], 16)?;
//! let sampler = MultiBlockConfig::default().build(grid)?;
//! let (seed, step, group) = (0, 0, 0);
//! let masks = sampler.sample(128, &mut MaskRng::for_group(seed, step, group));
//! assert_eq!(masks.contexts.len(), 1);
//! assert_eq!(masks.targets.len(), 4);
//! assert_eq!(masks.contexts[0].images(), 128);
//! # Ok::<(), ijepa_masking::MaskError>(())
//! ```
//!
//! The samplers: [`MultiBlockConfig`] (the paper's, in the reference's exact form or in a form
//! without its quirks), [`RasterizedSampler`], [`SingleBlockSampler`] and [`RandomSampler`] (the
//! paper's table 6). Anything that implements [`MaskSampler`] can take their place.

mod block;
mod error;
mod grid;
mod group;
mod multiblock;
mod official;
mod picture;
mod random;
mod rasterized;
mod reference_streams;
mod render;
mod report;
mod rng;
mod sampler;
mod single_block;
mod uniform;

pub use block::{Block, Range};
pub use error::MaskError;
pub use grid::PatchGrid;
pub use group::{MaskGroup, PatchIndices};
pub use multiblock::{MaskMode, MultiBlockConfig, MultiBlockSampler};
pub use picture::RgbPicture;
pub use random::RandomSampler;
pub use rasterized::RasterizedSampler;
pub use reference_streams::ReferenceStreams;
pub use report::{LengthStats, MaskReport};
pub use rng::{MaskRng, stream};
pub use sampler::MaskSampler;
pub use single_block::SingleBlockSampler;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
