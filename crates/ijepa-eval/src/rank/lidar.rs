//! LiDAR: the effective rank of what tells images apart rather than views.

use super::{cholesky::cholesky, eigenvalues, gram::gram, rank_of};
use crate::features::Features;

/// Added to the diagonal of the scatter within images (Thilak et al. 2024, section 4).
const DELTA: f64 = 1e-4;
/// Added to each normalised eigenvalue.
const EPSILON: f64 = 1e-8;

/// LiDAR (Thilak et al. 2024): each image is a class and its views are the members. The effective
/// rank of the eigenvalues of `W^-1/2 B W^-1/2`, where `B` is the covariance of the class means
/// and `W` that within the classes plus 1e-4 on the diagonal.
///
/// Directions that only tell views apart, such as which patches are masked, count for nothing,
/// as they would in RankMe. `images * (views - 1)` should reach the width of the features.
///
/// # Shapes
///
/// - `features`: `[images, views * embed_dim]`, as [`masked_views`](crate::masked_views) gives them
///
/// # Panics
///
/// Panics if there are fewer than two images or views, or the width is no multiple of `views`.
pub fn lidar(features: &Features, views: usize) -> f64 {
    let images = features.images();
    assert!(
        images >= 2 && views >= 2,
        "{images} images of {views} views"
    );
    assert!(features.dim().is_multiple_of(views), "{views} views");
    let dim = features.dim() / views;
    let means = class_means(features, views, dim);
    let grand: Vec<f64> = (0..dim)
        .map(|column| means.iter().map(|mean| mean[column]).sum::<f64>() / images as f64)
        .collect();
    let between = gram(dim, images, |column, image| {
        means[image][column] - grand[column]
    });
    let within = gram(dim, images * views, |column, member| {
        let (image, view) = (member / views, member % views);
        f64::from(features.row(image)[view * dim + column]) - means[image][column]
    });
    let between = scaled(between, (images - 1) as f64, 0.0, dim);
    let within = scaled(within, (images * (views - 1)) as f64, DELTA, dim);
    let whitened = whiten(between, &cholesky(within, dim), dim);
    let eigenvalues = eigenvalues::symmetric(whitened, dim).into_iter();
    let positive: Vec<f64> = eigenvalues.map(|value| value.max(0.0)).collect();
    rank_of(&positive, EPSILON)
}

fn class_means(features: &Features, views: usize, dim: usize) -> Vec<Vec<f64>> {
    let mean = |image: usize| {
        let mut mean = vec![0.0; dim];
        for view in features.row(image).chunks_exact(dim) {
            for (sum, &value) in mean.iter_mut().zip(view) {
                *sum += f64::from(value) / views as f64;
            }
        }
        mean
    };
    (0..features.images()).map(mean).collect()
}

/// `matrix / count` with `more` added to its diagonal.
fn scaled(mut matrix: Vec<f64>, count: f64, more: f64, order: usize) -> Vec<f64> {
    matrix.iter_mut().for_each(|value| *value /= count);
    for i in 0..order {
        matrix[i * order + i] += more;
    }
    matrix
}

/// `L^-1 matrix L^-T`, which has the eigenvalues of `W^-1/2 matrix W^-1/2` for `W = L L^T`.
fn whiten(matrix: Vec<f64>, lower: &[f64], order: usize) -> Vec<f64> {
    let half = transposed(solve(matrix, lower, order), order);
    solve(half, lower, order)
}

/// `L^-1 matrix` by forward substitution.
fn solve(mut matrix: Vec<f64>, lower: &[f64], order: usize) -> Vec<f64> {
    for i in 0..order {
        let (done, rest) = matrix.split_at_mut(i * order);
        let row = &mut rest[..order];
        for (k, known) in done.chunks_exact(order).enumerate() {
            let factor = lower[i * order + k];
            for (value, known) in row.iter_mut().zip(known) {
                *value -= factor * known;
            }
        }
        let pivot = lower[i * order + i];
        row.iter_mut().for_each(|value| *value /= pivot);
    }
    matrix
}

fn transposed(matrix: Vec<f64>, order: usize) -> Vec<f64> {
    let at = |index: usize| matrix[index % order * order + index / order];
    (0..order * order).map(at).collect()
}
