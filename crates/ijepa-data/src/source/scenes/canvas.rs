//! What all rendered images share: sampling, noise and backgrounds.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Background, ScenesConfig};
use crate::error::DataError;
use crate::image::RgbImage8;
use crate::rng::{Purpose, sample_rng, uniform};

/// Linear red, green and blue, 0 to 1 before clamping.
pub(super) type Color = [f32; 3];

/// Samples a pixel side.
const SAMPLES: usize = 2;
/// Standard deviation of the sensor noise, white being 1.
const NOISE: f32 = 0.02;

/// Uniform on `[low, high)`, as a pixel coordinate or colour.
pub(super) fn draw(rng: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    uniform(rng, f64::from(low), f64::from(high)) as f32
}

/// The colour whose red, green and blue are `value(0)`, `value(1)` and `value(2)`: `array::from_fn`
/// is a loop of calls unless the compiler optimises for long.
#[inline(always)]
fn channels(value: impl Fn(usize) -> f32) -> Color {
    [value(0), value(1), value(2)]
}

/// Multiplies a colour by a number.
#[inline(always)]
pub(super) fn scaled(color: Color, factor: f32) -> Color {
    channels(|channel| color[channel] * factor)
}

/// Mixes two colours; `share` 0 gives `a`, 1 gives `b`.
pub(super) fn mix(a: Color, b: Color, share: f32) -> Color {
    channels(|channel| a[channel] + (b[channel] - a[channel]) * share)
}

/// Renders an image of `size` pixels a side from `shade(x, y)`, whose arguments run from 0 to 1
/// rightwards and downwards, then applies `gain` and sensor noise.
///
/// `family` keeps the noise of different kinds of images apart.
pub(super) fn render(
    config: &ScenesConfig,
    family: u64,
    index: usize,
    gain: f32,
    shade: impl Fn(f32, f32) -> Color,
) -> Result<RgbImage8, DataError> {
    let size = config.size;
    let step = 1.0 / (size * SAMPLES) as f32;
    let mut rng = sample_rng(config.seed, Purpose::SceneNoise, family, index as u64);
    let mut pixels = Vec::with_capacity(size * size * 3);
    for row in 0..size {
        for column in 0..size {
            let mut sum = [0.0; 3];
            for sample in 0..SAMPLES * SAMPLES {
                let x = (column * SAMPLES + sample % SAMPLES) as f32 + 0.5;
                let y = (row * SAMPLES + sample / SAMPLES) as f32 + 0.5;
                let color = shade(x * step, y * step);
                sum = channels(|channel| sum[channel] + color[channel].clamp(0.0, 1.0));
            }
            for value in scaled(sum, gain / (SAMPLES * SAMPLES) as f32) {
                let noisy = value + NOISE * nearly_normal(&mut rng);
                pixels.push((noisy * 255.0).round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    RgbImage8::new(size, size, pixels)
}

/// What `value` gives the centres of all pixels, row by row, see [`render`].
pub(super) fn at_centers<T>(size: usize, value: impl Fn(f32, f32) -> T) -> Vec<T> {
    let center = |at: usize| (at as f32 + 0.5) / size as f32;
    let pixels = (0..size * size).map(|at| value(center(at % size), center(at / size)));
    pixels.collect()
}

/// A number of mean 0 and variance 1: the sum of four uniform ones, cheap and without tails.
fn nearly_normal(rng: &mut ChaCha8Rng) -> f32 {
    let bits = rng.next_u64();
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    // Four uniform numbers on [0, 1) have mean 2 and variance 1/3.
    (sum as f32 / 65536.0 - 2.0) * 3f32.sqrt()
}

/// Cells a side of the value noise.
const CELLS: usize = 4;

/// A vertical gradient with smooth noise on it.
#[derive(Debug)]
pub(super) struct Backdrop {
    top: Color,
    bottom: Color,
    noise: [[f32; CELLS + 1]; CELLS + 1],
}

impl Backdrop {
    pub(super) fn describe(background: Background, rng: &mut ChaCha8Rng) -> Self {
        let mut color = |level: f32| match background {
            Background::Grey => {
                let grey = level + draw(rng, -0.08, 0.08);
                std::array::from_fn(|_| grey + draw(rng, -0.02, 0.02))
            }
            Background::Color => std::array::from_fn(|_| draw(rng, 0.05, 0.95)),
        };
        let (top, bottom) = (color(0.5), color(0.62));
        let amplitude = draw(rng, 0.02, 0.06);
        let noise =
            std::array::from_fn(|_| std::array::from_fn(|_| draw(rng, -amplitude, amplitude)));
        Self { top, bottom, noise }
    }

    pub(super) fn at(&self, x: f32, y: f32) -> Color {
        let cell = |position: f32| {
            let scaled = position * CELLS as f32;
            let low = (scaled as usize).min(CELLS - 1);
            let part = scaled - low as f32;
            (low, part * part * (3.0 - 2.0 * part))
        };
        let ((column, across), (row, down)) = (cell(x), cell(y));
        let along = |row: usize| {
            let [left, right] = [self.noise[row][column], self.noise[row][column + 1]];
            left + (right - left) * across
        };
        let noise = along(row) + (along(row + 1) - along(row)) * down;
        let mixed = mix(self.top, self.bottom, y);
        channels(|channel| mixed[channel] + noise)
    }
}
