//! Self-attention on packed queries, keys and values: heads are views, and the weights of one
//! block of queries at a time stay in the cache.

use std::{mem::MaybeUninit, ops::Range};

use burn::{backend::flex::FlexTensor, tensor::Shape};
use rayon::prelude::*;

use super::{
    buffer::{build, contiguous, values},
    matrix::Matrix,
    onto::Onto,
    product::{Operands, Output, product_here},
    simd::{Kernel, exp, max, sum, sum2, vectorized},
};

/// Attention weights that a task holds at once; they should stay in the second cache.
const SCRATCH: usize = 64 * 1024;

/// Where heads lie in packed tensors.
#[derive(Debug, Clone, Copy)]
struct Packing {
    batch: usize,
    tokens: usize,
    num_heads: usize,
    head_dim: usize,
    /// First query.
    first: usize,
    operands: Operands,
}

impl Packing {
    fn of(qkv: &FlexTensor, num_heads: usize, first: usize, operands: Operands) -> Self {
        let [batch, tokens, triple] = qkv.layout().shape().dims::<3>();
        Self {
            batch,
            tokens,
            num_heads,
            head_dim: triple / 3 / num_heads,
            first,
            operands,
        }
    }

    fn dim(&self) -> usize {
        self.num_heads * self.head_dim
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }

    /// First value of a part (0 queries, 1 keys, 2 values) of head `index`, counted over all
    /// images, in the packed tensor.
    fn part_offset(&self, index: usize, part: usize) -> usize {
        let (image, head) = (index / self.num_heads, index % self.num_heads);
        image * self.tokens * 3 * self.dim() + part * self.dim() + head * self.head_dim
    }

    /// Tokens `rows` of a part of a head in the packed tensor.
    fn part<'a>(
        &self,
        packed: &'a [f32],
        index: usize,
        part: usize,
        rows: Range<usize>,
    ) -> Matrix<'a> {
        let stride = 3 * self.dim();
        let start = self.part_offset(index, part) + rows.start * stride;
        self.rows_of_head(packed, start, rows.len(), stride)
    }

    /// First value of query `query` of head `index` in a tensor of outputs.
    fn output_offset(&self, index: usize, query: usize) -> usize {
        let (image, head) = (index / self.num_heads, index % self.num_heads);
        let row = image * (self.tokens - self.first) + query - self.first;
        row * self.dim() + head * self.head_dim
    }

    /// Rows of `head_dim` values, the first at `start`, `stride` apart.
    fn rows_of_head<'a>(
        &self,
        values: &'a [f32],
        start: usize,
        rows: usize,
        stride: usize,
    ) -> Matrix<'a> {
        Matrix::new(values, start, [rows, self.head_dim], [stride as isize, 1])
    }

    /// Queries that a task handles at once.
    fn queries_at_once(&self) -> usize {
        let blocks = (self.tokens * self.tokens).div_ceil(SCRATCH).max(1);
        self.tokens.div_ceil(blocks).max(1)
    }

    /// Blocks of queries of one head.
    fn query_blocks(self) -> impl Iterator<Item = Range<usize>> {
        let step = self.queries_at_once();
        (self.first..self.tokens)
            .step_by(step)
            .map(move |start| start..self.tokens.min(start + step))
    }

    /// `softmax(q k^T * scale)` of some queries into `weights`.
    fn weights(&self, qkv: &[f32], head: usize, queries: &Range<usize>, weights: &mut [f32]) {
        let q = self.part(qkv, head, 0, queries.clone());
        let k = self.part(qkv, head, 1, 0..self.tokens);
        product_here(weights, false, [q, k.transposed()], self.operands);
        vectorized(Softmax {
            rows: weights,
            tokens: self.tokens,
            scale: self.scale(),
        });
    }
}

/// `softmax(row * scale)` of every row, in place.
struct Softmax<'a> {
    rows: &'a mut [f32],
    tokens: usize,
    scale: f32,
}

impl Kernel for Softmax<'_> {
    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact_mut(self.tokens) {
            let largest = max(row);
            for value in row.iter_mut() {
                *value = exp((*value - largest) * self.scale);
            }
            let norm = sum(row, |x| x).recip();
            for value in row.iter_mut() {
                *value *= norm;
            }
        }
    }
}

/// Turns gradients of some rows of the weights into those of `q k^T`.
struct ScoreGradients<'a> {
    weights: &'a [f32],
    d_weights: &'a mut [f32],
    tokens: usize,
    /// Output of the head, its first row first; rows are `stride` apart.
    mixed: &'a [f32],
    /// Gradient of that output.
    grad: &'a [f32],
    stride: usize,
    head_dim: usize,
    scale: f32,
}

impl Kernel for ScoreGradients<'_> {
    #[inline(always)]
    fn run(self) {
        let rows = self
            .weights
            .chunks_exact(self.tokens)
            .zip(self.d_weights.chunks_exact_mut(self.tokens))
            .zip(
                self.mixed
                    .chunks(self.stride)
                    .zip(self.grad.chunks(self.stride)),
            );
        for ((weights, d_weights), (mixed, grad)) in rows {
            let (mixed, grad) = (&mixed[..self.head_dim], &grad[..self.head_dim]);
            let inner = sum2(mixed, grad, |m, g| m * g);
            for (d_weight, weight) in d_weights.iter_mut().zip(weights) {
                *d_weight = weight * (*d_weight - inner) * self.scale;
            }
        }
    }
}

pub(super) fn mix(
    qkv: &FlexTensor,
    num_heads: usize,
    first: usize,
    operands: Operands,
) -> FlexTensor {
    let packing = Packing::of(qkv, num_heads, first, operands);
    let qkv = contiguous(qkv);
    let (qkv, dim) = (values(&qkv), packing.dim());
    let shape = Shape::new([packing.batch, packing.tokens - first, dim]);
    let block = packing.queries_at_once() * packing.tokens;
    let head = |output: Output<'_>, scratch: &mut [f32], head: usize| {
        for queries in packing.query_blocks() {
            let weights = &mut scratch[..queries.len() * packing.tokens];
            packing.weights(qkv, head, &queries, weights);
            let weights = Matrix::of_rows(weights, packing.tokens);
            let v = packing.part(qkv, head, 2, 0..packing.tokens);
            let start = packing.output_offset(head, queries.start);
            // SAFETY: these are the features of this head for these queries, nobody else's.
            unsafe { output.write(start, dim, Onto::Nothing, [weights, v], operands) }
        }
    };
    let fill = |output: &mut [MaybeUninit<f32>]| {
        let output = Output::new(output);
        (0..packing.batch * num_heads)
            .into_par_iter()
            .for_each_init(
                || vec![0.0; block],
                |scratch, index| head(output, scratch, index),
            );
    };
    // SAFETY: the heads write all features of all queries.
    unsafe { build(shape, fill) }
}

/// Inputs and output of the backward pass.
struct Backward<'a> {
    packing: Packing,
    qkv: &'a [f32],
    mixed: &'a [f32],
    grad: &'a [f32],
    output: Output<'a>,
}

impl Backward<'_> {
    /// Gradients of one head, which no other task computes: the weights and their gradients, a
    /// block of queries at a time.
    fn head(&self, head: usize, weights: &mut [f32], d_weights: &mut [f32]) {
        let packing = self.packing;
        let tokens = packing.tokens;
        let stride = 3 * packing.dim();
        let place = |part: usize| packing.part_offset(head, part);
        let operands = packing.operands;
        let write = |start: usize, add: bool, matrices: [Matrix<'_>; 2]| {
            // SAFETY: all that is written here are queries, keys and values of this head, and the
            // first block writes what the others add to.
            unsafe {
                let onto = Onto::output_if(add);
                self.output.write(start, stride, onto, matrices, operands)
            }
        };
        let k = packing.part(self.qkv, head, 1, 0..tokens);
        let v = packing.part(self.qkv, head, 2, 0..tokens);
        let unused = [packing.first, packing.head_dim];
        // SAFETY: as above.
        unsafe { self.output.clear(place(0), stride, unused) };
        for queries in packing.query_blocks() {
            let add = queries.start > packing.first;
            let size = queries.len() * tokens;
            let (weights, d_weights) = (&mut weights[..size], &mut d_weights[..size]);
            packing.weights(self.qkv, head, &queries, weights);
            let start = packing.output_offset(head, queries.start);
            let grad = packing.rows_of_head(self.grad, start, queries.len(), packing.dim());
            let transposed = Matrix::of_rows(weights, tokens).transposed();
            write(place(2), add, [transposed, grad]);
            product_here(d_weights, false, [grad, v.transposed()], operands);
            vectorized(ScoreGradients {
                weights,
                d_weights,
                tokens,
                mixed: &self.mixed[start..],
                grad: &self.grad[start..],
                stride: packing.dim(),
                head_dim: packing.head_dim,
                scale: packing.scale(),
            });
            let d_scores = Matrix::of_rows(d_weights, tokens);
            write(place(0) + queries.start * stride, false, [d_scores, k]);
            let q = packing.part(self.qkv, head, 0, queries);
            write(place(1), add, [d_scores.transposed(), q]);
        }
    }
}

pub(super) fn mix_backward(
    qkv: &FlexTensor,
    mixed: &FlexTensor,
    grad: &FlexTensor,
    num_heads: usize,
    first: usize,
    operands: Operands,
) -> FlexTensor {
    let packing = Packing::of(qkv, num_heads, first, operands);
    let (qkv, mixed, grad) = (contiguous(qkv), contiguous(mixed), contiguous(grad));
    let fill = |output: &mut [MaybeUninit<f32>]| {
        let backward = Backward {
            packing,
            qkv: values(&qkv),
            mixed: values(&mixed),
            grad: values(&grad),
            output: Output::new(output),
        };
        let block = packing.queries_at_once() * packing.tokens;
        (0..packing.batch * num_heads)
            .into_par_iter()
            .for_each_init(
                || [vec![0.0; block], vec![0.0; block]],
                |[weights, d_weights], head| backward.head(head, weights, d_weights),
            );
    };
    // SAFETY: the heads write queries, keys and values of all tokens.
    unsafe { build(qkv.layout().shape().clone(), fill) }
}
