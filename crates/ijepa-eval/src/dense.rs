//! Linear layers on frozen patch features that say something about every pixel.

mod config;
mod depth;
mod error;
#[cfg(test)]
mod golden;
mod heads;
mod segmentation;
mod task;
mod upsample;

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{Source, epoch_order};
use ijepa_model::kernels::on_workers;

pub use config::{DenseConfig, DenseHead};
pub use depth::{DepthHeadReport, DepthReport, DepthScores, check_depths, depth};
pub use error::DenseError;
pub use segmentation::{DenseHeadReport, DenseReport, check_masks, dense};

use crate::features::{Extracted, WidthError};
use crate::labels::Split;
use crate::probe::{LrSchedule, ProbeError};
use crate::progress::{Progress, ProgressUnit};
use heads::PatchHeads;
use task::{PixelLabels, Task};
use upsample::Upsample;

/// Patch features of images and where their masks or depths are.
#[derive(Debug, Clone, Copy)]
pub struct DenseSet<'a> {
    /// Features of [`Pooling::Tokens`](ijepa_model::Pooling::Tokens) of whole images: masks and
    /// depths know no crops.
    pub extracted: &'a Extracted,
    /// The images that they are of.
    pub source: &'a dyn Source,
}

impl DenseSet<'_> {
    fn images(self) -> usize {
        self.extracted.indices.len()
    }

    fn name(self, row: usize) -> String {
        self.source.name(self.extracted.indices[row])
    }

    /// What is known about the image of row `row`.
    fn labels<L: PixelLabels>(self, row: usize) -> Result<L, DenseError> {
        let labels = L::read(self.source, self.extracted.indices[row])?;
        labels.ok_or_else(|| L::missing(self.name(row)))
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

/// That all images have labels, both sets a pixel that counts, and test images no class above all of
/// those of training images. Of an empty set nothing is asked.
fn check_labels<L: PixelLabels>(train: &dyn Source, test: &dyn Source) -> Result<(), DenseError> {
    let labels = |source: &dyn Source, index| {
        let labels = L::read(source, index)?;
        labels.ok_or_else(|| L::missing(source.name(index)))
    };
    let mut last = None;
    for index in 0..train.len() {
        last = last.max(labels(train, index)?.last_class());
    }
    if last.is_none() && !train.is_empty() {
        return Err(L::none_known(Split::Train));
    }
    let mut any_known = test.is_empty();
    for index in 0..test.len() {
        let name = || test.name(index);
        any_known |= counts(&labels(test, index)?, last.unwrap_or(u8::MAX), name)?;
    }
    match any_known {
        true => Ok(()),
        false => Err(L::none_known(Split::Test)),
    }
}

/// Whether a pixel of a test image counts; `last` is the largest class of the training images.
fn counts<L: PixelLabels>(
    labels: &L,
    last: u8,
    name: impl FnOnce() -> String,
) -> Result<bool, DenseError> {
    match labels.last_class() {
        Some(class) if class > last => Err(DenseError::UnknownClass {
            name: name(),
            class,
            last,
        }),
        found => Ok(found.is_some()),
    }
}

/// What the heads of a task achieved.
#[derive(Debug)]
struct Found<T: Task> {
    task: T,
    /// Each with its mean training loss in the last epoch, none if it diverged.
    heads: Vec<(DenseHead, T::Scores, Option<f64>)>,
    /// Of training and test.
    images: [usize; 2],
    /// Images of a step.
    batch_size: usize,
}

/// Trains the heads of a task on the patches of images and tests them on those of others.
fn run<T: Task>(
    train: DenseSet<'_>,
    test: DenseSet<'_>,
    config: &DenseConfig,
    device: &Device,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Found<T>, DenseError> {
    config.validate()?;
    let [dim, test_dim] = [train, test].map(|set| set.extracted.features.dim());
    WidthError::check(dim, test_dim).map_err(ProbeError::from)?;
    let patches = config.grid[0] * config.grid[1];
    if !dim.is_multiple_of(patches) {
        return Err(DenseError::Patches { dim, patches });
    }
    let mut last = None;
    let labels = (0..train.images()).map(|row| {
        let labels: T::Labels = train.labels(row)?;
        last = last.max(labels.last_class());
        Ok(labels.resized(config.size))
    });
    let labels = labels.collect::<Result<Vec<T::Labels>, DenseError>>()?;
    let task = last.and_then(|last| Some((T::of(&labels, last)?, last)));
    let (task, last) = task.ok_or_else(|| T::Labels::none_known(Split::Train))?;
    let device = device.clone().without_autodiff();
    let mut heads = PatchHeads::new(config, [dim / patches, task.channels()], &device);
    let known = (&task, labels.as_slice());
    let losses = learn(&mut heads, train, known, config, &device, &mut progress);
    let task = (task, last);
    let (task, scores) = on_workers(&device, || judge(heads, task, test, config, &device))?;
    let heads = config.heads().into_iter().zip(scores).zip(losses);
    let heads = heads.map(|((head, scores), loss)| {
        let loss = loss.is_finite().then_some(f64::from(loss));
        (head, scores, loss)
    });
    let heads: Vec<_> = heads.collect();
    if heads.iter().all(|(.., loss)| loss.is_none()) {
        let (heads, lrs) = (heads.len(), config.lrs.clone());
        return Err(ProbeError::Diverged { heads, lrs }.into());
    }
    Ok(Found {
        task,
        heads,
        images: [train.images(), test.images()],
        batch_size: config.batch_size.min(train.images()),
    })
}

/// Trains all heads; gives their mean losses in the last epoch.
fn learn<T: Task>(
    heads: &mut PatchHeads,
    train: DenseSet<'_>,
    (task, labels): (&T, &[T::Labels]),
    config: &DenseConfig,
    device: &Device,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Vec<f32> {
    let upsample = Upsample::new(config.grid, config.size, &device.clone().autodiff());
    let batch_size = config.batch_size.min(labels.len());
    let in_epoch = labels.len() / batch_size;
    let mut losses = Vec::new();
    for epoch in 0..config.epochs {
        let order = epoch_order(config.seed, epoch as u64, labels.len());
        let factor = LrSchedule::Cosine(0.0).factor(epoch, config.epochs);
        for (step, rows) in order.chunks_exact(batch_size).enumerate() {
            let labels: Vec<&T::Labels> = rows.iter().map(|&row| &labels[row as usize]).collect();
            let tokens = train.tokens(rows, config.grid, device);
            on_workers(device, || {
                heads.step(task, tokens, &labels, &upsample, factor)
            });
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

/// What each head makes of the test images, each at the size of its labels.
fn judge<T: Task>(
    heads: PatchHeads,
    (mut task, last): (T, u8),
    test: DenseSet<'_>,
    config: &DenseConfig,
    device: &Device,
) -> Result<(T, Vec<T::Scores>), DenseError> {
    let mut all: Vec<T::Scores> = config.heads().iter().map(|_| task.scores()).collect();
    let mut upsample: Option<Upsample> = None;
    let mut any_known = false;
    for row in 0..test.images() {
        let labels: T::Labels = test.labels(row)?;
        any_known |= counts(&labels, last, || test.name(row))?;
        task.look(&labels);
        let upsample = match upsample.take().filter(|it| it.size() == labels.size()) {
            Some(same) => upsample.insert(same),
            None => upsample.insert(Upsample::new(config.grid, labels.size(), device)),
        };
        let tokens = test.tokens(&[row as u32], config.grid, device);
        for (scores, outputs) in all.iter_mut().zip(heads.outputs(tokens, upsample)) {
            task.count(scores, &labels, outputs);
        }
    }
    if !any_known {
        return Err(T::Labels::none_known(Split::Test));
    }
    Ok((task, all))
}
