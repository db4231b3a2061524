//! Sizes of a decoder's network.

use serde::{Deserialize, Serialize};

use super::RcdmError;

/// Colour channels of an image.
pub(crate) const COLORS: usize = 3;
/// Images that are computed together where nobody says how many.
pub(crate) const BATCH: usize = 32;

/// Channels stop here, so that no setting can ask for a network of absurd width.
const MOST_CHANNELS: usize = 1 << 16;
/// Nor for one of absurd depth.
const MOST_BLOCKS: usize = 64;
/// Nor for images of absurd size.
const MOST_PIXELS: usize = 1024;

/// Sizes of a [`Unet`](super::Unet).
///
/// ```
/// use burn::tensor::Device;
/// use ijepa_viz::rcdm::UnetConfig;
///
/// // A decoder of 96 features into images of 32 pixels.
/// let config = UnetConfig::px32(96);
/// let unet = config.init(0, &Device::flex());
/// assert_eq!(unet.num_parameters(), 1_383_523);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetConfig {
    /// Side of the images, pixels.
    pub image_size: usize,
    /// Channels at full size.
    pub channels: usize,
    /// Factor of the channels at each size, full size first; sizes are halved in between.
    pub multipliers: Vec<usize>,
    /// Residual blocks at each size on the way down; one more on the way up.
    pub res_blocks: usize,
    /// Sides of the maps, in pixels, that also get attention.
    pub attention: Vec<usize>,
    /// Attention heads.
    pub heads: usize,
    /// Groups of every norm.
    pub groups: usize,
    /// Width of the vectors that images are decoded from.
    pub condition_dim: usize,
}

impl UnetConfig {
    /// 32 pixels, 1.4 million parameters.
    pub fn px32(condition_dim: usize) -> Self {
        Self {
            image_size: 32,
            channels: 32,
            multipliers: vec![1, 2, 2],
            res_blocks: 1,
            attention: vec![8],
            heads: 4,
            groups: 32,
            condition_dim,
        }
    }

    /// 64 pixels, 3.7 million parameters.
    pub fn px64(condition_dim: usize) -> Self {
        Self {
            image_size: 64,
            multipliers: vec![1, 2, 2, 4],
            ..Self::px32(condition_dim)
        }
    }

    /// Checks every rule that [`init`](Self::init) relies on.
    ///
    /// # Errors
    ///
    /// [`RcdmError::Sizes`] with the first rule that is broken.
    pub fn validate(&self) -> Result<(), RcdmError> {
        let positive = [
            self.image_size,
            self.channels,
            self.res_blocks,
            self.heads,
            self.groups,
            self.condition_dim,
        ];
        let widths = self.widths();
        let halvings = widths.len().saturating_sub(1) as u32;
        let broken = if positive.contains(&0) || widths.is_empty() || widths.contains(&0) {
            "no size may be 0"
        } else if widths.iter().any(|&width| width > MOST_CHANNELS) {
            "no size may have more than 65536 channels"
        } else if self.image_size > MOST_PIXELS {
            "`size` may be at most 1024"
        } else if self.res_blocks > MOST_BLOCKS {
            "`res_blocks` may be at most 64"
        } else if !self.channels.is_multiple_of(2) {
            "`channels` must be even"
        } else if halvings > 16 || !self.image_size.is_multiple_of(1 << halvings) {
            "`size` must be divisible by 2 for each multiplier but the first"
        } else if !widths.iter().all(|width| width.is_multiple_of(self.groups)) {
            "`groups` must divide the channels at every size"
        } else if !widths.iter().all(|width| width.is_multiple_of(self.heads)) {
            "`heads` must divide the channels at every size"
        } else {
            return Ok(());
        };
        Err(RcdmError::Sizes { rule: broken })
    }

    /// Channels at each size, full size first.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let factors = self.multipliers.iter();
        let width = |factor: &usize| factor.saturating_mul(self.channels);
        factors.map(width).collect()
    }

    /// Values that its network has at least: a convolution of each residual block, and what takes
    /// the condition.
    pub(crate) fn least_values(&self) -> u64 {
        let blocks = 2 * self.res_blocks as u64 + 1;
        let convolutions = |width: usize| 9 * blocks * (width as u64).pow(2);
        let condition = (self.condition_dim as u64).saturating_mul(self.embedding() as u64);
        let widths = self.widths().into_iter();
        widths
            .map(convolutions)
            .fold(condition, u64::saturating_add)
    }

    /// Width of the embedding of time and condition.
    pub(crate) fn embedding(&self) -> usize {
        4 * self.channels
    }
}
