//! Bilinear interpolation as two matrix products.

use burn::tensor::{Device, Tensor, TensorData};

/// From maps of a grid of patches to maps of pixels, corners not aligned (PyTorch's
/// `align_corners=False`).
#[derive(Debug)]
pub(super) struct Upsample {
    grid: [usize; 2],
    size: [usize; 2],
    /// `[1, height, rows]`.
    rows: Tensor<3>,
    /// `[columns, width]`.
    columns: Tensor<2>,
}

impl Upsample {
    /// From `grid` to `size`, both rows and columns.
    pub(super) fn new(grid: [usize; 2], size: [usize; 2], device: &Device) -> Self {
        let matrix = |axis: usize| {
            let (from, to) = (grid[axis], size[axis]);
            let data = TensorData::new(weights(from, to), [to, from]);
            Tensor::<2>::from_data(data, device)
        };
        Self {
            grid,
            size,
            rows: matrix(0).unsqueeze(),
            columns: matrix(1).transpose(),
        }
    }

    pub(super) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// `x`, `[batch, patches, channels]`, as `[batch, channels, height, width]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, _, channels] = x.dims();
        let ([rows, columns], [height, width]) = (self.grid, self.size);
        let maps = batch * channels;
        let x = x.swap_dims(1, 2).reshape([maps * rows, columns]);
        let wide = x.matmul(self.columns.clone()).reshape([maps, rows, width]);
        let x = self.rows.clone().matmul(wide);
        x.reshape([batch, channels, height, width])
    }
}

/// Shares of the `from` values in each of `to` interpolated ones, `[to, from]`.
fn weights(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    for (at, row) in weights.chunks_exact_mut(from).enumerate() {
        let center = (at as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let center = center.max(0.0);
        let before = (center as usize).min(from - 1);
        let after = (before + 1).min(from - 1);
        let share = (center - before as f64) as f32;
        row[before] += 1.0 - share;
        row[after] += share;
    }
    weights
}
