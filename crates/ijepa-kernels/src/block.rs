//! The pre-norm transformer block as one operation.

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::{DType, FloatDType, Slice, TensorData},
};

use crate::{
    plain,
    primitives::{LinearTensors, NormTensors, NormedSum, Optional, Primitives, Projected},
};

mod backward;
mod tensors;

pub(crate) use tensors::BlockTensors;

/// How a transformer block is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockOptions {
    /// Attention heads.
    pub num_heads: usize,
    /// Added to the variance in both norms.
    pub epsilon: f64,
    /// Number type of the operands of matrix products, and on GPUs of the activations between
    /// them; `None` keeps that of the weights. Norms, softmax and residual stream stay as they
    /// are.
    pub compute_dtype: Option<FloatDType>,
    /// Round the operands of products with weights to 8 bits on processors that multiply such
    /// numbers; where nothing is kept for a backward pass only.
    pub int8: bool,
    /// Keep only the input for the backward pass and compute the activations again there
    /// (activation checkpointing): about a third more work for a tenth of the memory.
    pub recompute: bool,
    /// Factors of the attention branch and of the MLP branch for each sample, `[batch]`: how
    /// stochastic depth drops branches. `None` leaves them as they are.
    pub branch_factors: Option<[Vec<f32>; 2]>,
    /// First token whose output is wanted. Earlier ones are attended to like the others, but
    /// nothing else is computed for them: the output has the tokens from here on. 0 for all.
    pub outputs_from: usize,
}

/// One of the two branches that add to the residual stream.
#[derive(Debug, Clone, Copy)]
enum Branch {
    Attention,
    Mlp,
}

/// What the backward pass needs beside input and parameters.
#[derive(Debug, Clone)]
pub(crate) struct Activations<B: Backend> {
    /// Queries, keys and values.
    qkv: Projected<B>,
    /// Output of the attention before its projection.
    mixed: FloatTensor<B>,
    /// Residual stream between the two branches.
    middle: FloatTensor<B>,
    /// Hidden layer before bias and GELU.
    hidden: FloatTensor<B>,
}

/// Parameters of a block and how to run it.
struct Block<'a, B: Backend> {
    /// Weights are as matrix products take them.
    tensors: BlockTensors<B>,
    options: &'a BlockOptions,
}

impl<'a, B: Primitives> Block<'a, B> {
    fn new(tensors: &BlockTensors<B>, options: &'a BlockOptions) -> Self {
        Self {
            tensors: tensors.clone().narrowed(options.compute_dtype),
            options,
        }
    }

    /// `x` as matrix products take it.
    fn narrow(&self, x: &FloatTensor<B>) -> FloatTensor<B> {
        match self.options.compute_dtype {
            None => x.clone(),
            dtype => B::narrow(x.clone(), dtype),
        }
    }

    /// `x` in f32, the type of residual stream and parameters.
    fn widen(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        match self.options.compute_dtype {
            Some(_) => plain::cast::<B>(x, DType::F32),
            None => x,
        }
    }

    /// Scales a branch, or its gradient, by the factor of each sample.
    fn scale(&self, branch: Branch, x: FloatTensor<B>) -> FloatTensor<B> {
        let Some(factors) = &self.options.branch_factors else {
            return x;
        };
        let factors = factors[branch as usize].clone();
        let shape = [factors.len(), 1, 1];
        let factors = B::float_from_data(TensorData::new(factors, shape), &x.device());
        B::float_mul(x, factors)
    }

    /// Projects a branch whose samples have factors and adds it to the residual stream.
    fn add_scaled(
        &self,
        branch: Branch,
        stream: FloatTensor<B>,
        x: FloatTensor<B>,
        linear: LinearTensors<B>,
    ) -> FloatTensor<B> {
        let projected = self.widen(B::affine(x, linear, self.options.compute_dtype));
        B::float_add(stream, self.scale(branch, projected))
    }

    /// Where the tokens lie whose output is wanted.
    fn wanted_slices(&self, x: &FloatTensor<B>) -> [Slice; 2] {
        let [batch, tokens, _] = x.shape().dims::<3>();
        [0..batch, self.options.outputs_from..tokens].map(Slice::from)
    }

    /// The tokens whose output is wanted.
    fn wanted(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        if self.options.outputs_from == 0 {
            return x;
        }
        let slices = self.wanted_slices(&x);
        B::float_slice(x, &slices)
    }

    /// What both norms add to the variance, and the type that they write.
    fn norm_options(&self) -> (f64, Option<FloatDType>) {
        (self.options.epsilon, self.options.compute_dtype)
    }

    fn norm(&self, norm: &NormTensors<B>, x: &FloatTensor<B>) -> FloatTensor<B> {
        let (epsilon, dtype) = self.norm_options();
        B::norm(x.clone(), norm.clone(), epsilon, dtype)
    }

    fn mix(&self, qkv: Projected<B>) -> FloatTensor<B> {
        let BlockOptions {
            num_heads,
            outputs_from,
            compute_dtype,
            ..
        } = *self.options;
        B::mix(qkv, num_heads, outputs_from, compute_dtype)
    }

    fn qkv(&self, x: &FloatTensor<B>) -> Projected<B> {
        let normed = self.norm(&self.tensors.norm1, x);
        B::projected(normed, self.tensors.qkv.clone(), self.options.compute_dtype)
    }

    /// The residual stream after the attention branch, and its norm.
    fn middle(&self, x: FloatTensor<B>, mixed: FloatTensor<B>) -> NormedSum<B> {
        let linear = self.tensors.proj.clone();
        let (stream, norm) = (self.wanted(x), &self.tensors.norm2);
        if self.options.branch_factors.is_none() {
            let (norm, (epsilon, dtype)) = (norm.clone(), self.norm_options());
            return B::affine_onto_and_norm(stream, mixed, linear, norm, epsilon, dtype);
        }
        let sum = self.add_scaled(Branch::Attention, stream, mixed, linear);
        let normed = self.norm(norm, &sum);
        NormedSum { sum, normed }
    }

    fn hidden(&self, normed: FloatTensor<B>) -> FloatTensor<B> {
        let weight = self.tensors.fc1.weight.clone();
        B::product(normed, weight, self.options.compute_dtype)
    }

    /// The output, from the residual stream between the branches and the hidden layer.
    fn finish(&self, middle: FloatTensor<B>, hidden: FloatTensor<B>) -> FloatTensor<B> {
        let activated = B::biased_gelu(hidden, self.tensors.fc1.bias.clone());
        let linear = self.tensors.fc2.clone();
        match self.options.branch_factors {
            None => B::affine_onto(middle, activated, linear, self.options.compute_dtype),
            Some(_) => self.add_scaled(Branch::Mlp, middle, activated, linear),
        }
    }

    /// The output, of weights and what they are multiplied by in 8 bits.
    fn in_int8(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let Block {
            tensors: t,
            options,
        } = self;
        let affine = |residual, x, linear: &LinearTensors<B>| {
            B::affine_int8(residual, x, linear.clone(), options.compute_dtype)
        };
        let normed = self.norm(&t.norm1, &x);
        let mixed = self.mix(Projected::whole(affine(Optional::None, normed, &t.qkv)));
        let middle = affine(Optional::Some(self.wanted(x)), mixed, &t.proj);
        let normed = self.norm(&t.norm2, &middle);
        let no_bias = B::float_mul_scalar(t.fc1.bias.clone(), 0.0.into());
        let hidden = LinearTensors {
            weight: t.fc1.weight.clone(),
            bias: no_bias,
        };
        let hidden = affine(Optional::None, normed, &hidden);
        let activated = B::biased_gelu(hidden, t.fc1.bias.clone());
        affine(Optional::Some(middle), activated, &t.fc2)
    }

    fn activations(&self, x: FloatTensor<B>) -> Activations<B> {
        let qkv = self.qkv(&x);
        let mixed = self.mix(qkv.clone());
        let middle = self.middle(x, mixed.clone());
        Activations {
            qkv,
            mixed,
            middle: middle.sum,
            hidden: self.hidden(middle.normed),
        }
    }
}

/// The block without anything kept: buffers are reused where the backend can.
pub(crate) fn infer<B: Primitives>(
    x: FloatTensor<B>,
    tensors: &BlockTensors<B>,
    options: &BlockOptions,
) -> FloatTensor<B> {
    let block = Block::new(tensors, options);
    if options.int8 && options.branch_factors.is_none() {
        return block.in_int8(x);
    }
    let mixed = block.mix(block.qkv(&x));
    let NormedSum { sum, normed } = block.middle(x, mixed);
    block.finish(sum, block.hidden(normed))
}

/// The block with what its backward pass needs.
pub(crate) fn forward<B: Primitives>(
    x: FloatTensor<B>,
    tensors: &BlockTensors<B>,
    options: &BlockOptions,
) -> (FloatTensor<B>, Option<Activations<B>>) {
    if options.recompute {
        return (infer::<B>(x, tensors, options), None);
    }
    let block = Block::new(tensors, options);
    let kept = block.activations(x);
    let output = block.finish(kept.middle.clone(), kept.hidden.clone());
    (output, Some(kept))
}

/// Gradients of input and parameters.
pub(crate) fn backward<B: Primitives>(
    x: FloatTensor<B>,
    kept: Option<Activations<B>>,
    tensors: &BlockTensors<B>,
    options: &BlockOptions,
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, BlockTensors<B>) {
    let block = Block::new(tensors, options);
    let kept = kept.unwrap_or_else(|| block.activations(x.clone()));
    block.backward(x, kept, grad)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::{
        backend::{Flex, ops::FloatTensorOps},
        tensor::Shape,
    };

    use super::{tensors::BLOCK_INPUTS, *};

    #[test]
    fn recomputing_keeps_no_activations() {
        let (dim, hidden) = (4, 8);
        let ones = |shape: &[usize]| {
            Flex::float_ones(Shape::from(shape), &Default::default(), FloatDType::F32)
        };
        let shapes: [&[usize]; BLOCK_INPUTS] = [
            &[1, 3, dim],
            &[dim],
            &[dim],
            &[dim, 3 * dim],
            &[3 * dim],
            &[dim, dim],
            &[dim],
            &[dim],
            &[dim],
            &[dim, hidden],
            &[hidden],
            &[hidden, dim],
            &[dim],
        ];
        let (x, tensors) = BlockTensors::<Flex>::from_inputs(shapes.map(ones));
        for recompute in [false, true] {
            let options = BlockOptions {
                num_heads: 2,
                epsilon: 1e-6,
                compute_dtype: None,
                int8: false,
                recompute,
                branch_factors: None,
                outputs_from: 0,
            };
            let (_, kept) = forward::<Flex>(x.clone(), &tensors, &options);
            assert_eq!(kept.is_none(), recompute);
        }
    }
}
