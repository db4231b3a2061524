//! Several objects on a plane, in the manner of CLEVR.

mod object;
mod vector;

use rand_chacha::ChaCha8Rng;

use super::canvas::{Backdrop, Color, draw, render, scaled};
use super::{SceneLabels, ScenesConfig};
use crate::depth::Depth;
use crate::error::DataError;
use crate::image::RgbImage8;
use crate::rng::{Purpose, below, sample_rng};
use object::{Light, Object};
use vector::Vector;

/// Most objects in a scene; the fewest is 1.
pub(super) const MAX_OBJECTS: usize = 8;
/// Borders between the classes of the nearest object's distance from the camera: its sextiles
/// over 100,000 scenes.
pub(super) const DISTANCE_EDGES: [f32; 5] = [5.17, 5.42, 5.73, 6.18, 7.06];

/// Keeps the random numbers of these images apart from those of other kinds.
const FAMILY: u64 = 2;
const CAMERA: Vector = Vector([0.0, 3.2, 0.0]);
/// The camera looks at the ground seven units ahead.
const LOOKED_AT: f32 = 7.0;
/// Focal length in image widths.
const FOCAL: f32 = 1.05;
/// Depths above it are unknown, as to a sensor: no object is as far, and the ground grows without
/// end towards the horizon.
const RANGE: f32 = 20.0;

/// x points right, y up, z away from the camera; the ground is `y = 0`.
#[derive(Debug)]
pub(super) struct SceneCount {
    objects: Vec<Object>,
    light: Light,
    gain: f32,
    backdrop: Backdrop,
}

impl SceneCount {
    /// Decides what image `index` shows.
    pub(super) fn describe(config: &ScenesConfig, index: usize) -> Self {
        let mut rng = sample_rng(config.seed, Purpose::Scene, FAMILY, index as u64);
        let rng = &mut rng;
        let count = 1 + below(rng, MAX_OBJECTS);
        Self {
            objects: place(count, rng),
            light: Light::describe(rng),
            gain: draw(rng, 0.75, 1.15),
            backdrop: Backdrop::describe(config.background, rng),
        }
    }

    pub(super) fn labels(&self) -> SceneLabels {
        let distance = |object: &Object| (object.center() - CAMERA).length();
        let nearest = self
            .objects
            .iter()
            .min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let nearest = nearest.expect("a scene has at least one object");
        let bin = DISTANCE_EDGES.partition_point(|&edge| edge <= distance(nearest));
        SceneLabels::Objects {
            count: self.objects.len() as u32 - 1,
            distance: bin as u32,
            hero: nearest.shape_and_material(),
        }
    }

    pub(super) fn render(
        &self,
        config: &ScenesConfig,
        index: usize,
    ) -> Result<RgbImage8, DataError> {
        render(config, FAMILY, index, self.gain, |x, y| self.shade(x, y))
    }

    /// Shape and material of the object at a point of the image, as of
    /// [`SceneLabels::Objects::hero`].
    pub(super) fn object_at(&self, x: f32, y: f32) -> Option<u32> {
        let (_, _, object) = self.hit(ray(x, y))?;
        Some(object.shape_and_material())
    }

    /// How far what a point of the image shows is along the axis of the camera, in metres; unknown
    /// beyond [`RANGE`].
    pub(super) fn depth_at(&self, x: f32, y: f32) -> f32 {
        let ray = ray(x, y);
        let object = self.hit(ray).map(|(distance, ..)| distance);
        let point = object.or_else(|| to_ground(ray));
        let depth = point.map(|distance| depth(CAMERA + ray * distance));
        depth.filter(|&it| it <= RANGE).unwrap_or(Depth::UNKNOWN)
    }

    /// How far the nearest object is on a ray from the camera, its normal there, and itself.
    fn hit(&self, ray: Vector) -> Option<(f32, Vector, &Object)> {
        let mut nearest: Option<(f32, Vector, &Object)> = None;
        for object in &self.objects {
            if let Some((distance, normal)) = object.hit(CAMERA, ray)
                && nearest.is_none_or(|(best, ..)| distance < best)
            {
                nearest = Some((distance, normal, object));
            }
        }
        nearest
    }

    fn shade(&self, x: f32, y: f32) -> Color {
        let ray = ray(x, y);
        if let Some((_, normal, object)) = self.hit(ray) {
            return object.color(normal, ray, &self.light);
        }
        let behind = self.backdrop.at(x, y);
        let Some(distance) = to_ground(ray) else {
            return behind;
        };
        let ground = CAMERA + ray * distance;
        let open: f32 = self
            .objects
            .iter()
            .map(|object| object.daylight(ground))
            .product();
        scaled(behind, open)
    }
}

/// The unit direction through a point of the image, both coordinates from 0 to 1.
fn ray(x: f32, y: f32) -> Vector {
    let [right, up] = [x - 0.5, 0.5 - y];
    let long = (CAMERA.0[1] * CAMERA.0[1] + LOOKED_AT * LOOKED_AT).sqrt();
    let (sine, cosine) = (CAMERA.0[1] / long, LOOKED_AT / long);
    Vector([
        right,
        up * cosine - FOCAL * sine,
        up * sine + FOCAL * cosine,
    ])
    .unit()
}

/// How far the ground is on a ray from the camera; none for a ray that does not fall.
fn to_ground(ray: Vector) -> Option<f32> {
    (ray.0[1] < 0.0).then(|| -CAMERA.0[1] / ray.0[1])
}

/// How far a point is along the axis of the camera.
fn depth(point: Vector) -> f32 {
    let seen = point - CAMERA;
    let long = (CAMERA.0[1] * CAMERA.0[1] + LOOKED_AT * LOOKED_AT).sqrt();
    (seen.0[2] * LOOKED_AT - seen.0[1] * CAMERA.0[1]) / long
}

/// Whether the image shows the point, with a margin of a twentieth of its width at the sides.
fn in_view(point: Vector) -> bool {
    let right = (point - CAMERA).0[0];
    (right * FOCAL / depth(point)).abs() < 0.45
}

/// Puts `count` objects on the ground, none touching another and every centre in the image.
fn place(count: usize, rng: &mut ChaCha8Rng) -> Vec<Object> {
    let mut objects: Vec<Object> = Vec::with_capacity(count);
    let mut tries = 0;
    while objects.len() < count {
        let candidate = Object::describe(rng);
        let apart = |other: &Object| {
            let [dx, _, dz] = (other.center() - candidate.center()).0;
            let gap = other.radius() + candidate.radius() + 0.15;
            dx * dx + dz * dz > gap * gap
        };
        if in_view(candidate.center()) && objects.iter().all(apart) {
            objects.push(candidate);
        }
        tries += 1;
        // Early objects can leave no room for the last ones: start again.
        if tries % 200 == 0 {
            objects.clear();
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the image shows a point, both coordinates from 0 to 1.
    fn shown_at(point: Vector) -> [f32; 2] {
        let long = CAMERA.0[1].hypot(LOOKED_AT);
        let [right, up, ahead] = (point - CAMERA).0;
        let above = (up * LOOKED_AT + ahead * CAMERA.0[1]) / long;
        let scale = FOCAL / depth(point);
        [0.5 + right * scale, 0.5 - above * scale]
    }

    #[test]
    fn depths_are_those_of_the_nearest_object_and_of_the_ground() {
        let config: ScenesConfig = "kind=distance,n=40,size=32".parse().unwrap();
        let mut open = 0;
        for index in 0..config.n {
            let scene = SceneCount::describe(&config, index);
            let by_depth = |a: &&Object, b: &&Object| {
                let of = |object: &Object| depth(object.center());
                of(a).total_cmp(&of(b))
            };
            let nearest = scene.objects.iter().min_by(by_depth).unwrap();
            let [x, y] = shown_at(nearest.center());
            // Nothing hides the centre of the nearest one; its surface is in front of it, by no
            // more than its farthest point, 1.42 radii away.
            let found = scene.depth_at(x, y);
            let center = depth(nearest.center());
            let reach = 1.42 * nearest.radius();
            assert!(
                (center - reach..center).contains(&found),
                "{found} {center}"
            );
            // The point of the ground that the camera looks at; a row has one depth, but not one
            // distance; and the ground is farther than the range long before the horizon.
            let ground = |x, y| {
                let is_open = scene.object_at(x, y).is_none();
                is_open.then(|| scene.depth_at(x, y))
            };
            if let [Some(straight), Some(side)] = [ground(0.5, 0.5), ground(0.02, 0.5)] {
                let expected = CAMERA.0[1].hypot(LOOKED_AT);
                assert!((straight - expected).abs() < 1e-4, "{straight}");
                assert!((side - expected).abs() < 1e-4, "{side}");
                open += 1;
            }
            assert_eq!(ground(0.5, 0.1).unwrap_or_default(), Depth::UNKNOWN, "46 m");
            assert_eq!(scene.depth_at(0.5, 0.0), Depth::UNKNOWN, "the sky");
        }
        assert!(open > 10, "{open}");
    }
}
