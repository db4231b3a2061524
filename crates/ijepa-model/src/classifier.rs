//! An encoder with a classification head: what fine-tuning trains and leaves behind.

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};

use crate::{
    Compute, Initialization, Normalization, StochasticDepth, VisionTransformer,
    VisionTransformerConfig, features::mean_over_tokens, init::Initializer, kernels::on_workers,
};

/// Standard deviation of the head's initial weights (MAE's fine-tuning).
const HEAD_STD: f64 = 2e-5;

/// Everything but weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Sizes of the encoder.
    pub encoder: VisionTransformerConfig,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Channel statistics of the images.
    pub normalization: Normalization,
}

/// Mean of the tokens, layer norm, linear head (paper appendix A.2 and D, after MAE).
///
/// In files the parameters have timm's names: those of the encoder, `fc_norm` and `head`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use ijepa_model::{Classifier, Normalization, VisionTransformerConfig};
///
/// let device = Device::flex();
/// let encoder =
///     VisionTransformerConfig::variant("vit_ti16")?.with_image_size([32, 32]).init(&device);
/// let classes = ["cat", "dog"].map(str::to_owned).to_vec();
/// let classifier = Classifier::new(encoder, classes, Normalization::IMAGENET, 0);
/// let logits = classifier.forward(Tensor::zeros([4, 3, 32, 32], &device));
/// assert_eq!(logits.dims(), [4, 2]);
/// # Ok::<(), ijepa_model::ConfigError>(())
/// ```
#[derive(Module, Debug)]
pub struct Classifier {
    /// The encoder. Its final norm is `fc_norm`: it begins anew and follows the mean over the
    /// tokens instead of preceding it.
    pub encoder: VisionTransformer,
    /// From the normed mean to one logit per class.
    pub head: Linear,
    #[module(skip)]
    classes: Vec<String>,
    #[module(skip)]
    normalization: Normalization,
}

impl Classifier {
    /// A classifier whose norm and head have not been trained, on the encoder's device.
    pub fn new(
        mut encoder: VisionTransformer,
        classes: Vec<String>,
        normalization: Normalization,
        seed: u64,
    ) -> Self {
        let device = encoder.pos_embed.lazy_device();
        let dim = encoder.embed_dim();
        let init = Initialization {
            seed,
            ..Initialization::default()
        };
        let mut init = Initializer::head(init, &device);
        encoder.norm = init.layer_norm(dim, encoder.config().layer_norm_eps);
        Self {
            encoder,
            head: init.linear_with_std(dim, classes.len(), HEAD_STD),
            classes,
            normalization,
        }
    }

    /// A classifier to load weights into.
    pub(crate) fn of_config(config: ClassifierConfig, device: &Device) -> Self {
        let encoder = config.encoder.init(device);
        Self::new(encoder, config.classes, config.normalization, 0)
    }

    /// Everything but the weights.
    pub fn config(&self) -> ClassifierConfig {
        ClassifierConfig {
            encoder: self.encoder.config().clone(),
            classes: self.classes.clone(),
            normalization: self.normalization,
        }
    }

    /// Names of the classes, in the order of the logits.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Channel statistics of the images it takes.
    pub fn normalization(&self) -> Normalization {
        self.normalization
    }

    /// The same classifier computed in another way.
    pub fn with_compute(mut self, compute: Compute) -> Self {
        self.encoder = self.encoder.with_compute(compute);
        self
    }

    /// Logits of every image.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - output: `[batch, classes]`
    ///
    /// # Panics
    ///
    /// Panics if the images have not the size of the encoder's configuration.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward_training(images, None)
    }

    /// As [`forward`](Self::forward), with residual branches dropped by the numbers of `depth` at
    /// the rate of the encoder's configuration.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn forward_training(
        &self,
        images: Tensor<4>,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<2> {
        let encoder = &self.encoder;
        let compute = encoder.compute();
        on_workers(&images.device(), || {
            let tokens = encoder.forward_blocks(images, None, depth);
            let pooled = mean_over_tokens(tokens).unsqueeze_dim(1);
            let normed = encoder.final_norm(pooled);
            compute.linear(&self.head, normed).squeeze_dim(1)
        })
    }
}
