//! Linear segmentation of frozen patch features.

mod config;
mod confusion;
mod error;
mod heads;
mod report;
mod upsample;

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{Mask, Source, epoch_order};
use ijepa_model::kernels::on_workers;

pub use config::DenseConfig;
pub use error::DenseError;
pub use report::{DenseHead, DenseHeadReport, DenseReport};

use crate::features::Extracted;
use crate::labels::Split;
use crate::probe::{LrSchedule, ProbeError};
use crate::progress::{Progress, ProgressUnit};
use confusion::Confusion;
use heads::SegmentationHeads;
use upsample::Upsample;

/// Patch features of images and where their masks are.
#[derive(Debug, Clone, Copy)]
pub struct Segmented<'a> {
    /// Features of [`Pooling::Tokens`](ijepa_model::Pooling::Tokens) of whole images: masks know no
    /// crops.
    pub extracted: &'a Extracted,
    /// The images that they are of.
    pub source: &'a dyn Source,
}

impl Segmented<'_> {
    fn images(self) -> usize {
        self.extracted.indices.len()
    }

    fn name(self, row: usize) -> String {
        self.source.name(self.extracted.indices[row])
    }

    /// The mask of the image of row `row`.
    fn mask(self, row: usize) -> Result<Mask, DenseError> {
        let mask = self.source.mask(self.extracted.indices[row])?;
        mask.ok_or_else(|| DenseError::NoMask {
            name: self.name(row),
        })
    }

    /// The patches of some rows, `[images, patches, dim]`.
    fn tokens(self, rows: &[u32], [height, width]: [usize; 2], device: &Device) -> Tensor<3> {
        let features = &self.extracted.features;
        let patches = height * width;
        let values = rows.iter().flat_map(|&row| features.row(row as usize));
        let shape = [rows.len(), patches, features.dim() / patches];
        let data = TensorData::new(values.copied().collect::<Vec<f32>>(), shape);
        Tensor::from_data(data, device)
    }
}

/// Checks before anything is computed that both sets have masks.
///
/// # Errors
///
/// [`DenseError::NoMask`] with the first image, or [`DenseError::Data`].
pub fn check_masks(train: &dyn Source, test: &dyn Source) -> Result<(), DenseError> {
    for source in [train, test]
        .into_iter()
        .filter(|source| !source.is_empty())
    {
        if source.mask(0)?.is_none() {
            let name = source.name(0);
            return Err(DenseError::NoMask { name });
        }
    }
    Ok(())
}

/// Trains a linear layer on the patches of images and tests it on those of others.
///
/// The logits of a patch grid are interpolated bilinearly to the size of a mask (corners not
/// aligned, as PyTorch's `align_corners=False`), and the loss is the cross-entropy of all pixels of
/// a batch that have a class. `progress` is told after each step.
///
/// # Errors
///
/// A [`DenseError`] if the configuration is out of range, the features are no patches, masks are
/// missing or damaged, or all heads diverge.
pub fn dense(
    train: Segmented<'_>,
    test: Segmented<'_>,
    config: &DenseConfig,
    device: &Device,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<DenseReport, DenseError> {
    config.validate()?;
    let [dim, test_dim] = [train, test].map(|set| set.extracted.features.dim());
    if dim != test_dim {
        let (train, test) = (dim, test_dim);
        return Err(ProbeError::Width { train, test }.into());
    }
    let patches = config.grid[0] * config.grid[1];
    if !dim.is_multiple_of(patches) {
        return Err(DenseError::Patches { dim, patches });
    }
    let masks = (0..train.images()).map(|row| Ok(train.mask(row)?.resized(config.size)));
    let masks = masks.collect::<Result<Vec<Mask>, DenseError>>()?;
    let last = masks.iter().filter_map(Mask::last_class).max();
    let last = last.ok_or(DenseError::NoClass {
        split: Split::Train,
    })?;
    let device = device.clone().without_autodiff();
    let sizes = [dim / patches, usize::from(last) + 1];
    let mut heads = SegmentationHeads::new(config, sizes, &device);
    let losses = learn(&mut heads, train, &masks, config, &device, &mut progress);
    let tables = on_workers(&device, || judge(heads, test, config.grid, last, &device))?;
    let reports = tables.iter().zip(config.heads()).zip(losses);
    let reports = reports.map(|((table, head), loss)| DenseHeadReport::new(head, table, loss));
    let reports: Vec<DenseHeadReport> = reports.collect();
    if reports.iter().all(|head| head.loss.is_none()) {
        let heads = reports.len();
        return Err(ProbeError::Diverged { heads }.into());
    }
    let images = [train.images(), test.images()];
    let batch_size = config.batch_size.min(train.images());
    Ok(DenseReport::new(reports, images, sizes[1], batch_size))
}

/// Trains all heads; gives their mean losses in the last epoch.
fn learn(
    heads: &mut SegmentationHeads,
    train: Segmented<'_>,
    masks: &[Mask],
    config: &DenseConfig,
    device: &Device,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Vec<f32> {
    let upsample = Upsample::new(config.grid, config.size, &device.clone().autodiff());
    let batch_size = config.batch_size.min(masks.len());
    let in_epoch = masks.len() / batch_size;
    let mut losses = Vec::new();
    for epoch in 0..config.epochs {
        let order = epoch_order(config.seed, epoch as u64, masks.len());
        let factor = LrSchedule::Cosine(0.0).factor(epoch, config.epochs);
        for (step, rows) in order.chunks_exact(batch_size).enumerate() {
            let masks: Vec<&Mask> = rows.iter().map(|&row| &masks[row as usize]).collect();
            let tokens = train.tokens(rows, config.grid, device);
            on_workers(device, || heads.step(tokens, &masks, &upsample, factor));
            progress(Progress {
                done: epoch * in_epoch + step + 1,
                total: config.epochs * in_epoch,
                unit: ProgressUnit::Steps,
            });
        }
        losses = heads.take_losses();
    }
    losses
}

/// What each head makes of the test images, each at the size of its mask.
fn judge(
    heads: SegmentationHeads,
    test: Segmented<'_>,
    grid: [usize; 2],
    last: u8,
    device: &Device,
) -> Result<Vec<Confusion>, DenseError> {
    let mut tables = vec![Confusion::new(usize::from(last) + 1); heads.count()];
    let mut upsample: Option<Upsample> = None;
    let mut seen = None;
    for row in 0..test.images() {
        let mask = test.mask(row)?;
        if let Some(class) = mask.last_class().filter(|&class| class > last) {
            let name = test.name(row);
            return Err(DenseError::UnknownClass { name, class, last });
        }
        seen = seen.max(mask.last_class());
        let upsample = match upsample.take().filter(|it| it.size() == mask.size()) {
            Some(same) => upsample.insert(same),
            None => upsample.insert(Upsample::new(grid, mask.size(), device)),
        };
        let tokens = test.tokens(&[row as u32], grid, device);
        let found = heads.classes(tokens, upsample);
        for (table, found) in tables.iter_mut().zip(found) {
            table.count(mask.classes(), &found);
        }
    }
    match seen {
        Some(_) => Ok(tables),
        None => Err(DenseError::NoClass { split: Split::Test }),
    }
}
