//! Spheres, cubes and cylinders: where a ray meets them and how they look there.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2, TAU};

use rand_chacha::ChaCha8Rng;

use super::vector::Vector;
use crate::rng::below;
use crate::source::scenes::canvas::{Color, draw};

/// CLEVR's palette: gray, red, blue, green, brown, purple, cyan, yellow.
const COLORS: [[u8; 3]; 8] = [
    [87, 87, 87],
    [173, 35, 35],
    [42, 75, 215],
    [29, 105, 20],
    [129, 74, 25],
    [129, 38, 192],
    [41, 208, 208],
    [255, 238, 51],
];
/// Large and small.
const RADII: [f32; 2] = [0.7, 0.42];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Sphere,
    Cube,
    Cylinder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Material {
    Matte,
    Metal,
}

/// A light at infinity.
#[derive(Debug)]
pub(super) struct Light {
    /// Unit vector towards it.
    towards: Vector,
}

impl Light {
    pub(super) fn describe(rng: &mut ChaCha8Rng) -> Self {
        let towards = [
            draw(rng, -0.9, 0.9),
            draw(rng, 0.8, 1.3),
            draw(rng, -1.0, 0.1),
        ];
        Self {
            towards: Vector(towards).unit(),
        }
    }
}

/// One object standing on the ground.
#[derive(Debug)]
pub(super) struct Object {
    shape: Shape,
    material: Material,
    color: Color,
    radius: f32,
    center: Vector,
    /// Cosine and sine of its turn about the vertical.
    turn: [f32; 2],
}

impl Object {
    pub(super) fn describe(rng: &mut ChaCha8Rng) -> Self {
        let shape = [Shape::Sphere, Shape::Cube, Shape::Cylinder][below(rng, 3)];
        let material = [Material::Matte, Material::Metal][below(rng, 2)];
        let radius = RADII[below(rng, RADII.len())];
        let color = COLORS[below(rng, COLORS.len())].map(|level| f32::from(level) / 255.0);
        let (sine, cosine) = draw(rng, 0.0, TAU).sin_cos();
        let height = if shape == Shape::Cube {
            radius * FRAC_1_SQRT_2
        } else {
            radius
        };
        let center = Vector([draw(rng, -2.6, 2.6), height, draw(rng, 4.0, 10.0)]);
        Self {
            shape,
            material,
            color,
            radius,
            center,
            turn: [cosine, sine],
        }
    }

    pub(super) fn center(&self) -> Vector {
        self.center
    }

    pub(super) fn radius(&self) -> f32 {
        self.radius
    }

    /// The shape times two, plus 1 for metal.
    pub(super) fn shape_and_material(&self) -> u32 {
        self.shape as u32 * 2 + self.material as u32
    }

    /// Distance along a unit ray to the visible surface, and the outward normal there.
    pub(super) fn hit(&self, origin: Vector, ray: Vector) -> Option<(f32, Vector)> {
        let from = origin - self.center;
        let ahead = from.dot(ray);
        let missed_by = from.dot(from) - ahead * ahead;
        // A sphere around the object: corners of a cube are at 1.22 radii, rims of a cylinder
        // at 1.41.
        let reach = if self.shape == Shape::Sphere {
            self.radius
        } else {
            self.radius * SQRT_2
        };
        if missed_by > reach * reach {
            return None;
        }
        match self.shape {
            Shape::Sphere => {
                let distance = -ahead - (reach * reach - missed_by).sqrt();
                Some((distance, (from + ray * distance).unit()))
            }
            Shape::Cube => self.hit_cube(from, ray),
            Shape::Cylinder => self.hit_cylinder(from, ray),
        }
    }

    fn hit_cube(&self, from: Vector, ray: Vector) -> Option<(f32, Vector)> {
        let [cosine, sine] = self.turn;
        let turned = |Vector([x, y, z])| [x * cosine + z * sine, y, z * cosine - x * sine];
        let (from, ray) = (turned(from), turned(ray));
        let half = self.radius * FRAC_1_SQRT_2;
        let (mut enter, mut leave, mut face) = (f32::NEG_INFINITY, f32::INFINITY, 0);
        for axis in 0..3 {
            let slope = 1.0 / ray[axis];
            let [one, other] = [(-half - from[axis]) * slope, (half - from[axis]) * slope];
            if one.min(other) > enter {
                (enter, face) = (one.min(other), axis);
            }
            leave = leave.min(one.max(other));
        }
        if enter > leave || enter < 0.0 {
            return None;
        }
        let side = -ray[face].signum();
        let normal = match face {
            0 => [side * cosine, 0.0, side * sine],
            1 => [0.0, side, 0.0],
            _ => [-side * sine, 0.0, side * cosine],
        };
        Some((enter, Vector(normal)))
    }

    fn hit_cylinder(&self, from: Vector, ray: Vector) -> Option<(f32, Vector)> {
        let ([x, y, z], [dx, dy, dz]) = (from.0, ray.0);
        let radius = self.radius;
        // The camera is above every object, so of the two lids only the upper one is seen.
        let to_lid = (radius - y) / dy;
        let (lid_x, lid_z) = (x + dx * to_lid, z + dz * to_lid);
        if to_lid > 0.0 && lid_x * lid_x + lid_z * lid_z <= radius * radius {
            return Some((to_lid, Vector([0.0, 1.0, 0.0])));
        }
        let (a, b) = (dx * dx + dz * dz, x * dx + z * dz);
        let root = b * b - a * (x * x + z * z - radius * radius);
        if root < 0.0 {
            return None;
        }
        let distance = (-b - root.sqrt()) / a;
        let height = y + dy * distance;
        let normal = Vector([x + dx * distance, 0.0, z + dz * distance]) * (1.0 / radius);
        (distance > 0.0 && height.abs() <= radius).then_some((distance, normal))
    }

    /// The colour of a surface point with outward `normal`, seen along `ray`.
    pub(super) fn color(&self, normal: Vector, ray: Vector, light: &Light) -> Color {
        let facing = normal.dot(light.towards).max(0.0);
        let (diffuse, shine) = match self.material {
            Material::Matte => (0.4 + 0.75 * facing, 0.0),
            Material::Metal => {
                let halfway = (light.towards - ray).unit();
                (
                    0.35 + 0.45 * facing,
                    0.8 * normal.dot(halfway).max(0.0).powi(12),
                )
            }
        };
        self.color.map(|channel| channel * diffuse + shine)
    }

    /// The share of light that reaches a ground point beside the object: a soft shadow around
    /// its foot.
    pub(super) fn daylight(&self, ground: Vector) -> f32 {
        let [dx, _, dz] = (ground - self.center).0;
        let near = 1.0 - (dx * dx + dz * dz) / (2.2 * self.radius * self.radius);
        1.0 - 0.5 * near.max(0.0)
    }
}
