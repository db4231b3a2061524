//! Pictures of what I-JEPA's encoders and predictors represent, fit for a paper.
//!
//! ```
//! use burn::tensor::Device;
//! use ijepa_data::{DataSpec, Preprocess, Reading, evenly_spread};
//! use ijepa_eval::pick_images;
//! use ijepa_masking::Block;
//! use ijepa_model::{IJepaConfig, Initialization, PredictorConfig, VisionTransformerConfig};
//! use ijepa_viz::{Networks, PcaConfig, PredictionConfig, block_masks, pca, png, predictor};
//!
//! // Initial weights need no download; Networks::load takes those of a checkpoint.
//! let device = Device::flex();
//! let encoder = VisionTransformerConfig::new([32, 32], 8, 24, 2, 3);
//! let sizes = IJepaConfig { encoder, predictor: PredictorConfig::new(12, 1) };
//! let model = sizes.init(Initialization::default(), &device);
//! let networks = Networks { target: model.encoder.clone(), model };
//!
//! let source = "scenes:kind=texture,n=20,size=32".parse::<DataSpec>()?.open()?;
//! let indices = evenly_spread(source.len(), 3);
//! let (how, reading) = (Preprocess::Eval, Reading::default());
//! let picked = pick_images(source.as_ref(), &indices, how, [32, 32], reading)?;
//!
//! let drawn = pca(&networks.target, &picked.images, &PcaConfig::default(), &device)?;
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(&folder)?;
//! std::fs::write("pca.png", png(&drawn.picture))?;
//!
//! let block = Block { top: 1, left: 1, height: 2, width: 2 };
//! let masks = block_masks(networks.target.grid(), block, picked.images.len())?;
//! let config = PredictionConfig::default();
//! let drawn = predictor(&networks, &picked.images, &masks, None, &config, &device, |_| ())?;
//! println!("own place: {:.1}, by chance {:.1}", drawn.mean.rank, drawn.mean.rank_chance);
//! # assert!(drawn.mean.rank >= 1.0 && drawn.mean.rank_chance == 8.5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! - [`pca`] shows the principal components of patch features as colours.
//! - [`attention`] shows how much each patch is attended to.
//! - [`predictor`] shows what the predictor makes of a hidden block, with the patches of a data
//!   set that this is like; [`nearest_patches`] finds those of any feature.
//! - [`rcdm`] trains a diffusion model that makes images of representations.
//!
//! Functions that need a network take the [`Device`](burn::tensor::Device) they compute on and
//! return the numbers beside the picture; [`png`] makes a file of one. Equal arguments give equal
//! pictures.

mod attention;
mod color_map;
mod contact_sheet;
mod error;
mod frame;
mod grid;
mod pca;
mod predictor;
pub mod rcdm;

pub use attention::{
    AttentionConfig, AttentionMap, AttentionPicture, HeadAttention, ImageAttention, attention,
};
pub use color_map::magma;
pub use contact_sheet::contact_sheet;
pub use error::VizError;
pub use grid::block_masks;
pub use ijepa_report::png;
pub use pca::{PcaConfig, PcaPicture, pca};
pub use predictor::{
    MeanPrediction, NearPatch, NeighbourSearch, Neighbours, Networks, PatchPrediction, Prediction,
    PredictionConfig, PredictionMeans, PredictorPicture, nearest_patches, predictor,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
