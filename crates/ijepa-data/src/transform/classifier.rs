//! The random transform under which probes and fine-tuned encoders are trained.

use super::crop::RATIOS;
use super::{RandAugment, Transform, check_range, random_crop_of_ratio};
use crate::error::DataError;
use crate::image::Image;
use crate::resize::{Filter, sides};
use crate::rng::{SampleRng, unit};
use crate::view::View;

/// How a training image gets the model's size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Framing {
    /// A random part of the image, resized.
    RandomCrop {
        /// Share of the image's area, uniform on `[min, max)`; within `(0, 1]`.
        scale: [f64; 2],
        /// Width over height, log-uniform on `[min, max)`.
        ratio: [f64; 2],
        /// Kernel of the resize.
        filter: Filter,
    },
    /// The whole image, resized without regard to its aspect ratio.
    Squash {
        /// Kernel of the resize.
        filter: Filter,
    },
}

/// Framing, then a mirror, then [`RandAugment`], for training on labels.
///
/// # Examples
///
/// ```
/// use ijepa_data::{ClassifierAugment, RandAugment, Transform};
///
/// // A linear probe on ImageNet, fine-tuning, and a probe on CLEVR, which has to see everything.
/// let probe = ClassifierAugment::random_crop([224, 224]);
/// let finetune = ClassifierAugment {
///     rand_augment: Some(RandAugment::default()),
///     ..probe.clone()
/// };
/// let clevr = ClassifierAugment::squash([224, 224]);
/// # finetune.validate()?;
/// # clevr.validate()?;
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifierAugment {
    /// `[height, width]` of the result, pixels.
    pub size: [usize; 2],
    /// How the image gets that size.
    pub framing: Framing,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// Distortions after that, if any.
    pub rand_augment: Option<RandAugment>,
}

impl ClassifierAugment {
    /// Shares of the area that classifiers of ImageNet are shown.
    pub const CROP_SCALE: [f64; 2] = [0.08, 1.0];

    /// A random crop of 8 % to all of the area, 3/4 to 4/3, bicubic, and a mirror: the standard
    /// of ImageNet probes and the base of fine-tuning.
    pub fn random_crop(size: [usize; 2]) -> Self {
        Self {
            size,
            framing: Framing::RandomCrop {
                scale: Self::CROP_SCALE,
                ratio: RATIOS,
                filter: Filter::Bicubic,
            },
            flip: true,
            rand_augment: None,
        }
    }

    /// The same, of other shares of the area or by another kernel.
    #[must_use]
    pub fn with_crop(self, scale: [f64; 2], filter: Filter) -> Self {
        Self {
            framing: Framing::RandomCrop {
                scale,
                ratio: RATIOS,
                filter,
            },
            ..self
        }
    }

    /// The whole image squashed by the bilinear kernel, and a mirror: the probes on CLEVR, whose
    /// labels need every object.
    pub fn squash(size: [usize; 2]) -> Self {
        Self {
            framing: Framing::Squash {
                filter: Filter::Bilinear,
            },
            ..Self::random_crop(size)
        }
    }
}

impl Transform for ClassifierAugment {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn validate(&self) -> Result<(), DataError> {
        let [height, width] = self.size;
        sides(width, height)?;
        if let Framing::RandomCrop { scale, ratio, .. } = self.framing {
            check_range("scale", scale, 1.0)?;
            check_range("ratio", ratio, f64::INFINITY)?;
        }
        self.rand_augment.map_or(Ok(()), |policy| policy.validate())
    }

    fn view(&self, width: usize, height: usize, rng: &mut SampleRng) -> Result<View, DataError> {
        Ok(match self.framing {
            Framing::RandomCrop {
                scale,
                ratio,
                filter,
            } => View {
                part: random_crop_of_ratio(width, height, scale, ratio, rng),
                size: self.size,
                filter,
                kept: None,
            },
            Framing::Squash { filter } => View::resized(width, height, self.size, filter),
        })
    }

    fn change(&self, mut shown: Image, rng: &mut SampleRng) -> Result<Image, DataError> {
        if self.flip && unit(rng) < 0.5 {
            shown.flip_horizontal();
        }
        if let Some(policy) = self.rand_augment {
            policy.apply(shown.as_rgb8_mut()?, rng);
        }
        Ok(shown)
    }

    fn needs_colors(&self) -> bool {
        self.rand_augment.is_some()
    }
}
