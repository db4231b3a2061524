//! Images rendered by code: data with exact labels that needs no download.

mod canvas;
mod config;
mod part_shape;
mod scene_count;

pub use config::{Background, SceneKind, ScenesConfig};

use crate::fetch::{FetchError, Fetched};
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
        Ok(Fetched::Pixels(image?))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
