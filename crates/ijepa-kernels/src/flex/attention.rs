//! Self-attention on packed queries, keys and values: heads are views, and the weights of one
//! block of queries at a time stay in the cache.

use burn::{backend::flex::FlexTensor, tensor::Shape};
use gemm::Parallelism;
use rayon::prelude::*;

use super::{
    affine::{Matrix, product},
    buffer::{build, contiguous, values},
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
}

impl Packing {
    fn of(qkv: &FlexTensor, num_heads: usize) -> Self {
        let [batch, tokens, triple] = qkv.layout().shape().dims::<3>();
        Self {
            batch,
            tokens,
            num_heads,
            head_dim: triple / 3 / num_heads,
        }
    }

    fn dim(&self) -> usize {
        self.num_heads * self.head_dim
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }

    /// First value of head `index` (of all images) in a tensor of `parts * dim` features.
    fn offset(&self, index: usize, part: usize, parts: usize) -> usize {
        let (image, head) = (index / self.num_heads, index % self.num_heads);
        image * self.tokens * parts * self.dim() + part * self.dim() + head * self.head_dim
    }

    /// Tokens `rows` of a head in a tensor of `parts * dim` features.
    fn view(
        &self,
        values: &[f32],
        (index, part, parts): (usize, usize, usize),
        rows: std::ops::Range<usize>,
    ) -> Matrix {
        let stride = parts * self.dim();
        let start = self.offset(index, part, parts) + rows.start * stride;
        Matrix {
            start: values[start..].as_ptr(),
            rows: rows.len(),
            cols: self.head_dim,
            row_stride: stride as isize,
            col_stride: 1,
        }
    }

    /// Queries that a task handles at once.
    fn queries_at_once(&self) -> usize {
        let blocks = (self.tokens * self.tokens).div_ceil(SCRATCH).max(1);
        self.tokens.div_ceil(blocks).max(1)
    }

    /// Blocks of queries of one head.
    fn query_blocks(self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let step = self.queries_at_once();
        (0..self.tokens)
            .step_by(step)
            .map(move |start| start..self.tokens.min(start + step))
    }

    /// `softmax(q k^T * scale)` of some queries into `weights`.
    fn weights(
        &self,
        qkv: &[f32],
        head: usize,
        queries: &std::ops::Range<usize>,
        weights: &mut [f32],
    ) {
        let q = self.view(qkv, (head, 0, 3), queries.clone());
        let k = self.view(qkv, (head, 1, 3), 0..self.tokens);
        multiply(weights, self.tokens, false, q, k.transposed());
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

/// `output = lhs rhs` in rows of `stride` on this thread.
fn multiply(output: &mut [f32], stride: usize, add: bool, lhs: Matrix, rhs: Matrix) {
    assert!(output.len() >= (lhs.rows - 1) * stride + rhs.cols);
    #[expect(
        unsafe_code,
        reason = "the matrix product works on pointers and strides"
    )]
    // SAFETY: the output has room; the views were made of slices that callers hold.
    unsafe {
        product(
            output.as_mut_ptr(),
            stride,
            add,
            lhs,
            rhs,
            Parallelism::None,
        );
    }
}

/// The memory of an output whose heads are written by different threads.
#[derive(Clone, Copy)]
struct Output(*mut f32);

#[expect(
    unsafe_code,
    reason = "heads interleave in memory, so no slices can split them"
)]
// SAFETY: every task writes the features of its own head only.
unsafe impl Send for Output {}
#[expect(
    unsafe_code,
    reason = "heads interleave in memory, so no slices can split them"
)]
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    /// Writes a product to the features of a head, starting at value `offset`.
    fn write(self, offset: usize, stride: usize, add: bool, lhs: Matrix, rhs: Matrix) {
        #[expect(
            unsafe_code,
            reason = "heads interleave in memory, so no slices can split them"
        )]
        // SAFETY: `offset` and `stride` come from `Packing`, for a tensor of that size; no other
        // task writes this head, and what is added to has been written before.
        unsafe {
            product(self.0.add(offset), stride, add, lhs, rhs, Parallelism::None);
        }
    }
}

pub(super) fn mix(qkv: &FlexTensor, num_heads: usize) -> FlexTensor {
    let packing = Packing::of(qkv, num_heads);
    let qkv = contiguous(qkv);
    let (qkv, dim) = (values(&qkv), packing.dim());
    let shape = Shape::new([packing.batch, packing.tokens, dim]);
    build(shape, |output| {
        let output = Output(output.as_mut_ptr().cast());
        let block = packing.queries_at_once() * packing.tokens;
        (0..packing.batch * num_heads)
            .into_par_iter()
            .for_each_init(
                || vec![0.0; block],
                |scratch, head| {
                    for queries in packing.query_blocks() {
                        let weights = &mut scratch[..queries.len() * packing.tokens];
                        packing.weights(qkv, head, &queries, weights);
                        let v = packing.view(qkv, (head, 2, 3), 0..packing.tokens);
                        let start = packing.offset(head, 0, 1) + queries.start * dim;
                        output.write(start, dim, false, of_rows(weights, packing.tokens), v);
                    }
                },
            );
    })
}

/// Rows of `cols` values.
fn of_rows(values: &[f32], cols: usize) -> Matrix {
    Matrix {
        start: values.as_ptr(),
        rows: values.len() / cols,
        cols,
        row_stride: cols as isize,
        col_stride: 1,
    }
}

/// Inputs of the backward pass.
struct Backward<'a> {
    packing: Packing,
    qkv: &'a [f32],
    mixed: &'a [f32],
    grad: &'a [f32],
    output: Output,
}

impl Backward<'_> {
    /// Gradients of one head: the weights and their gradients, a block of queries at a time.
    fn head(&self, head: usize, weights: &mut [f32], d_weights: &mut [f32]) {
        let packing = self.packing;
        let tokens = packing.tokens;
        let stride = 3 * packing.dim();
        let all = 0..tokens;
        let place = |part: usize| packing.offset(head, part, 3);
        let k = packing.view(self.qkv, (head, 1, 3), all.clone());
        let v = packing.view(self.qkv, (head, 2, 3), all);
        for queries in packing.query_blocks() {
            let add = queries.start > 0;
            let size = queries.len() * tokens;
            let (weights, d_weights) = (&mut weights[..size], &mut d_weights[..size]);
            packing.weights(self.qkv, head, &queries, weights);
            let grad = packing.view(self.grad, (head, 0, 1), queries.clone());
            let transposed = of_rows(weights, tokens).transposed();
            self.output.write(place(2), stride, add, transposed, grad);
            multiply(d_weights, tokens, false, grad, v.transposed());
            let start = packing.offset(head, 0, 1) + queries.start * packing.dim();
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
            let d_scores = of_rows(d_weights, tokens);
            let start = place(0) + queries.start * stride;
            self.output.write(start, stride, false, d_scores, k);
            let q = packing.view(self.qkv, (head, 0, 3), queries);
            self.output
                .write(place(1), stride, add, d_scores.transposed(), q);
        }
    }
}

pub(super) fn mix_backward(
    qkv: &FlexTensor,
    mixed: &FlexTensor,
    grad: &FlexTensor,
    num_heads: usize,
) -> FlexTensor {
    let packing = Packing::of(qkv, num_heads);
    let (qkv, mixed, grad) = (contiguous(qkv), contiguous(mixed), contiguous(grad));
    build(qkv.layout().shape().clone(), |output| {
        let backward = Backward {
            packing,
            qkv: values(&qkv),
            mixed: values(&mixed),
            grad: values(&grad),
            output: Output(output.as_mut_ptr().cast()),
        };
        let block = packing.queries_at_once() * packing.tokens;
        (0..packing.batch * num_heads)
            .into_par_iter()
            .for_each_init(
                || (vec![0.0; block], vec![0.0; block]),
                |(weights, d_weights), head| backward.head(head, weights, d_weights),
            );
    })
}
