//! Losses that wait on the device.

use burn::tensor::Tensor;

/// The losses since the last row, and the first and the last of this process.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Since the last row, as far as they were read.
    pub(super) read: Vec<f32>,
    waiting: Vec<Tensor<1>>,
    pub(super) first: Option<f64>,
    pub(super) last: Option<f64>,
}

impl Losses {
    /// Of a run that goes on after these since its last row.
    pub(super) fn going_on(read: Vec<f32>) -> Self {
        Self {
            read,
            ..Self::default()
        }
    }

    /// Adds that of a step, `[1]`.
    pub(super) fn push(&mut self, loss: Tensor<1>) {
        self.waiting.push(loss);
    }

    /// Reads those that wait, which waits for the device. How many steps ago the first of them was
    /// that is not finite; the last step is 1.
    pub(super) fn settle(&mut self) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        let losses = Tensor::cat(std::mem::take(&mut self.waiting), 0).into_data();
        let new: Vec<f32> = losses.iter::<f32>().collect();
        self.first = self.first.or(new.first().copied().map(f64::from));
        self.last = new.last().copied().map(f64::from);
        let lost = new.iter().position(|loss| !loss.is_finite());
        let lost = lost.map(|at| (new.len() - at) as u64);
        self.read.extend(new);
        lost
    }

    /// The mean since the last row; the next begins from here.
    pub(super) fn end_row(&mut self) -> f64 {
        let losses = std::mem::take(&mut self.read);
        losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64
    }
}
