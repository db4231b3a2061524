//! What a dense probe is, as data.

use ijepa_model::VisionTransformer;
use serde::Serialize;

use crate::probe::{ProbeError, check, check_rates};

/// What tells one head from the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DenseHead {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// A probe of pixels: every learning rate and weight decay is a linear head of its own, and all heads
/// learn from the same batches by AdamW with a cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseConfig {
    /// Rows and columns of patches.
    pub grid: [usize; 2],
    /// `[height, width]` at which heads learn; masks and depths of other sizes get it. They are
    /// tested at the size of each of those.
    pub size: [usize; 2],
    /// Learning rates.
    pub lrs: Vec<f64>,
    /// Weight decays.
    pub weight_decays: Vec<f64>,
    /// Images of a step; all of them if there are fewer.
    pub batch_size: usize,
    /// Passes over the images; of each, the last partial batch is left out.
    pub epochs: usize,
    /// Decides initial weights and the order of the images.
    pub seed: u64,
}

impl DenseConfig {
    /// The probe of `encoder` at the size of its images: batches of 16, 20 epochs, learning rates
    /// 0.0003, 0.001 and 0.003, weight decay 0.0001, seed 0.
    pub fn of(encoder: &VisionTransformer) -> Self {
        let grid = encoder.grid();
        Self {
            grid: [grid.rows(), grid.cols()],
            size: encoder.config().image_size,
            lrs: vec![3e-4, 1e-3, 3e-3],
            weight_decays: vec![1e-4],
            batch_size: 16,
            epochs: 20,
            seed: 0,
        }
    }

    /// Every head.
    pub(super) fn heads(&self) -> Vec<DenseHead> {
        let of_lr = |&lr: &f64| {
            let decays = self.weight_decays.iter();
            decays.map(move |&weight_decay| DenseHead { lr, weight_decay })
        };
        self.lrs.iter().flat_map(of_lr).collect()
    }

    /// Checks before anything is computed that every list has an element and every number is in
    /// its range.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Empty`] or [`ProbeError::Value`].
    pub fn validate(&self) -> Result<(), ProbeError> {
        check_rates(&self.lrs, &self.weight_decays)?;
        let sides = [self.grid, self.size].concat();
        let counts = [("batch size", self.batch_size), ("epochs", self.epochs)];
        for (key, count) in counts
            .into_iter()
            .chain(sides.into_iter().map(|side| ("side", side)))
        {
            check(key, count as f64, count > 0, "at least 1")?;
        }
        Ok(())
    }
}
