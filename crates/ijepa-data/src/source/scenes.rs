//! Images rendered by code: data with exact labels that needs no download.

mod canvas;
mod config;
mod part_shape;
mod scene_count;

pub use config::{Background, SceneKind, ScenesConfig};

use crate::depth::Depth;
use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::mask::Mask;
use crate::source::Source;
use part_shape::PartShape;
use scene_count::SceneCount;

/// Everything that is known about one rendered image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SceneLabels {
    /// A scene with several objects on a plane.
    Objects {
        /// Number of objects less one, `0..8`.
        count: u32,
        /// How far the nearest object is, in six classes of about equal size from near to far.
        distance: u32,
        /// The nearest object's shape (sphere, cube, cylinder) times two, plus 1 if it is metal.
        hero: u32,
    },
    /// One large shape with a texture.
    Part {
        /// The silhouette, `0..10`.
        shape: u32,
        /// The texture, `0..5`.
        texture: u32,
    },
}

/// Images rendered on demand; image `index` depends on the configuration and `index` only.
///
/// [`SceneKind::Count`] and [`SceneKind::Distance`] show the same scenes in the manner of CLEVR:
/// one to eight spheres, cubes and cylinders on a plane, and differ in the label only, as do
/// [`SceneKind::Shape`] and [`SceneKind::Texture`], which show one large textured silhouette. In
/// the latter every part of the object can be told from the rest of it, which is what masked
/// prediction rewards, while colours mean nothing.
///
/// # Examples
///
/// ```
/// use ijepa_data::{ScenesConfig, ScenesSource, Source};
///
/// let scenes = ScenesSource::new(ScenesConfig { n: 100, ..ScenesConfig::default() });
/// let image = scenes.read(0)?;
/// assert_eq!((image.width(), image.height()), (64, 64));
/// println!("{}", scenes.classes()[scenes.label(0).unwrap_or(0) as usize]);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScenesSource {
    config: ScenesConfig,
    classes: Vec<String>,
}

impl ScenesSource {
    /// Prepares the images of `config`; nothing is rendered yet.
    pub fn new(config: ScenesConfig) -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let classes = match config.kind {
            SceneKind::Count => (1..=scene_count::MAX_OBJECTS)
                .map(|n| n.to_string())
                .collect(),
            SceneKind::Distance => (0..=scene_count::DISTANCE_EDGES.len())
                .map(|bin| format!("distance-{bin}"))
                .collect(),
            SceneKind::Shape => names(&part_shape::SHAPES),
            SceneKind::Texture => names(&part_shape::TEXTURES),
        };
        Self { config, classes }
    }

    /// All labels of image `index`, whichever of them [`label`](Source::label) gives.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below the number of images.
    pub fn labels(&self, index: usize) -> SceneLabels {
        self.check(index);
        match self.config.kind {
            SceneKind::Count | SceneKind::Distance => {
                SceneCount::describe(&self.config, index).labels()
            }
            SceneKind::Shape | SceneKind::Texture => {
                PartShape::describe(&self.config, index).labels()
            }
        }
    }

    fn check(&self, index: usize) {
        assert!(index < self.config.n, "image {index} of {}", self.config.n);
    }
}

impl Source for ScenesSource {
    fn len(&self) -> usize {
        self.config.n
    }

    fn label(&self, index: usize) -> Option<u32> {
        let wanted = match (self.config.kind, self.labels(index)) {
            (SceneKind::Distance, SceneLabels::Objects { distance, .. }) => distance,
            (_, SceneLabels::Objects { count, .. }) => count,
            (SceneKind::Shape, SceneLabels::Part { shape, .. }) => shape,
            (_, SceneLabels::Part { texture, .. }) => texture,
        };
        Some(wanted)
    }

    fn name(&self, index: usize) -> String {
        self.check(index);
        format!(
            "scenes:kind={},seed={}#{index}",
            self.config.kind, self.config.seed
        )
    }

    fn is_computed(&self) -> bool {
        true
    }

    fn fetch(&self, index: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        self.check(index);
        let image = match self.config.kind {
            SceneKind::Count | SceneKind::Distance => {
                SceneCount::describe(&self.config, index).render(&self.config, index)
            }
            SceneKind::Shape | SceneKind::Texture => {
                PartShape::describe(&self.config, index).render(&self.config, index)
            }
        };
        Ok(Fetched::Pixels(image?.into()))
    }

    /// Class 0 is the background; that of an object is its shape or texture, or
    /// [`hero`](SceneLabels::Objects::hero) where there are several, plus 1.
    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        self.check(index);
        let config = &self.config;
        let classes = match config.kind {
            SceneKind::Count | SceneKind::Distance => {
                let scene = SceneCount::describe(config, index);
                let class = |object: u32| object as u8 + 1;
                canvas::at_centers(config.size, |x, y| scene.object_at(x, y).map_or(0, class))
            }
            SceneKind::Shape | SceneKind::Texture => {
                let part = PartShape::describe(config, index);
                let class = self.label(index).map_or(0, |label| label as u8 + 1);
                canvas::at_centers(config.size, |x, y| if part.shows(x, y) { class } else { 0 })
            }
        };
        Ok(Some(Mask::new([config.size; 2], classes)))
    }

    /// Depths along the axis of the camera, not along each ray, of objects and of the ground up to
    /// 20 m, a unit of the scene being 1 m; what is farther, the sky among it, is unknown. A single
    /// shape has none.
    fn depth(&self, index: usize) -> Result<Option<Depth>, DataError> {
        self.check(index);
        let config = &self.config;
        Ok(match config.kind {
            SceneKind::Count | SceneKind::Distance => {
                let scene = SceneCount::describe(config, index);
                let metres = canvas::at_centers(config.size, |x, y| scene.depth_at(x, y));
                Some(Depth::new([config.size; 2], metres))
            }
            SceneKind::Shape | SceneKind::Texture => None,
        })
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scenes_with_objects_have_depths() {
        let depth = |kind: &str| {
            let config = format!("kind={kind},n=1,size=32").parse().unwrap();
            ScenesSource::new(config).depth(0).unwrap()
        };
        assert_eq!((depth("texture"), depth("shape")), (None, None));
        let found = depth("distance").unwrap();
        assert_eq!((found.size(), depth("count").unwrap()), ([32, 32], found));
    }

    #[test]
    fn masks_show_the_background_and_what_is_labelled() {
        for kind in ["texture", "shape", "count", "distance"] {
            let config = format!("kind={kind},n=4,size=32").parse().unwrap();
            let scenes = ScenesSource::new(config);
            for index in 0..4 {
                let mask = scenes.mask(index).unwrap().unwrap();
                assert_eq!(mask.size(), [32, 32]);
                let shown: std::collections::BTreeSet<u8> =
                    mask.classes().iter().copied().collect();
                assert!(shown.contains(&0) && shown.len() > 1, "{kind}: {shown:?}");
                match scenes.labels(index) {
                    SceneLabels::Part { .. } => {
                        let label = scenes.label(index).unwrap() as u8;
                        assert_eq!(shown, [0, label + 1].into());
                    }
                    SceneLabels::Objects { count, hero, .. } => {
                        assert!(shown.contains(&(hero as u8 + 1)), "{shown:?}");
                        assert!(shown.len() <= count as usize + 2);
                    }
                }
            }
        }
    }
}
