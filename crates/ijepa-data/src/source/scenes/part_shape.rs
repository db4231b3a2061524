//! One large silhouette filled with a texture.

use std::f32::consts::{PI, TAU};

use rand_chacha::ChaCha8Rng;

use super::canvas::{Backdrop, Color, draw, render, scaled};
use super::{SceneLabels, ScenesConfig};
use crate::error::DataError;
use crate::image::RgbImage8;
use crate::rng::{Purpose, below, sample_rng};

/// Silhouettes by label.
pub(super) const SHAPES: [&str; 10] = [
    "disc",
    "ring",
    "square",
    "triangle",
    "five-lobe",
    "cross",
    "crescent",
    "half-disc",
    "three-lobe",
    "bar",
];
/// Textures by label.
pub(super) const TEXTURES: [&str; 5] = ["flat", "stripes", "checker", "dots", "radial"];

/// Keeps the random numbers of these images apart from those of other kinds.
const FAMILY: u64 = 1;

/// Half the image is one unit of length; y points down.
#[derive(Debug)]
pub(super) struct PartShape {
    shape: usize,
    texture: usize,
    center: [f32; 2],
    /// Unit vector of the shape's own x axis.
    axis: [f32; 2],
    /// Half extents along the shape's own axes.
    extent: [f32; 2],
    paint: Paint,
    shadow: [f32; 2],
    light: [f32; 2],
    gain: f32,
    backdrop: Backdrop,
}

/// How a texture is laid on the shape.
#[derive(Debug)]
struct Paint {
    colors: [Color; 2],
    axis: [f32; 2],
    /// Periods a unit of length.
    frequency: f32,
    /// Sectors of the radial texture.
    sectors: f32,
    phase: [f32; 2],
}

impl PartShape {
    /// Decides what image `index` shows.
    pub(super) fn describe(config: &ScenesConfig, index: usize) -> Self {
        let mut rng = sample_rng(config.seed, Purpose::Scene, FAMILY, index as u64);
        let shape = below(&mut rng, SHAPES.len());
        let texture = below(&mut rng, TEXTURES.len());
        let rng = &mut rng;
        let radius = draw(rng, 0.5, 0.78);
        let aspect = draw(rng, 0.85, 1.18).sqrt();
        Self {
            shape,
            texture,
            center: [draw(rng, -0.22, 0.22), draw(rng, -0.22, 0.22)],
            axis: direction(rng),
            extent: [radius * aspect, radius / aspect],
            paint: Paint::describe(rng),
            shadow: [draw(rng, -0.1, 0.1), draw(rng, 0.05, 0.12)],
            light: direction(rng).map(|part| part * 0.25),
            gain: draw(rng, 0.85, 1.1),
            backdrop: Backdrop::describe(config.background, rng),
        }
    }

    pub(super) fn labels(&self) -> SceneLabels {
        SceneLabels::Part {
            shape: self.shape as u32,
            texture: self.texture as u32,
        }
    }

    pub(super) fn render(
        &self,
        config: &ScenesConfig,
        index: usize,
    ) -> Result<RgbImage8, DataError> {
        render(config, FAMILY, index, self.gain, |x, y| self.shade(x, y))
    }

    /// Whether a point of the image lies on the shape.
    pub(super) fn shows(&self, x: f32, y: f32) -> bool {
        self.covers(self.relative_to_center(x, y))
    }

    fn relative_to_center(&self, x: f32, y: f32) -> [f32; 2] {
        let [right, down] = self.center;
        [2.0 * x - 1.0 - right, 2.0 * y - 1.0 - down]
    }

    fn shade(&self, x: f32, y: f32) -> Color {
        let point = self.relative_to_center(x, y);
        if self.covers(point) {
            let lit = 1.0 + self.light[0] * point[0] + self.light[1] * point[1];
            return scaled(self.paint.at(self.texture, point), lit);
        }
        let behind = self.backdrop.at(x, y);
        let casts = self.covers([point[0] - self.shadow[0], point[1] - self.shadow[1]]);
        scaled(behind, if casts { 0.6 } else { 1.0 })
    }

    /// Whether a point relative to the centre lies on the shape.
    fn covers(&self, point: [f32; 2]) -> bool {
        let [along, across] = rotated(point, self.axis);
        let (x, y) = (along / self.extent[0], across / self.extent[1]);
        let squared = x * x + y * y;
        // No silhouette reaches further than this.
        if squared > 1.5 {
            return false;
        }
        // With c the cosine of the angle, cos 3t and cos 5t are polynomials in c.
        let lobes = |wave: fn(f32) -> f32| {
            let distance = squared.sqrt();
            distance <= 0.62 + 0.34 * wave(x / distance.max(1e-6))
        };
        match self.shape {
            0 => squared <= 1.0,
            1 => (0.55 * 0.55..=1.0).contains(&squared),
            2 => x.abs().max(y.abs()) <= 0.82,
            3 => y <= 0.5 && 0.866_025_4 * x.abs() - 0.5 * y <= 0.5,
            4 => lobes(|c| c * (5.0 + c * c * (16.0 * c * c - 20.0))),
            5 => x.abs().min(y.abs()) <= 0.28 && x.abs().max(y.abs()) <= 0.95,
            6 => squared <= 1.0 && (x - 0.5) * (x - 0.5) + y * y > 0.72 * 0.72,
            7 => y >= -0.42 && x * x + (y + 0.42) * (y + 0.42) <= 1.0,
            8 => lobes(|c| c * (4.0 * c * c - 3.0)),
            _ => x.abs() <= 0.98 && y.abs() <= 0.3,
        }
    }
}

impl Paint {
    fn describe(rng: &mut ChaCha8Rng) -> Self {
        let color = |rng: &mut ChaCha8Rng| std::array::from_fn(|_| draw(rng, 0.05, 0.95));
        let first: Color = color(rng);
        let mut second: Color = color(rng);
        // Colours far apart keep textures visible; of random pairs about half are.
        let apart =
            |second: &Color| -> f32 { first.iter().zip(second).map(|(a, b)| (a - b).abs()).sum() };
        while apart(&second) < 0.9 {
            second = color(rng);
        }
        Self {
            colors: [first, second],
            axis: direction(rng),
            frequency: draw(rng, 2.2, 3.6),
            sectors: 4.0 + below(rng, 4) as f32,
            phase: [draw(rng, 0.0, 1.0), draw(rng, 0.0, 1.0)],
        }
    }

    fn at(&self, texture: usize, point: [f32; 2]) -> Color {
        let [along, across] = rotated(point, self.axis);
        let u = along * self.frequency + self.phase[0];
        let v = across * self.frequency + self.phase[1];
        let odd = |position: f32| position.rem_euclid(1.0) >= 0.5;
        let second = match texture {
            0 => false,
            1 => odd(u),
            2 => odd(u) != odd(v),
            3 => {
                let (x, y) = (u.rem_euclid(1.0) - 0.5, v.rem_euclid(1.0) - 0.5);
                x * x + y * y < 0.33 * 0.33
            }
            _ => odd(across.atan2(along) / TAU * self.sectors + self.phase[0]),
        };
        self.colors[usize::from(second)]
    }
}

/// A unit vector in any direction.
fn direction(rng: &mut ChaCha8Rng) -> [f32; 2] {
    let angle = draw(rng, -PI, PI);
    [angle.cos(), angle.sin()]
}

/// A point seen from axes turned so that `axis` is the first one.
fn rotated([x, y]: [f32; 2], axis: [f32; 2]) -> [f32; 2] {
    [x * axis[0] + y * axis[1], y * axis[0] - x * axis[1]]
}
