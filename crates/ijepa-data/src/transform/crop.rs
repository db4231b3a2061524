//! Where a random crop lies.

use rand::Rng;

use crate::rect::CropRect;
use crate::rng::{below, uniform};

/// Narrowest and widest aspect ratio of a random crop, width over height.
pub(super) const RATIOS: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
const TRIES: usize = 10;

/// The rectangle of a random resized crop of a `width` x `height` image, of a ratio from 3/4 to
/// 4/3; see [`random_crop_of_ratio`].
///
/// # Panics
///
/// Panics if a side is zero.
pub fn random_crop(width: usize, height: usize, scale: [f64; 2], rng: &mut impl Rng) -> CropRect {
    random_crop_of_ratio(width, height, scale, RATIOS, rng)
}

/// The rectangle of a random resized crop of a `width` x `height` image.
///
/// Up to ten tries: the area is uniform on `scale` times the image's, the aspect ratio (width
/// over height) log-uniform on `ratio`, and a rectangle that fits is placed uniformly, edges
/// included. Otherwise the largest centred rectangle whose ratio is within that range. These are
/// the rules of torchvision and timm.
///
/// # Panics
///
/// Panics if a side is zero.
pub fn random_crop_of_ratio(
    width: usize,
    height: usize,
    scale: [f64; 2],
    ratio: [f64; 2],
    rng: &mut impl Rng,
) -> CropRect {
    assert!(width > 0 && height > 0, "an image has no side of 0 pixels");
    let area = (width * height) as f64;
    let [narrow, wide] = ratio;
    // Python rounds halves to even.
    let rounded = |side: f64| side.round_ties_even() as usize;
    for _ in 0..TRIES {
        let target = area * uniform(rng, scale[0], scale[1]);
        let ratio = uniform(rng, narrow.ln(), wide.ln()).exp();
        let crop_width = rounded((target * ratio).sqrt());
        let crop_height = rounded((target / ratio).sqrt());
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            let top = below(rng, height - crop_height + 1);
            let left = below(rng, width - crop_width + 1);
            return CropRect {
                top,
                left,
                height: crop_height,
                width: crop_width,
            };
        }
    }
    let ratio = width as f64 / height as f64;
    let (crop_width, crop_height) = if ratio < narrow {
        (width, rounded(width as f64 / narrow).clamp(1, height))
    } else if ratio > wide {
        (rounded(height as f64 * wide).clamp(1, width), height)
    } else {
        (width, height)
    };
    CropRect {
        top: (height - crop_height) / 2,
        left: (width - crop_width) / 2,
        height: crop_height,
        width: crop_width,
    }
}
