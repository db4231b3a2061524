//! Gradients of a network in a few long tensors, which travel one by one.

use std::vec::IntoIter;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::Tensor,
};

use crate::ranks::{BUCKET, Ranks};

/// A parameter and its gradient, `[values]`.
type Piece = (ParamId, Tensor<1>);

/// The sums of `gradients` over all ranks, which have gradients of the same parameters of `module`.
pub(super) fn summed<M: Module>(
    module: &M,
    gradients: GradientsParams,
    ranks: &dyn Ranks,
) -> GradientsParams {
    let mut flatten = Flatten {
        gradients,
        pieces: Vec::new(),
    };
    module.visit(&mut flatten);
    let buckets = buckets(flatten.pieces, BUCKET);
    let contents: Vec<Vec<(ParamId, usize)>> = buckets.iter().map(|bucket| sizes(bucket)).collect();
    let mut tensors = buckets.into_iter().map(|bucket| {
        let tensors = bucket.into_iter().map(|(_, tensor)| tensor);
        Tensor::cat(tensors.collect(), 0)
    });
    let sums = ranks.sum_tensors(&mut tensors).into_iter().zip(contents);
    let pieces: Vec<Piece> = sums
        .flat_map(|(sum, content)| taken_apart(sum, content))
        .collect();
    let mut restore = Restore {
        pieces: pieces.into_iter(),
        gradients: GradientsParams::new(),
    };
    module.visit(&mut restore);
    restore.gradients
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

struct Flatten {
    gradients: GradientsParams,
    pieces: Vec<Piece>,
}

impl ModuleVisitor for Flatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let values = gradient.shape().num_elements();
            self.pieces.push((param.id, gradient.reshape([values])));
        }
    }
}

struct Restore {
    pieces: IntoIter<Piece>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Restore {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let next = self.pieces.as_slice().first();
        if next.is_none_or(|(id, _)| *id != param.id) {
            return;
        }
        let (id, sum) = self.pieces.next().expect("it was just seen");
        let sum: Tensor<D> = sum.reshape(param.lazy_shape());
        self.gradients.register(id, sum);
    }
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
