//! LiDAR: the effective rank of what tells images apart rather than views.

use faer::Mat;

use super::rank_of;
use crate::{
    features::Features,
    linalg::{cholesky, eigenvalues, gram, solve},
};

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
    // The eigenvalues of `L^-1 B L^-T` for `W = L L^T`: with `B` the inner products of the means,
    // those of the inner products of `L^-1` times the means.
    let mut within = gram(dim, images * views, |column, member| {
        let (image, view) = (member / views, member % views);
        f64::from(features.row(image)[view * dim + column]) - means[image][column]
    });
    let members = (images * (views - 1)) as f64;
    for column in 0..dim {
        within
            .col_mut(column)
            .iter_mut()
            .for_each(|value| *value /= members);
        within[(column, column)] += DELTA;
    }
    let mut between = Mat::from_fn(dim, images, |column, image| {
        (means[image][column] - grand[column]) / ((images - 1) as f64).sqrt()
    });
    solve(&cholesky(within), between.as_mut());
    let scatter = gram(dim, images, |column, image| between[(column, image)]);
    let eigenvalues = eigenvalues(&scatter).into_iter();
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
