//! What `config.json` and `preprocessor_config.json` say.

mod write;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use write::write;

use super::{error::CheckpointError, infer, json};
use crate::{Normalization, PerChannel, VisionTransformerConfig, encoder::rgb_channels};

pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";

const EVALUATION_MARGIN: f64 = 256.0 / 224.0;

/// How images get the size of an encoder, as its folder says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Height and width each to their own size.
    Squash,
    /// The short side to `margin` times the size, then the centre.
    Crop {
        /// At least 1.
        margin: f64,
    },
    /// Images have the size already.
    None,
}

impl Resize {
    /// How encoders are evaluated whose files do not say it: the short side to 256 pixels for 224,
    /// then the centre.
    pub const EVALUATION: Self = Self::Crop {
        margin: EVALUATION_MARGIN,
    };

    /// Whether images resized so fill the encoder's input.
    pub(crate) fn is_possible(&self) -> bool {
        match self {
            Self::Crop { margin } => *margin >= 1.0 && margin.is_finite(),
            Self::Squash | Self::None => true,
        }
    }
}

/// How images become the input of an encoder.
#[derive(Debug, Default)]
pub(crate) struct Preprocessing {
    pub(crate) normalization: Option<Normalization>,
    pub(crate) resize: Option<Resize>,
    pub(crate) warnings: Vec<String>,
}

/// The two kinds of `config.json`.
pub(crate) enum FolderConfig {
    Transformers(VisionTransformerConfig),
    Timm(Timm),
}

/// What `timm` says beside the name of an architecture; sizes are those of the tensors.
#[derive(Debug)]
pub(crate) struct Timm {
    pub(crate) num_heads: Option<usize>,
    pub(crate) preprocessing: Preprocessing,
}

/// Reads `config.json`.
pub(crate) fn read(path: &Path) -> Result<FolderConfig, CheckpointError> {
    let found: Value = json::read_json(path)?;
    let wrong = |source| CheckpointError::Json {
        path: path.into(),
        source,
    };
    if found.get("architecture").is_some() && found.get("hidden_size").is_none() {
        let config: TimmConfig = serde_json::from_value(found).map_err(wrong)?;
        return Ok(FolderConfig::Timm(config.into()));
    }
    let config: Transformers = serde_json::from_value(found).map_err(wrong)?;
    config.into_encoder(path).map(FolderConfig::Transformers)
}

/// What we need of the `config.json` of `transformers`.
#[derive(Deserialize)]
struct Transformers {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    image_size: Side,
    patch_size: usize,
    #[serde(default = "rgb_channels")]
    num_channels: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    qkv_bias: Option<bool>,
}

/// `image_size` is a number or a pair.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Side {
    Square(usize),
    Rectangle([usize; 2]),
}

impl Transformers {
    fn into_encoder(self, path: &Path) -> Result<VisionTransformerConfig, CheckpointError> {
        let unsupported = |key, found: String, expected| CheckpointError::Unsupported {
            path: path.into(),
            key,
            found,
            expected,
        };
        if self.hidden_act != "gelu" {
            return Err(unsupported("hidden_act", self.hidden_act, "gelu"));
        }
        if self.qkv_bias == Some(false) {
            return Err(unsupported("qkv_bias", "false".into(), "true"));
        }
        if self.hidden_size == 0 {
            return Err(unsupported("hidden_size", "0".into(), "a positive width"));
        }
        let image_size = match self.image_size {
            Side::Square(side) => [side, side],
            Side::Rectangle(sides) => sides,
        };
        let config = VisionTransformerConfig {
            image_size,
            patch_size: self.patch_size,
            in_chans: self.num_channels,
            embed_dim: self.hidden_size,
            depth: self.num_hidden_layers,
            num_heads: self.num_attention_heads,
            mlp_ratio: infer::mlp_ratio(self.hidden_size, self.intermediate_size),
            drop_path: 0.0,
            layer_norm_eps: self.layer_norm_eps,
        };
        infer::checked(config, path)
    }
}

#[derive(Deserialize)]
struct TimmConfig {
    #[serde(default)]
    model_args: ModelArgs,
    pretrained_cfg: Option<PretrainedConfig>,
}

#[derive(Default, Deserialize)]
struct ModelArgs {
    num_heads: Option<usize>,
}

#[derive(Deserialize)]
struct PretrainedConfig {
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    interpolation: Option<String>,
}

impl From<TimmConfig> for Timm {
    fn from(config: TimmConfig) -> Self {
        let mut preprocessing = Preprocessing::default();
        if let Some(found) = config.pretrained_cfg {
            preprocessing.normalization = statistics(found.mean.as_deref(), found.std.as_deref());
            let squashes = found.crop_mode.as_deref() == Some("squash");
            preprocessing.resize = match found.crop_pct {
                _ if squashes => Some(Resize::Squash),
                Some(share) if share > 0.0 && share <= 1.0 => Some(Resize::Crop {
                    margin: 1.0 / share,
                }),
                _ => None,
            };
            let asked = found.interpolation.as_deref();
            preprocessing.warnings = other_filter(asked, preprocessing.resize);
        }
        Self {
            num_heads: config.model_args.num_heads,
            preprocessing,
        }
    }
}

/// The statistics, if there are as many of both and no more than images have channels.
fn statistics(mean: Option<&[f32]>, std: Option<&[f32]>) -> Option<Normalization> {
    let (mean, std) = (PerChannel::new(mean?)?, PerChannel::new(std?)?);
    (mean.len() == std.len()).then_some(Normalization { mean, std })
}

/// What we need of `preprocessor_config.json`.
#[derive(Deserialize)]
struct Preprocessor {
    image_mean: Option<Vec<f32>>,
    image_std: Option<Vec<f32>>,
    do_normalize: Option<bool>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    size: Option<ImageSize>,
    crop_size: Option<ImageSize>,
    resample: Option<u8>,
}

/// A side, or an object with one of its spellings.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum ImageSize {
    Side(usize),
    Exact { height: usize, width: usize },
    Shortest { shortest_edge: usize },
}

/// Pillow's numbers of interpolations.
const FILTERS: [&str; 6] = [
    "nearest", "lanczos", "bilinear", "bicubic", "box", "hamming",
];
const BILINEAR: u8 = 2;
const BICUBIC: u8 = 3;

/// A warning if images are to be resized with another filter than the one that `resize` has here.
fn other_filter(asked: Option<&str>, resize: Option<Resize>) -> Vec<String> {
    let used = match resize {
        Some(Resize::Squash) => "bilinear",
        Some(Resize::Crop { .. }) => "bicubic",
        Some(Resize::None) | None => return Vec::new(),
    };
    let other = asked.filter(|asked| *asked != used);
    let warning = |asked| {
        format!(
            "the weights ask for images resized by {asked} interpolation; they are resized by {used} interpolation"
        )
    };
    other.map(warning).into_iter().collect()
}

impl Preprocessor {
    /// What no image can be scaled or normalised by: the key, what it is and what it could be.
    fn impossible(&self) -> Option<(&'static str, String, &'static str)> {
        if self.do_rescale != Some(false) && self.rescale_factor == Some(0.0) {
            return Some(("rescale_factor", "0".to_owned(), "another number than 0"));
        }
        if self.do_normalize == Some(false) {
            return None;
        }
        let (mean, std) = (self.image_mean.as_ref()?, self.image_std.as_ref()?);
        if std.contains(&0.0) {
            return Some(("image_std", "0".to_owned(), "numbers other than 0"));
        }
        let found = format!("{} numbers", mean.len());
        (mean.len() != std.len()).then_some(("image_mean", found, "as many as `image_std` has"))
    }

    /// The statistics for values in `[0, 1]`, whatever range the processor scales bytes to.
    fn normalization(&self) -> Option<Normalization> {
        let Normalization { mean, std } = match self.do_normalize {
            Some(false) => Normalization::NONE,
            _ => statistics(self.image_mean.as_deref(), self.image_std.as_deref())?,
        };
        let factor = match self.do_rescale {
            Some(false) => 1.0,
            _ => self.rescale_factor.unwrap_or(1.0 / 255.0),
        };
        let rescaled = |values: &[f32]| -> Option<PerChannel> {
            let values = values.iter();
            let values: Vec<f32> = values
                .map(|&value| (f64::from(value) / (255.0 * factor)) as f32)
                .collect();
            PerChannel::new(&values)
        };
        let (mean, std) = (rescaled(&mean)?, rescaled(&std)?);
        Some(Normalization { mean, std })
    }

    fn resize(&self) -> Option<Resize> {
        if self.do_resize == Some(false) {
            return Some(Resize::None);
        }
        let cropped = match (self.do_center_crop, self.crop_size) {
            (Some(false), _) => None,
            (_, Some(ImageSize::Side(side))) => Some(side),
            (_, Some(ImageSize::Exact { height, width })) => Some(height.max(width)),
            _ => None,
        };
        match (self.size?, cropped) {
            (ImageSize::Shortest { shortest_edge }, cropped) => {
                let margin = cropped.map_or(1.0, |side| margin(shortest_edge, side));
                Some(Resize::Crop { margin }).filter(Resize::is_possible)
            }
            _ => Some(Resize::Squash),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let name = |filter: u8| FILTERS.get(usize::from(filter)).copied();
        let asked = self
            .resample
            .map(|filter| name(filter).unwrap_or("unknown"));
        other_filter(asked, self.resize())
    }
}

/// The margin of a short side before `side` pixels are cut out: that of evaluation if it is rounded
/// to this edge, so that it is the same at other sizes.
fn margin(shortest_edge: usize, side: usize) -> f64 {
    match shortest_edge == edge(side, EVALUATION_MARGIN) {
        true => EVALUATION_MARGIN,
        false => shortest_edge as f64 / side as f64,
    }
}

/// The short side that `side` pixels are cut out of.
fn edge(side: usize, margin: f64) -> usize {
    (side as f64 * margin).round() as usize
}

/// What the `preprocessor_config.json` beside `config` says, if there is one.
pub(crate) fn read_preprocessing(config: &Path) -> Result<Preprocessing, CheckpointError> {
    let path = config.with_file_name(PREPROCESSOR);
    if !path.is_file() {
        return Ok(Preprocessing::default());
    }
    let found: Preprocessor = json::read_json(&path)?;
    if let Some((key, found, expected)) = found.impossible() {
        return Err(CheckpointError::Unsupported {
            path,
            key,
            found,
            expected,
        });
    }
    Ok(Preprocessing {
        normalization: found.normalization(),
        resize: found.resize(),
        warnings: found.warnings(),
    })
}
