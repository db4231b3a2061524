//! Mixup and CutMix: how each image of a batch is mixed with its partner.

use rand::Rng;

use super::check_probability;
use crate::error::DataError;
use crate::rect::CropRect;
use crate::rng::{below, symmetric_beta, unit};

/// How often batches are mixed, and how much; timm's `batch` mode.
///
/// # Examples
///
/// ```
/// use ijepa_data::{Mixing, MixingConfig, Purpose, sample_rng};
///
/// let step = 17;
/// let mut rng = sample_rng(0, Purpose::Mixing, 0, step);
/// match MixingConfig::default().sample([224, 224], &mut rng) {
///     Mixing::Mixup { lam } => println!("{lam} * images + {} * reversed images", 1.0 - lam),
///     Mixing::CutMix { lam, rect } => println!("{rect:?} of the reversed images, {lam}"),
///     Mixing::None => println!("images as they are"),
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixingConfig {
    /// Parameter of mixup's Beta distribution, 0 (no mixup) or 0.1 to 100.
    pub mixup_alpha: f64,
    /// Parameter of CutMix's Beta distribution, 0 (no CutMix) or 0.1 to 100.
    pub cutmix_alpha: f64,
    /// Share of the batches that are mixed, `[0, 1]`.
    pub probability: f64,
    /// Share of CutMix among them where both are on, `[0, 1]`.
    pub cutmix_share: f64,
}

impl Default for MixingConfig {
    /// Mixup 0.8 or CutMix 1.0 by a fair coin in every batch: full fine-tuning on ImageNet.
    fn default() -> Self {
        Self {
            mixup_alpha: 0.8,
            cutmix_alpha: 1.0,
            probability: 1.0,
            cutmix_share: 0.5,
        }
    }
}

impl MixingConfig {
    /// What [`is_alpha`](Self::is_alpha) takes, in words.
    pub const ALPHA: &str = "0 or 0.1 to 100";

    /// Whether a Beta distribution may have this parameter, or is off with it.
    pub fn is_alpha(alpha: f64) -> bool {
        alpha == 0.0 || (0.1..=100.0).contains(&alpha)
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`DataError::BadValue`] naming the field.
    pub fn validate(&self) -> Result<(), DataError> {
        for (key, alpha) in [
            ("mixup_alpha", self.mixup_alpha),
            ("cutmix_alpha", self.cutmix_alpha),
        ] {
            if !Self::is_alpha(alpha) {
                return Err(DataError::bad_value(key, &alpha.to_string(), Self::ALPHA));
            }
        }
        check_probability("probability", self.probability)?;
        check_probability("cutmix_share", self.cutmix_share)
    }

    /// Draws the mixing of one batch of images of `size` (`[height, width]`).
    pub fn sample(&self, size: [usize; 2], rng: &mut impl Rng) -> Mixing {
        let cutmix_share = match (self.mixup_alpha > 0.0, self.cutmix_alpha > 0.0) {
            (true, true) => self.cutmix_share,
            (true, false) => 0.0,
            (false, true) => 1.0,
            (false, false) => return Mixing::None,
        };
        if unit(rng) >= self.probability {
            Mixing::None
        } else if unit(rng) < cutmix_share {
            let lam = symmetric_beta(rng, self.cutmix_alpha);
            Mixing::cut(size, lam, rng)
        } else {
            let lam = symmetric_beta(rng, self.mixup_alpha);
            Mixing::Mixup { lam }
        }
    }
}

/// How a batch is mixed with itself in reverse order: image `i` with image `batch - 1 - i`.
///
/// Applied to normalised images, after erasing; the batch size should be even, so that no image
/// is its own partner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixing {
    /// Images stay as they are.
    None,
    /// `lam * image + (1 - lam) * partner`.
    Mixup {
        /// Share of the image itself, `[0, 1]`.
        lam: f64,
    },
    /// The partner's pixels inside a rectangle, the image's own outside.
    CutMix {
        /// Share of the image's own pixels: 1 less the rectangle's share of the area.
        lam: f64,
        /// The rectangle, the same for the whole batch.
        rect: CropRect,
    },
}

impl Mixing {
    /// CutMix with sides of `sqrt(1 - lam)` times the image's about a centre anywhere in it, cut
    /// off at the edges; the kept share is that of the rectangle which results.
    fn cut(size: [usize; 2], lam: f64, rng: &mut impl Rng) -> Self {
        let ratio = (1.0 - lam).sqrt();
        let [(top, height), (left, width)] = size.map(|side| {
            let half = (side as f64 * ratio) as usize / 2;
            let centre = below(rng, side);
            let (start, end) = (centre.saturating_sub(half), (centre + half).min(side));
            (start, end - start)
        });
        if height * width == 0 {
            return Self::None;
        }
        let cut = (height * width) as f64 / size.iter().product::<usize>() as f64;
        Self::CutMix {
            lam: 1.0 - cut,
            rect: CropRect {
                top,
                left,
                height,
                width,
            },
        }
    }

    /// Share of the image itself in the mixture, which is also the weight of its label.
    pub fn lam(&self) -> f64 {
        match *self {
            Self::None => 1.0,
            Self::Mixup { lam } | Self::CutMix { lam, .. } => lam,
        }
    }

    /// The mixed labels: `lam * y + (1 - lam) * y reversed`, where `y` is
    /// `1 - smoothing + smoothing / classes` for the label and `smoothing / classes` elsewhere.
    ///
    /// # Shapes
    ///
    /// - `labels`: `[batch]`, each in `0..classes`
    /// - output: `[batch, classes]`, rows with a sum of 1
    ///
    /// # Panics
    ///
    /// Panics if a label is not below `classes`.
    pub fn targets(&self, labels: &[u32], classes: usize, smoothing: f64) -> Vec<f32> {
        let off = smoothing / classes as f64;
        let mut targets = vec![off as f32; labels.len() * classes];
        let lam = self.lam();
        let partners = labels.iter().rev();
        for ((row, &label), &partner) in targets.chunks_exact_mut(classes).zip(labels).zip(partners)
        {
            let (label, partner) = (label as usize, partner as usize);
            row[label] += ((1.0 - smoothing) * lam) as f32;
            row[partner] += ((1.0 - smoothing) * (1.0 - lam)) as f32;
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, sample_rng};

    fn draws(config: MixingConfig, size: [usize; 2]) -> Vec<Mixing> {
        let draw = |step| config.sample(size, &mut sample_rng(0, Purpose::Mixing, 0, step));
        (0..20_000).map(draw).collect()
    }

    #[test]
    fn half_of_the_batches_are_cut_and_half_blended() {
        let drawn = draws(MixingConfig::default(), [224, 224]);
        let mixups: Vec<f64> = drawn
            .iter()
            .filter(|mixing| matches!(mixing, Mixing::Mixup { .. }))
            .map(Mixing::lam)
            .collect();
        // Standard deviation 71: six of them are a false alarm rate of 2e-9.
        assert!(mixups.len().abs_diff(10_000) < 424, "{}", mixups.len());
        // Beta(0.8, 0.8) has variance 0.0962; six standard errors are 0.019 and 0.005.
        let n = mixups.len() as f64;
        let mean = mixups.iter().sum::<f64>() / n;
        let variance = mixups.iter().map(|lam| (lam - 0.5).powi(2)).sum::<f64>() / n;
        assert!((mean - 0.5).abs() < 0.019, "{mean}");
        assert!((variance - 0.25 / 2.6).abs() < 0.005, "{variance}");
    }

    #[test]
    fn a_cut_lies_inside_the_image_and_lam_is_what_it_leaves() {
        let only_cutmix = MixingConfig {
            mixup_alpha: 0.0,
            ..MixingConfig::default()
        };
        let (mut rows, mut columns, mut kept, mut cut_off) = (vec![0; 30], vec![0; 50], 0.0, 0);
        let drawn = draws(only_cutmix, [30, 50]);
        for mixing in &drawn {
            kept += mixing.lam();
            let Mixing::CutMix { lam, rect } = *mixing else {
                // Sides below two pixels leave nothing to cut.
                assert_eq!(*mixing, Mixing::None);
                continue;
            };
            assert!(rect.top + rect.height <= 30 && rect.left + rect.width <= 50);
            assert_eq!(lam, 1.0 - (rect.height * rect.width) as f64 / 1500.0);
            cut_off += u32::from(rect.height % 2 == 1 || rect.width % 2 == 1);
            rows[rect.top..rect.top + rect.height]
                .iter_mut()
                .for_each(|n| *n += 1);
            columns[rect.left..rect.left + rect.width]
                .iter_mut()
                .for_each(|n| *n += 1);
        }
        // Whole boxes have even sides; odd ones met an edge.
        assert!(cut_off > 1000);
        assert!(rows.iter().chain(&columns).all(|&n| n > 2000));
        assert_eq!(rows.iter().max(), rows[10..20].iter().max());
        // For uniform lam the box covers s^2 with s = sqrt(1 - lam), of which an edge leaves
        // s (1 - s/4) in each direction on average: E = 1/2 - 2/4 * 2/5 + 1/16 * 1/3. Sides cut
        // to even pixels lose up to 2 of 30.
        let expected = 1.0 - (0.5 - 0.2 + 1.0 / 48.0);
        let mean = kept / drawn.len() as f64;
        assert!(
            mean > expected - 0.01 && mean < expected + 0.06,
            "{mean} for {expected}"
        );
    }

    #[test]
    fn the_expected_share_is_met_where_rounding_vanishes() {
        let only_cutmix = MixingConfig {
            mixup_alpha: 0.0,
            ..MixingConfig::default()
        };
        let drawn = draws(only_cutmix, [4000, 4000]);
        let mean = drawn.iter().map(Mixing::lam).sum::<f64>() / drawn.len() as f64;
        let expected = 1.0 - (0.5 - 0.2 + 1.0 / 48.0);
        // Standard deviation of lam below 0.3: six standard errors are 0.013.
        assert!((mean - expected).abs() < 0.013, "{mean} for {expected}");
    }

    #[test]
    fn what_is_off_is_never_drawn() {
        let config = MixingConfig::default();
        let off = MixingConfig {
            mixup_alpha: 0.0,
            cutmix_alpha: 0.0,
            ..config
        };
        assert!(
            draws(off, [8, 8])
                .iter()
                .all(|mixing| *mixing == Mixing::None)
        );
        let no_cut = MixingConfig {
            cutmix_alpha: 0.0,
            ..config
        };
        let mixup = |mixing: &Mixing| matches!(mixing, Mixing::Mixup { .. });
        assert!(draws(no_cut, [8, 8]).iter().all(mixup));
        let rare = MixingConfig {
            probability: 0.1,
            ..no_cut
        };
        // Standard deviation 42.
        assert!(
            draws(rare, [8, 8])
                .iter()
                .filter(|it| mixup(it))
                .count()
                .abs_diff(2000)
                < 260
        );
    }

    #[test]
    fn targets_mix_smoothed_labels_with_those_of_the_reversed_batch() {
        let targets = Mixing::Mixup { lam: 0.75 }.targets(&[0, 2, 2, 2], 4, 0.1);
        let expected = [
            [0.7, 0.025, 0.25, 0.025],
            [0.025, 0.025, 0.925, 0.025],
            [0.025, 0.025, 0.925, 0.025],
            [0.25, 0.025, 0.7, 0.025],
        ];
        for (found, expected) in targets.iter().zip(expected.as_flattened()) {
            assert!((found - expected).abs() < 1e-6, "{targets:?}");
        }
        let hard = Mixing::None.targets(&[1, 0], 2, 0.0);
        assert_eq!(hard, [0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn bad_fields_are_named() {
        let message = |config: MixingConfig| config.validate().unwrap_err().to_string();
        let config = MixingConfig::default();
        config.validate().unwrap();
        assert_eq!(
            message(MixingConfig {
                mixup_alpha: 0.01,
                ..config
            }),
            "bad value `0.01` for `mixup_alpha`, expected 0 or 0.1 to 100"
        );
        assert_eq!(
            message(MixingConfig {
                cutmix_alpha: f64::NAN,
                ..config
            }),
            "bad value `NaN` for `cutmix_alpha`, expected 0 or 0.1 to 100"
        );
        assert_eq!(
            message(MixingConfig {
                cutmix_share: 1.5,
                ..config
            }),
            "bad value `1.5` for `cutmix_share`, expected a number from 0 to 1"
        );
    }
}
