//! Features of images in memory.

use burn::tensor::Device;
use ijepa_model::VisionTransformer;

use super::{
    ExtractConfig, ExtractError,
    extract::{on_images, values},
};

/// What an [`Embedder`] computes.
type Compute = Box<dyn FnMut(&[u8], usize) -> Vec<f32> + Send>;

/// A frozen encoder that turns pixels into features, for whoever has images in memory: a service,
/// another program.
///
/// ```
/// use burn::tensor::Device;
/// use ijepa_eval::{Embedder, ExtractConfig};
/// use ijepa_model::VisionTransformerConfig;
///
/// let config = VisionTransformerConfig::variant("vit_ti16")?.with_image_size([32, 32]);
/// let device = Device::flex();
/// let mut embedder = Embedder::new(&config.init(&device), ExtractConfig::default(), &device)?;
/// let features = embedder.embed(&[128; 2 * 32 * 32 * 3]);
/// assert_eq!(features.len(), 2 * embedder.dim());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Embedder {
    image_size: [usize; 2],
    /// Bytes of an image.
    image_bytes: usize,
    config: ExtractConfig,
    dim: usize,
    compute: Compute,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder")
            .field("image_size", &self.image_size)
            .field("config", &self.config)
            .field("dim", &self.dim)
            .finish_non_exhaustive()
    }
}

impl Embedder {
    /// The features that [`extract`](super::extract()) computes with this configuration, on
    /// `device`.
    ///
    /// # Errors
    ///
    /// An [`ExtractError`] if the configuration cannot be used with this encoder.
    pub fn new(
        encoder: &VisionTransformer,
        config: ExtractConfig,
        device: &Device,
    ) -> Result<Self, ExtractError> {
        config.check(encoder)?;
        let pooling = config.pooling;
        let [height, width] = encoder.config().image_size;
        let pooled = move |encoder: &VisionTransformer, images| {
            values(encoder.forward_pooled(images, pooling))
        };
        Ok(Self {
            image_size: [height, width],
            image_bytes: height * width * config.reading.decoding.pixel_bytes(),
            config,
            dim: config.dim(encoder),
            compute: Box::new(on_images(encoder, &config, device, pooled)),
        })
    }

    /// `[height, width]` of the images.
    pub fn image_size(&self) -> [usize; 2] {
        self.image_size
    }

    /// Bytes of an image.
    pub fn image_bytes(&self) -> usize {
        self.image_bytes
    }

    /// Features of an image.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The features of images that have the encoder's size and channels.
    ///
    /// # Shapes
    ///
    /// - `pixels`: `[images, height, width, channels]`, as [`ijepa_data::Image::bytes`] gives them
    /// - output: `[images, dim]`
    ///
    /// # Panics
    ///
    /// Panics if `pixels` are no whole number of images.
    pub fn embed(&mut self, pixels: &[u8]) -> Vec<f32> {
        let (image, found) = (self.image_bytes, pixels.len());
        assert!(
            found.is_multiple_of(image),
            "{found} bytes are no whole number of images of {image}"
        );
        match found / image {
            0 => Vec::new(),
            images => (self.compute)(pixels, images),
        }
    }
}
