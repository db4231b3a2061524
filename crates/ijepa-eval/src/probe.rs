//! Heads on frozen features.

mod attentive;
mod batches;
mod config;
mod error;
mod heads;
mod pools;
mod protocol;
mod report;

use std::ops::Range;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{ClassifierAugment, Loader, LoaderConfig, Source};
use ijepa_model::{VisionTransformer, kernels::on_workers};

pub use config::{HeadNorm, LrSchedule, ProbeConfig, ProbeOptimizer};
pub(crate) use config::{check, check_rates};
pub use error::ProbeError;
pub use pools::{Pool, Pools};
pub use protocol::Protocol;
pub use report::{HeadChoice, HeadReport, ProbeReport};
pub(crate) use report::{first_best, of_finite};

use crate::accuracy::{Hits, place};
use crate::features::{ExtractConfig, Features, WidthError};
use crate::labels::Classes;
use crate::progress::{Progress, ProgressUnit};

/// Logits computed at once; bounds the memory, changes nothing else.
pub(crate) const LOGITS: usize = 1 << 25;
use attentive::AttentiveHeads;
use batches::{Batches, Frozen, Live};
use heads::Heads;

/// Share of unreadable training images at which an augmented probe gives up.
const MAX_BAD: f64 = 0.01;

/// Trains heads on features that were extracted once and tests them on others.
///
/// All heads of a configuration see the same batches and do not influence each other. Each is
/// judged after the last epoch, and the best on the test images is named, as the paper does.
/// Heads of [`Pools::Attentive`] are V-JEPA's attentive probe, all others are linear; gradients of
/// the latter are written out.
///
/// # Errors
///
/// A [`ProbeError`] if the configuration is out of range, the sets do not go together, labels are
/// missing or all heads diverge.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use ijepa_eval::{Features, ProbeConfig, Protocol, probe};
///
/// let corner = |at: usize| if at.is_multiple_of(2) { 1.0 } else { -1.0 };
/// let values = (0..64).map(corner).collect();
/// let labels = (0..64).map(|at| Some(at % 2)).collect();
/// let features = Features::new(1, values, labels)?;
/// let config = ProbeConfig { batch_size: 16, ..Protocol::Quick.config() };
/// let report = probe(&features, &features, &config, &Device::flex())?;
/// assert_eq!(report.top1, 100.0);
/// # Ok::<(), ijepa_eval::Error>(())
/// ```
pub fn probe(
    train: &Features,
    test: &Features,
    config: &ProbeConfig,
    device: &Device,
) -> Result<ProbeReport, ProbeError> {
    probe_with_progress(train, test, config, device, |_| ())
}

/// As [`probe`]; `progress` is told after each step.
///
/// # Errors
///
/// As [`probe`].
pub fn probe_with_progress(
    train: &Features,
    test: &Features,
    config: &ProbeConfig,
    device: &Device,
    progress: impl FnMut(Progress) + Send,
) -> Result<ProbeReport, ProbeError> {
    config.validate()?;
    WidthError::check(train.dim(), test.dim())?;
    let classes = Classes::of(train.labels(), test.labels())?;
    let device = device.clone().without_autodiff();
    let batches = Frozen {
        features: train,
        labels: &classes.train,
        batch_size: config.batch_size.min(train.images()),
        seed: config.seed,
        order: Vec::new(),
        device: device.clone(),
    };
    run(batches, test, &classes, config, &device, progress)
}

/// Trains heads on images that are augmented anew every epoch and tests them on features.
///
/// `extraction` says how many images go through the encoder at most at once and which threads read
/// them; as many do as divide the batch of the probe. The poolings other than the mean
/// of the last layer come from one forward pass with [`Pooling::Concat4`](ijepa_model::Pooling::Concat4), as `test` has to;
/// attentive heads need [`Pooling::Tokens`](ijepa_model::Pooling::Tokens).
/// Images that cannot be read are replaced by others, up to one in a hundred.
///
/// # Errors
///
/// As [`probe`], and a [`ProbeError`] if images cannot be loaded.
pub fn probe_augmented(
    encoder: &VisionTransformer,
    source: Arc<dyn Source>,
    augment: ClassifierAugment,
    test: &Features,
    (config, extraction): (&ProbeConfig, &ExtractConfig),
    device: &Device,
    progress: impl FnMut(Progress) + Send,
) -> Result<ProbeReport, ProbeError> {
    config.validate()?;
    extraction.check(encoder)?;
    let classes = Classes::taught(source.as_ref(), test.labels())?;
    let dim = extraction.dim(encoder);
    WidthError::check(dim, test.dim())?;
    let batch_size = config.batch_size.min(classes.train.len());
    let most = extraction.batch_size.min(batch_size);
    let divides = |part: &usize| batch_size.is_multiple_of(*part);
    let part = (1..=most).rev().find(divides).expect("1 divides all");
    let loader = LoaderConfig {
        seed: config.seed,
        workers: extraction.workers,
        max_bad_fraction: MAX_BAD,
        reading: extraction.reading,
        ..LoaderConfig::new(part, augment)
    };
    let device = device.clone().without_autodiff();
    let batches = Live {
        encoder: encoder.valid(),
        pooling: extraction.pooling,
        normalization: extraction.normalization,
        loader: Loader::new(source, loader)?,
        labels: &classes.train,
        part,
        parts: batch_size / part,
        device: device.clone(),
    };
    run(batches, test, &classes, config, &device, progress)
}

/// Heads that see the same features and learn side by side, without influence on each other.
trait Bank: Send {
    /// Norm, learning rate and weight decay of each head.
    fn grid(&self) -> &[(HeadNorm, f64, f64)];

    /// One step on `x`, `[batch, dim]`, whose classes are `targets`; `factor` is that of the
    /// learning rates.
    fn step(&mut self, x: Tensor<2>, targets: &[u32], factor: f64);

    /// Mean training loss of each head since this was last asked.
    fn take_losses(&mut self) -> Vec<f32>;

    /// Logits of `x`, `[images, dim]`, as it is tested: `[images, heads * classes]`.
    fn logits(&self, x: Tensor<2>) -> Tensor<2>;

    /// `0..rows` in pieces that are classified at once.
    fn blocks(&self, rows: usize) -> Vec<Range<usize>>;
}

/// Heads of one pooling and the columns they see.
type Pooled = (Pool, Range<usize>, Box<dyn Bank>);

fn run(
    mut batches: impl Batches,
    test: &Features,
    classes: &Classes,
    config: &ProbeConfig,
    device: &Device,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<ProbeReport, ProbeError> {
    let batch_size = batches.batch_size();
    let pools = config.pools.columns(test.dim())?;
    let work = || {
        let mut banks = Vec::new();
        for (number, (pool, columns)) in pools.into_iter().enumerate() {
            let bank: Box<dyn Bank> = match config.pools {
                Pools::Attentive { tokens, num_heads } => {
                    let sizes = [columns.len() / tokens, classes.classes];
                    let heads = AttentiveHeads::new(config, [tokens, num_heads], sizes, device);
                    Box::new(heads)
                }
                _ => {
                    let sizes = [columns.len(), classes.classes];
                    let first = number * config.grid().len();
                    Box::new(Heads::new(config, batch_size, sizes, first, device))
                }
            };
            banks.push((pool, columns, bank));
        }
        let losses = train(&mut banks, &mut batches, config, &mut progress)?;
        let hits = score(&banks, test, &classes.test, device);
        Ok::<_, ProbeError>((banks, losses, hits))
    };
    let (banks, losses, hits) = on_workers(device, work)?;
    let found = losses.into_iter().zip(hits);
    let heads: Vec<HeadReport> = choices(&banks).zip(found).map(judged).collect();
    if heads.iter().all(|head| head.loss.is_none()) {
        return Err(ProbeError::Diverged {
            heads: heads.len(),
            lrs: config.lrs.clone(),
        });
    }
    let images = [classes.train.len(), classes.test.len()];
    Ok(ProbeReport {
        skipped: batches.skipped().to_vec(),
        ..ProbeReport::new(heads, images, classes.classes, batch_size)
    })
}

/// What tells the heads from each other, in their order.
fn choices(banks: &[Pooled]) -> impl Iterator<Item = HeadChoice> {
    banks.iter().flat_map(|(pool, _, heads)| {
        let grid = heads.grid().iter();
        grid.map(|&(batch_norm, lr, weight_decay)| HeadChoice {
            pool: *pool,
            batch_norm,
            lr: Some(lr),
            weight_decay,
        })
    })
}

/// A head with its loss in the last epoch, which is none if that or a logit of a test image is no
/// number: the last step may have been the one that led away from them.
fn judged((head, (loss, hits)): (HeadChoice, (f32, Hits))) -> HeadReport {
    let accuracy = hits.accuracy();
    let is_finite = loss.is_finite() && hits.all_placed();
    HeadReport {
        head,
        top1: accuracy.top1,
        top5: accuracy.top5,
        loss: is_finite.then_some(f64::from(loss)),
    }
}

/// Trains all heads; gives their mean losses in the last epoch.
fn train(
    banks: &mut [Pooled],
    batches: &mut impl Batches,
    config: &ProbeConfig,
    progress: &mut impl FnMut(Progress),
) -> Result<Vec<f32>, ProbeError> {
    let in_epoch = batches.steps_per_epoch();
    let mut losses = Vec::new();
    for epoch in 0..config.epochs {
        let factor = config.schedule.factor(epoch, config.epochs);
        for step in 0..in_epoch {
            let (features, targets) = batches.batch(epoch, step)?;
            for (_, columns, heads) in banks.iter_mut() {
                heads.step(select(&features, columns), &targets, factor);
            }
            progress(Progress {
                done: epoch * in_epoch + step + 1,
                total: config.epochs * in_epoch,
                unit: ProgressUnit::Steps,
            });
        }
        losses = banks
            .iter_mut()
            .flat_map(|(_, _, heads)| heads.take_losses())
            .collect();
    }
    Ok(losses)
}

/// What each head gets right of the test images.
fn score(banks: &[Pooled], test: &Features, labels: &[u32], device: &Device) -> Vec<Hits> {
    let mut all = Vec::new();
    for (_, columns, heads) in banks {
        let mut hits = vec![Hits::default(); heads.grid().len()];
        for rows in heads.blocks(test.images()) {
            let values = &test.values()[rows.start * test.dim()..rows.end * test.dim()];
            let data = TensorData::new(values.to_vec(), [rows.len(), test.dim()]);
            let features = Tensor::from_data(data, device);
            count(
                &mut hits,
                heads.logits(select(&features, columns)),
                &labels[rows],
            );
        }
        all.extend(hits);
    }
    all
}

/// Counts images by their logits, `[images, heads * classes]`.
pub(crate) fn count(hits: &mut [Hits], logits: Tensor<2>, labels: &[u32]) {
    let [_, columns] = logits.dims();
    let classes = columns / hits.len();
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    for (row, &label) in logits.chunks_exact(columns).zip(labels) {
        for (hits, head) in hits.iter_mut().zip(row.chunks_exact(classes)) {
            hits.count(place(head, label as usize));
        }
    }
}

/// Some columns of `[rows, dim]`.
pub(crate) fn select(features: &Tensor<2>, columns: &Range<usize>) -> Tensor<2> {
    let [rows, dim] = features.dims();
    if columns.len() == dim {
        return features.clone();
    }
    features.clone().slice([0..rows, columns.clone()])
}
