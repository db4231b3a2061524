//! Judges an encoder by its frozen features (linear probes, kNN classification, effective rank)
//! or by fine-tuning.
//!
//! ```
//! use burn::tensor::Device;
//! use ijepa_data::DataSpec;
//! use ijepa_eval::{ExtractConfig, KnnConfig, extract, knn, rank_report};
//! use ijepa_model::VisionTransformerConfig;
//!
//! // Rendered images and random weights need no download; see VisionTransformer::from_pretrained.
//! let device = Device::flex();
//! let encoder = VisionTransformerConfig::new([32, 32], 8, 48, 2, 3).init(&device);
//! let features = |spec: &str| -> Result<_, ijepa_eval::Error> {
//!     let source = spec.parse::<DataSpec>()?.open()?;
//!     Ok(extract(&encoder, source.as_ref(), &ExtractConfig::default(), &device)?.features)
//! };
//! let train = features("scenes:kind=texture,n=200,size=32,seed=0")?;
//! let test = features("scenes:kind=texture,n=50,size=32,seed=1")?;
//!
//! let config = KnnConfig { ks: vec![10, 20], ..KnnConfig::default() };
//! let report = knn(&train, &test, &config, &device)?;
//! println!("top-1 with 20 neighbours: {:.1} %", report.k[&20].top1);
//! println!("RankMe {:.1} of {}", rank_report(&train).rankme, train.dim());
//! # assert!(report.k[&20].top1 <= report.k[&20].top5);
//! # Ok::<(), ijepa_eval::Error>(())
//! ```
//!
//! # Overview
//!
//! - [`extract`] turns the images of a source into [`Features`], one row per image, and lists
//!   the images that cannot be read; [`embed`] writes them to a file as they are computed, which
//!   [`read_features`] reads; [`extract_pixels`] is the baseline without an encoder.
//! - [`knn`] classifies test images by their nearest training images, DINO's protocol;
//!   [`Whitening`] gives all directions the same weight first.
//! - [`probe`] trains linear heads on features, [`probe_augmented`] on images that change every
//!   epoch; a [`Protocol`] is a published one, or attentive heads on patches. [`logistic`] solves logistic regression.
//! - [`dense`] trains linear segmentation of patches and gives its mean intersection over union,
//!   [`depth()`] linear regression of depths and its errors.
//! - [`Baselines`] sets a trained encoder beside random weights and pixels; [`EpochEvaluation`]
//!   makes them and watches a run.
//! - A [`FeatureCache`] keeps features on disk.
//! - [`rank_report`] needs no labels: RankMe and the spread of the features. [`masked_views`] with
//!   [`alignment`] and [`lidar`] compare views of an image, [`uniformity`] directions.
//! - An [`Observer`](ijepa_train::run::Observer) of your own reads a [`Subset`] of the images that
//!   are [`Stoppable`].
//! - A [`Study`](study::Study) trains changed recipes with several seeds and compares them; the
//!   paper's tables 6 to 14 are studies, too.
//! - [`finetune()`] trains an encoder and a new head on labels; [`evaluate`] judges the result.
//!
//! Every function takes the [`Device`](burn::tensor::Device) it computes on, and every result is
//! a function of its arguments alone: threads and block sizes change nothing. Threads started
//! here read images and never touch a device.

mod accuracy;
mod baselines;
mod dense;
mod during_training;
mod error;
mod features;
pub mod finetune;
mod knn;
mod labels;
mod linalg;
mod logistic;
mod patch_colors;
mod picked;
mod probe;
mod progress;
mod rank;
mod search;
mod side_by_side;
mod stop;
pub mod study;
mod subset;
mod views;
mod whitening;

pub use accuracy::Accuracy;
pub use baselines::{Baselines, Neighbours, Worth};
pub use dense::{
    DenseConfig, DenseError, DenseHead, DenseHeadReport, DenseReport, DenseSet, DepthHeadReport,
    DepthReport, DepthScores, check_depths, check_masks, dense, depth,
};
pub use during_training::EpochEvaluation;
pub use error::Error;
pub use features::{
    Embedded, Embedder, ExtractConfig, ExtractError, Extracted, FeatureCache, FeatureFileError,
    FeatureFormat, Features, FeaturesError, PixelBatch, StoredFeatures, WidthError, decoding_of,
    default_normalization, embed, embed_together, extract, extract_pixels, extract_together,
    extract_with_progress, for_each_batch, natural_size, networks_digest, preprocess_of,
    read_features, read_names, weights_digest,
};
pub use finetune::{
    FinetuneData, FinetuneError, FinetunePlan, FinetuneRecipe, FinetuneSummary, evaluate, finetune,
};
pub use knn::{KnnConfig, KnnError, KnnReport, knn};
pub use labels::{LabelsError, Split, check_labels, check_voters, with_classes_of};
pub use logistic::{LogisticConfig, logistic};
pub use patch_colors::{Components, PatchColors, patch_colors};
pub use picked::{Picked, PickedImage, image_tensor, patch_features, pick_images};
pub use probe::{
    HeadChoice, HeadNorm, HeadReport, LrSchedule, Pool, Pools, ProbeConfig, ProbeError,
    ProbeOptimizer, ProbeReport, Protocol, probe, probe_augmented, probe_with_progress,
};
pub use progress::{Progress, ProgressUnit};
pub use rank::{
    Centering, RankReport, effective_rank, feature_std, lidar, rank_report, rankme, singular_values,
};
pub use search::{SearchIndex, Similar};
pub use stop::{Stoppable, unless_stopped};
pub use subset::Subset;
pub use views::{alignment, masked_views, uniformity};
pub use whitening::Whitening;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
