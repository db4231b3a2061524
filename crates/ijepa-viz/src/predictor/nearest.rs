//! The patches of a data set that a feature is most like.

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use ijepa_eval::{ExtractError, for_each_batch};
use ijepa_model::VisionTransformer;
use serde::Serialize;

use super::{NeighbourSearch, PredictionConfig};

/// Smallest norm divided by, as in PyTorch's `normalize`.
const LEAST_NORM: f64 = 1e-12;

/// A patch of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearPatch {
    /// Number of its image in the source.
    pub index: usize,
    /// Name of its image.
    pub path: String,
    /// Its row on the grid.
    pub row: usize,
    /// Its column on the grid.
    pub col: usize,
    /// Its cosine with the query.
    pub cosine: f64,
}

/// The patches of a data set whose target features are most like each query, at most one
/// from every image, the nearest first; as many as the search asks for.
///
/// Images pass batch by batch and are not kept, so memory does not depend on how many there are.
/// Images that cannot be read are left out. After each batch `progress` is told how many images
/// are done.
///
/// # Shapes
///
/// - `queries`: `[queries, embed_dim]`, row by row
/// - output: one list per query
///
/// # Errors
///
/// An [`ExtractError`] if no image can be read, or the encoder gives features that are not finite.
///
/// # Panics
///
/// Panics if `queries` is no whole number of rows.
pub fn nearest_patches(
    target: &VisionTransformer,
    queries: &[f32],
    search: NeighbourSearch<'_>,
    config: &PredictionConfig,
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Vec<NearPatch>>, ExtractError> {
    let NeighbourSearch { source, count } = search;
    let (extract, dim) = (&config.extract, target.embed_dim());
    assert!(
        queries.len().is_multiple_of(dim),
        "queries of another width"
    );
    let (target, device) = (target.valid(), device.clone().without_autodiff());
    let (size @ [height, width], cols) = (target.config().image_size, target.grid().cols());
    let number = queries.len() / dim;
    let queries = TensorData::new(queries.to_vec(), [1, number, dim]);
    let queries = unit(Tensor::<3>::from_data(queries, &device)).swap_dims(1, 2);
    let mut nearest: Vec<Vec<NearPatch>> = vec![Vec::new(); number];
    for_each_batch(source, size, extract, |batch| {
        let shape = [batch.indices.len(), height, width];
        let images = extract
            .normalization
            .loaded_images(batch.pixels, shape, &device);
        let features = config.objective.features(&target, images);
        if !features.clone().is_finite().all().into_scalar::<bool>() {
            let values: Vec<f32> = features.to_data().iter().collect();
            batch.check_finite(&values, source)?;
        }
        let (cosines, patches) = unit(features)
            .matmul(queries.clone())
            .max_dim_with_indices(1);
        let cosines = cosines.into_data();
        let patches = patches.into_data();
        let best = cosines.iter::<f64>().zip(patches.iter::<i64>());
        for (at, (cosine, patch)) in best.enumerate() {
            let (index, list) = (batch.indices[at / number], &mut nearest[at % number]);
            // Equally near patches stay in the order of the source.
            let place = list.partition_point(|other| other.cosine >= cosine);
            if place < count {
                list.insert(
                    place,
                    NearPatch {
                        index,
                        path: source.name(index),
                        row: patch as usize / cols,
                        col: patch as usize % cols,
                        cosine,
                    },
                );
                list.truncate(count);
            }
        }
        progress(batch.done);
        Ok::<_, ExtractError>(())
    })?;
    Ok(nearest)
}

/// Rows of length 1.
fn unit(rows: Tensor<3>) -> Tensor<3> {
    let norms = rows.clone().square().sum_dim(2).sqrt();
    rows / norms.clamp_min(LEAST_NORM)
}
