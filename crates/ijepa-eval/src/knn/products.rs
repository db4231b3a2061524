//! Similarities computed in low precision, and how far they may be off.

use burn::tensor::{Device, Tensor};
use ijepa_patches::dot;
use rayon::prelude::*;

use super::unit_rows::UnitRows;

/// Relative error of a product whose factors a device rounds to 11 bits (TF32), the least that any
/// device does with f32.
const PRODUCT_ERROR: f64 = 1.0 / 1024.0;
/// Relative error of each of the sums of a product in f32, and of one in f64.
const SUM_ERROR: f64 = f32::EPSILON as f64;
const EXACT_ERROR: f64 = f64::EPSILON;

/// Products of a training set with rows of another set on a device.
///
/// With the mean `c` of the training rows, the similarity `u v` of a row `u` to the training row
/// `v` is `(u - c) (v - c) + c (v - c) + c u`. The last term is the same for all `v`; without it
/// the *score* of `v` is as small as the rows are close to each other, and so are its rounding
/// errors, however large their mean is.
pub(super) struct Products<'a> {
    train: &'a UnitRows<'a>,
    center: Vec<f64>,
    /// Largest norm of `v - c`, and largest `c (v - c)`.
    largest: [f64; 2],
    device: Device,
}

impl<'a> Products<'a> {
    pub(super) fn new(train: &'a UnitRows<'a>, device: Device) -> Self {
        let center = train.mean();
        let sizes = (0..train.images()).into_par_iter().map(|image| {
            let centered = difference(&train.row(image), &center);
            [
                dot(&centered, &centered).sqrt(),
                dot(&center, &centered).abs(),
            ]
        });
        let largest = sizes.reduce(|| [0.0; 2], |a, b| [a[0].max(b[0]), a[1].max(b[1])]);
        Self {
            train,
            center,
            largest,
            device,
        }
    }

    pub(super) fn train(&self) -> &UnitRows<'a> {
        self.train
    }

    /// Training images on the device, `[dim + 1, images]`.
    pub(super) fn columns(&self, images: &[usize]) -> Tensor<2> {
        let write = |exact: &[f64], to: &mut [f32]| {
            let centered = difference(exact, &self.center);
            round(&centered, dot(&self.center, &centered), to);
        };
        let width = self.center.len() + 1;
        let rows = self.train.tensor(images, width, write, &self.device);
        rows.transpose()
    }

    /// Rows of another set on the device, `[images, dim + 1]`.
    pub(super) fn rows(&self, set: &UnitRows<'_>, images: &[usize]) -> Tensor<2> {
        let write = |exact: &[f64], to: &mut [f32]| {
            round(&difference(exact, &self.center), 1.0, to);
        };
        set.tensor(images, self.center.len() + 1, write, &self.device)
    }

    /// What the scores of `row` lack of similarities, and the most by which they may be off.
    pub(super) fn offset_and_error(&self, row: &[f64]) -> (f64, f64) {
        let centered = difference(row, &self.center);
        let [norm, constant] = self.largest;
        let size = dot(&centered, &centered).sqrt() * norm + constant;
        let terms = (self.center.len() + 2) as f64;
        let relative = PRODUCT_ERROR + terms * SUM_ERROR;
        (
            dot(row, &self.center),
            size * relative + terms * EXACT_ERROR,
        )
    }
}

/// The scores of rows and columns, row by row.
pub(super) fn scores(rows: Tensor<2>, columns: Tensor<2>) -> Vec<f32> {
    let data = rows.matmul(columns).into_data().convert::<f32>();
    data.try_into_vec().expect("the data was converted to f32")
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Writes `values` and `last` behind them.
fn round(values: &[f64], last: f64, to: &mut [f32]) {
    let values = values.iter().chain(std::iter::once(&last));
    to.iter_mut()
        .zip(values)
        .for_each(|(to, &value)| *to = value as f32);
}
