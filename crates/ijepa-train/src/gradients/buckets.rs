//! Gradients of a network in a few long tensors, which travel one by one.

use burn::{
    module::{Module, ParamId},
    optim::GradientsParams,
    tensor::Tensor,
};

use super::pieces::{Piece, pieces, restored};
use crate::ranks::{BUCKET, Ranks};

/// The sums of `gradients` over all ranks, which have gradients of the same parameters of `module`.
pub(super) fn summed<M: Module>(
    module: &M,
    gradients: GradientsParams,
    ranks: &dyn Ranks,
) -> GradientsParams {
    let buckets = buckets(pieces(module, gradients), BUCKET);
    let contents: Vec<Vec<(ParamId, usize)>> = buckets.iter().map(|bucket| sizes(bucket)).collect();
    let mut tensors = buckets.into_iter().map(|bucket| {
        let tensors = bucket.into_iter().map(|(_, tensor)| tensor);
        Tensor::cat(tensors.collect(), 0)
    });
    let sums = ranks.sum_tensors(&mut tensors).into_iter().zip(contents);
    let sums = sums.flat_map(|(sum, content)| taken_apart(sum, content));
    restored(module, sums.collect())
}

/// Neighbours together, up to `most` values.
fn buckets(pieces: Vec<Piece>, most: usize) -> Vec<Vec<Piece>> {
    let (mut buckets, mut room) = (Vec::<Vec<Piece>>::new(), 0);
    for piece in pieces {
        let [values] = piece.1.dims();
        match buckets.last_mut() {
            Some(bucket) if values <= room => bucket.push(piece),
            _ => {
                buckets.push(vec![piece]);
                room = most;
            }
        }
        room = room.saturating_sub(values);
    }
    buckets
}

fn sizes(bucket: &[Piece]) -> Vec<(ParamId, usize)> {
    let sizes = bucket.iter().map(|(id, tensor)| (*id, tensor.dims()[0]));
    sizes.collect()
}

fn taken_apart(sum: Tensor<1>, content: Vec<(ParamId, usize)>) -> impl Iterator<Item = Piece> {
    let (ids, sizes): (Vec<ParamId>, Vec<usize>) = content.into_iter().unzip();
    ids.into_iter().zip(sum.split_with_sizes(sizes, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_bucket_while_there_is_room() {
        let piece = |values: usize| {
            let tensor = Tensor::<1>::zeros([values], &ijepa_testkit::device());
            (ParamId::new(), tensor)
        };
        let pieces = [3, 4, 3, 1, 12, 2, 8, 1].map(piece).into();
        let found = buckets(pieces, 10);
        let found: Vec<Vec<usize>> = found
            .iter()
            .map(|bucket| sizes(bucket).into_iter().map(|(_, size)| size).collect())
            .collect();
        assert_eq!(
            found,
            [vec![3, 4, 3], vec![1], vec![12], vec![2, 8], vec![1]]
        );
    }
}
