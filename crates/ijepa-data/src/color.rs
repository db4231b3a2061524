//! Colour distortion with the arithmetic of Pillow and torchvision.

use rand::Rng;

use crate::image::RgbImage8;
use crate::rng::{shuffle, uniform, unit};

/// Distorts colours in place with strength `strength`, as SimCLR does.
///
/// With probability 0.8, brightness, contrast, saturation (factors on `1 ± 0.8 strength`, not
/// below 0) and hue (turned by up to `±0.2 strength` of the circle) change in random order; then
/// with probability 0.2 the image becomes grey.
pub(crate) fn distort(image: &mut RgbImage8, strength: f64, rng: &mut impl Rng) {
    if unit(rng) < 0.8 {
        let mut changes = [
            Change::Brightness,
            Change::Contrast,
            Change::Saturation,
            Change::Hue,
        ];
        shuffle(&mut changes, rng);
        let spread = 0.8 * strength;
        let [brightness, contrast, saturation] =
            [(); 3].map(|()| uniform(rng, (1.0 - spread).max(0.0), 1.0 + spread));
        let turn = uniform(rng, -0.2 * strength, 0.2 * strength);
        for change in changes {
            match change {
                Change::Brightness => blend(image, brightness, |_| 0),
                Change::Contrast => {
                    let mean = mean_grey(image);
                    blend(image, contrast, |_| mean);
                }
                Change::Saturation => blend(image, saturation, grey),
                Change::Hue => turn_hue(image, turn),
            }
        }
    }
    if unit(rng) < 0.2 {
        blend(image, 0.0, grey);
    }
}

#[derive(Clone, Copy)]
enum Change {
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

/// Moves every channel away from (`factor` > 1) or towards a grey level chosen by pixel.
///
/// The fraction is cut off, not rounded, as in Pillow's `Image.blend`.
pub(crate) fn blend(image: &mut RgbImage8, factor: f64, towards: impl Fn([u8; 3]) -> u8) {
    let factor = factor as f32;
    for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
        let level = f32::from(towards(*pixel));
        for value in pixel {
            *value = between(level, f32::from(*value), factor);
        }
    }
}

/// `level` for a factor of 0, `value` for 1, and beyond for more; cut off and kept in range.
pub(crate) fn between(level: f32, value: f32, factor: f32) -> u8 {
    (level + factor * (value - level)) as u8
}

/// Luma of ITU-R 601 in the fixed point arithmetic of Pillow's `convert("L")`.
pub(crate) fn grey([red, green, blue]: [u8; 3]) -> u8 {
    let weighted = u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471;
    ((weighted + 0x8000) >> 16) as u8
}

pub(crate) fn mean_grey(image: &RgbImage8) -> u8 {
    let pixels = image.pixels().as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|&pixel| u64::from(grey(pixel))).sum();
    (sum as f64 / pixels.len() as f64 + 0.5) as u8
}

/// Turns hues by `turn` of the circle, `[-0.5, 0.5]`, through Pillow's 8-bit HSV.
fn turn_hue(image: &mut RgbImage8, turn: f64) {
    // torchvision adds to an 8-bit hue, which wraps at 256.
    let shift = (turn * 255.0) as i32 as u8;
    for pixel in image.pixels_mut().as_chunks_mut::<3>().0 {
        let [hue, saturation, value] = rgb_to_hsv(*pixel);
        *pixel = hsv_to_rgb([hue.wrapping_add(shift), saturation, value]);
    }
}

fn rgb_to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let most = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let [r, g, b] = [red, green, blue].map(|value| f32::from(most - value) / range);
    // As in Pillow, sums are made in f64 and kept in f32: a hue that is off by one of 255 is six
    // levels in a colour.
    let from =
        |start: f64, plus: f32, minus: f32| (start + f64::from(plus) - f64::from(minus)) as f32;
    let sector = if red == most {
        b - g
    } else if green == most {
        from(2.0, r, b)
    } else {
        from(4.0, g, r)
    };
    let hue = ((f64::from(sector) / 6.0 + 1.0) % 1.0) as f32;
    let saturation = range / f32::from(most);
    let byte = |share: f32| (f64::from(share) * 255.0) as u8;
    [byte(hue), byte(saturation), most]
}

fn hsv_to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let position = f32::from(hue) * 6.0 / 255.0;
    let sector = position.floor();
    let (part, saturation) = (position - sector, f32::from(saturation) / 255.0);
    let level = |less: f32| (f32::from(value) * (1.0 - less)).round() as u8;
    let low = level(saturation);
    let falling = level(saturation * part);
    let rising = level(saturation * (1.0 - part));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, sample_rng};

    #[test]
    fn grey_levels_are_pillows() {
        // Values of `Image.new("RGB", (1, 1), colour).convert("L")`.
        for (colour, expected) in [
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([255; 3], 255),
        ] {
            assert_eq!(grey(colour), expected);
        }
    }

    /// Pictures that torchvision adjusted; `colors.py` says how.
    const GOLDEN: &[u8] = include_bytes!("../tests/golden/colors.safetensors");

    #[test]
    fn adjustments_equal_torchvisions() {
        let golden = safetensors::SafeTensors::deserialize(GOLDEN).unwrap();
        let source = golden.tensor("source").unwrap();
        let [height, width, 3] = source.shape()[..] else {
            panic!("no image")
        };
        let mut cases = 0;
        for (name, expected) in golden.tensors() {
            let Some((operation, value)) = name.split_once('|') else {
                continue;
            };
            let value: f64 = value.parse().unwrap();
            let mut image = RgbImage8::new(width, height, source.data().to_vec()).unwrap();
            match operation {
                "brightness" => blend(&mut image, value, |_| 0),
                "contrast" => {
                    let mean = mean_grey(&image);
                    blend(&mut image, value, |_| mean);
                }
                "saturation" => blend(&mut image, value, grey),
                "hue" => turn_hue(&mut image, value),
                other => panic!("{other}"),
            }
            let pairs = image.pixels().iter().zip(expected.data());
            let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert_eq!(worst, 0, "levels by which {name} differs");
            cases += 1;
        }
        assert_eq!(cases, 25);
    }

    #[test]
    fn hue_turns_round_the_circle_and_keeps_greys() {
        let mut image = RgbImage8::new(3, 1, vec![200, 10, 10, 10, 200, 10, 90, 90, 90]).unwrap();
        turn_hue(&mut image, 1.0 / 3.0);
        assert_eq!(image.pixel(0, 0), [10, 200, 10]);
        assert_eq!(image.pixel(1, 0), [10, 10, 200]);
        assert_eq!(image.pixel(2, 0), [90, 90, 90]);
    }

    #[test]
    fn factors_of_one_change_nothing_and_zero_reaches_the_reference() {
        let original = RgbImage8::new(2, 1, vec![10, 20, 30, 200, 100, 0]).unwrap();
        let mut image = original.clone();
        blend(&mut image, 1.0, grey);
        assert_eq!(image, original);
        let mean = mean_grey(&image);
        blend(&mut image, 0.0, |_| mean);
        assert_eq!(image.pixels(), [mean; 6]);
        let mut bright = original.clone();
        blend(&mut bright, 1.5, |_| 0);
        assert_eq!(bright.pixels(), [15, 30, 45, 255, 150, 0]);
    }

    #[test]
    fn a_fifth_of_the_images_turn_grey_and_a_fifth_keep_their_colours() {
        let original = RgbImage8::new(1, 1, vec![200, 100, 50]).unwrap();
        let (mut greys, mut unchanged) = (0u32, 0u32);
        for index in 0..5000 {
            let mut image = original.clone();
            distort(
                &mut image,
                0.5,
                &mut sample_rng(0, Purpose::Augment, 0, index),
            );
            let [red, green, blue] = image.pixel(0, 0);
            greys += u32::from(red == green && green == blue);
            unchanged += u32::from(image == original);
        }
        // Means 1000 and 800 (0.2 * 0.8), standard deviations 28 and 26.
        assert!(greys.abs_diff(1000) < 200, "{greys}");
        assert!(unchanged.abs_diff(800) < 190, "{unchanged}");
    }
}
