//! Fixed two-dimensional sine-cosine positions and their resampling to other grids.

use burn::{
    module::Param,
    tensor::{Tensor, TensorData},
};
use ijepa_masking::PatchGrid;

/// Base of the geometric progression of wavelengths.
const TEMPERATURE: f64 = 10_000.0;

/// How a position table is carried over to another grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PositionResampling {
    /// Bicubic interpolation of the table, as `transformers` does (`align_corners = false`).
    #[default]
    Bicubic,
    /// A fresh sine-cosine table of the new grid.
    SinCos,
}

/// The table `[1, patches, dim]` of `grid`, computed in f64 and rounded to f32.
///
/// The entry of the patch in row `r` and column `c` is
/// `[sin(c w), cos(c w), sin(r w), cos(r w)]` with `w_i = 10000^(-i / (dim / 4))`: the column
/// comes first, as in the reference.
///
/// # Panics
///
/// Panics if `dim` is not a multiple of 4.
pub fn sin_cos_positions(grid: PatchGrid, dim: usize) -> TensorData {
    assert!(
        dim.is_multiple_of(4),
        "position dimension {dim} is not a multiple of 4"
    );
    let quarter = dim / 4;
    let frequency = |i: usize| 1.0 / TEMPERATURE.powf(i as f64 / quarter as f64);
    let mut table = Vec::with_capacity(grid.num_patches() * dim);
    for row in 0..grid.rows() {
        for col in 0..grid.cols() {
            for position in [col, row].map(|position| position as f64) {
                let angles = (0..quarter).map(|i| position * frequency(i));
                table.extend(angles.clone().map(|angle| angle.sin() as f32));
                table.extend(angles.map(|angle| angle.cos() as f32));
            }
        }
    }
    TensorData::new(table, [1, grid.num_patches(), dim])
}

/// The positions `[1, patches, dim]` of the grid `from` carried over to the grid `to`.
pub(crate) fn resampled(
    positions: Param<Tensor<3>>,
    from: PatchGrid,
    to: PatchGrid,
    resampling: PositionResampling,
) -> Param<Tensor<3>> {
    if from == to {
        return positions;
    }
    let table = positions.val();
    let [_, _, dim] = table.dims();
    let data = match resampling {
        PositionResampling::SinCos => sin_cos_positions(to, dim),
        PositionResampling::Bicubic => {
            let data = table.to_data().convert::<f32>();
            let values = data.as_slice().expect("the table was converted to f32");
            resample_bicubic(values, dim, from, to)
        }
    };
    Param::from_data(data, &table.device()).set_require_grad(false)
}

/// Bicubic interpolation of a table `[1, patches, dim]` from one grid to another.
///
/// The kernel has `a = -0.75` and pixel centres are aligned (`align_corners = false`), as
/// `torch.nn.functional.interpolate` computes it.
///
/// # Panics
///
/// Panics if `table` has not `from.num_patches() * dim` values.
pub(crate) fn resample_bicubic(
    table: &[f32],
    dim: usize,
    from: PatchGrid,
    to: PatchGrid,
) -> TensorData {
    assert_eq!(
        table.len(),
        from.num_patches() * dim,
        "the table does not belong to the grid"
    );
    let row_taps = taps(from.rows(), to.rows());
    let col_taps = taps(from.cols(), to.cols());
    let mut out = Vec::with_capacity(to.num_patches() * dim);
    for rows in &row_taps {
        for cols in &col_taps {
            let mut values = vec![0.0f64; dim];
            for (row, row_weight) in rows {
                for (col, col_weight) in cols {
                    let start = (row * from.cols() + col) * dim;
                    for (sum, value) in values.iter_mut().zip(&table[start..start + dim]) {
                        *sum += row_weight * col_weight * f64::from(*value);
                    }
                }
            }
            out.extend(values.into_iter().map(|value| value as f32));
        }
    }
    TensorData::new(out, [1, to.num_patches(), dim])
}

/// The four source positions and weights of every target position along one axis.
fn taps(from: usize, to: usize) -> Vec<[(usize, f64); 4]> {
    let scale = from as f64 / to as f64;
    let last = from as isize - 1;
    (0..to)
        .map(|target| {
            let source = (target as f64 + 0.5) * scale - 0.5;
            let base = source.floor();
            [-1, 0, 1, 2].map(|offset| {
                let index = (base as isize + offset).clamp(0, last) as usize;
                (index, cubic(source - (base + offset as f64)))
            })
        })
        .collect()
}

/// The cubic convolution kernel of Keys (1981) with `a = -0.75`.
fn cubic(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let x = distance.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}
