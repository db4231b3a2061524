//! The pre-norm transformer block as one operation.

use burn::{
    backend::{Backend, ExtensionType, TensorMetadata, tensor::FloatTensor},
    tensor::{FloatDType, TensorData},
};

use crate::primitives::Primitives;

/// How a transformer block is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockOptions {
    /// Attention heads.
    pub num_heads: usize,
    /// Added to the variance in both norms.
    pub epsilon: f64,
    /// Number type of the matrix products and the activations between them; `None` keeps that of
    /// the weights. Norms, softmax and residual stream stay as they are.
    pub compute_dtype: Option<FloatDType>,
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

/// Parameters of a block, weights `[inputs, outputs]`.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct BlockTensors<B: Backend> {
    pub(crate) norm1_gamma: FloatTensor<B>,
    pub(crate) norm1_beta: FloatTensor<B>,
    pub(crate) qkv_weight: FloatTensor<B>,
    pub(crate) qkv_bias: FloatTensor<B>,
    pub(crate) proj_weight: FloatTensor<B>,
    pub(crate) proj_bias: FloatTensor<B>,
    pub(crate) norm2_gamma: FloatTensor<B>,
    pub(crate) norm2_beta: FloatTensor<B>,
    pub(crate) fc1_weight: FloatTensor<B>,
    pub(crate) fc1_bias: FloatTensor<B>,
    pub(crate) fc2_weight: FloatTensor<B>,
    pub(crate) fc2_bias: FloatTensor<B>,
}

/// Number of tensors in [`BlockTensors`].
pub(crate) const BLOCK_TENSORS: usize = 12;

impl<B: Backend> BlockTensors<B> {
    /// In the order of the fields.
    pub(crate) fn into_array(self) -> [FloatTensor<B>; BLOCK_TENSORS] {
        [
            self.norm1_gamma,
            self.norm1_beta,
            self.qkv_weight,
            self.qkv_bias,
            self.proj_weight,
            self.proj_bias,
            self.norm2_gamma,
            self.norm2_beta,
            self.fc1_weight,
            self.fc1_bias,
            self.fc2_weight,
            self.fc2_bias,
        ]
    }

    /// The inverse of [`into_array`](Self::into_array).
    pub(crate) fn from_array(tensors: [FloatTensor<B>; BLOCK_TENSORS]) -> Self {
        let [
            norm1_gamma,
            norm1_beta,
            qkv_weight,
            qkv_bias,
            proj_weight,
            proj_bias,
            norm2_gamma,
            norm2_beta,
            fc1_weight,
            fc1_bias,
            fc2_weight,
            fc2_bias,
        ] = tensors;
        Self {
            norm1_gamma,
            norm1_beta,
            qkv_weight,
            qkv_bias,
            proj_weight,
            proj_bias,
            norm2_gamma,
            norm2_beta,
            fc1_weight,
            fc1_bias,
            fc2_weight,
            fc2_bias,
        }
    }
}

/// What the backward pass needs beside input and parameters.
#[derive(Debug, Clone)]
pub(crate) struct Activations<B: Backend> {
    /// Queries, keys and values.
    qkv: FloatTensor<B>,
    /// Output of the attention before its projection.
    mixed: FloatTensor<B>,
    /// Residual stream between the two branches.
    middle: FloatTensor<B>,
    /// Hidden layer before bias and GELU.
    hidden: FloatTensor<B>,
}

/// Parameters of a block and how to run it.
struct Block<'a, B: Backend> {
    tensors: &'a BlockTensors<B>,
    options: &'a BlockOptions,
}

impl<B: Primitives> Block<'_, B> {
    /// `x` in the type of matrix products.
    fn narrow(&self, x: &FloatTensor<B>) -> FloatTensor<B> {
        match self.options.compute_dtype {
            Some(dtype) => B::float_cast(x.clone(), dtype),
            None => x.clone(),
        }
    }

    /// `x` in f32, the type of residual stream and parameters.
    fn widen(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        match self.options.compute_dtype {
            Some(_) => B::float_cast(x, FloatDType::F32),
            None => x,
        }
    }

    /// Scales a branch, or its gradient, by the factor of each sample.
    fn scale(&self, branch: Branch, x: FloatTensor<B>) -> FloatTensor<B> {
        let Some(factors) = &self.options.branch_factors else {
            return x;
        };
        let factors = factors[branch as usize].clone();
        let factors = TensorData::new(factors.clone(), [factors.len(), 1, 1]);
        let factors = B::float_from_data(factors, &x.device());
        B::float_mul(x, factors)
    }

    /// Projects a branch and adds it to the residual stream.
    fn add_branch(
        &self,
        branch: Branch,
        stream: FloatTensor<B>,
        x: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let (weight, bias) = match branch {
            Branch::Attention => (&self.tensors.proj_weight, &self.tensors.proj_bias),
            Branch::Mlp => (&self.tensors.fc2_weight, &self.tensors.fc2_bias),
        };
        let (weight, bias) = (self.narrow(weight), self.narrow(bias));
        let plain = self.options.compute_dtype.is_none() && self.options.branch_factors.is_none();
        if plain {
            return B::affine_onto(stream, x, weight, bias);
        }
        let projected = self.widen(B::affine(x, weight, Some(bias)));
        B::float_add(stream, self.scale(branch, projected))
    }

    /// The tokens whose output is wanted.
    fn wanted(&self, x: &FloatTensor<B>) -> FloatTensor<B> {
        let first = self.options.outputs_from;
        if first == 0 {
            return x.clone();
        }
        let [batch, tokens, _] = x.shape().dims::<3>();
        B::float_slice(x.clone(), &[(0..batch).into(), (first..tokens).into()])
    }

    /// Adds `grad`, the gradient of [`wanted`](Self::wanted) tokens, to that of all tokens.
    fn add_to_wanted(&self, all: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
        let sum = B::float_add(self.wanted(&all), grad);
        let [batch, tokens, _] = all.shape().dims::<3>();
        let slices = [
            (0..batch).into(),
            (self.options.outputs_from..tokens).into(),
        ];
        B::float_slice_assign(all, &slices, sum)
    }

    fn mix(&self, qkv: FloatTensor<B>) -> FloatTensor<B> {
        B::mix(qkv, self.options.num_heads, self.options.outputs_from)
    }

    fn qkv(&self, x: &FloatTensor<B>) -> FloatTensor<B> {
        let t = self.tensors;
        let (gamma, beta) = (t.norm1_gamma.clone(), t.norm1_beta.clone());
        let normed = B::norm(x.clone(), gamma, beta, self.options.epsilon);
        let (weight, bias) = (self.narrow(&t.qkv_weight), self.narrow(&t.qkv_bias));
        B::affine(self.narrow(&normed), weight, Some(bias))
    }

    fn hidden(&self, middle: &FloatTensor<B>) -> FloatTensor<B> {
        let t = self.tensors;
        let (gamma, beta) = (t.norm2_gamma.clone(), t.norm2_beta.clone());
        let normed = B::norm(middle.clone(), gamma, beta, self.options.epsilon);
        B::affine(self.narrow(&normed), self.narrow(&t.fc1_weight), None)
    }

    /// The output, from the residual stream between the branches and the hidden layer.
    fn finish(&self, middle: FloatTensor<B>, hidden: FloatTensor<B>) -> FloatTensor<B> {
        let activated = B::biased_gelu(hidden, self.narrow(&self.tensors.fc1_bias));
        self.add_branch(Branch::Mlp, middle, activated)
    }

    fn activations(&self, x: FloatTensor<B>) -> Activations<B> {
        let qkv = self.qkv(&x);
        let mixed = self.mix(qkv.clone());
        let middle = self.add_branch(Branch::Attention, self.wanted(&x), mixed.clone());
        let hidden = self.hidden(&middle);
        Activations {
            qkv,
            mixed,
            middle,
            hidden,
        }
    }

    /// Gradient of an affine map with respect to its input, in the type of matrix products.
    fn input_backward(&self, grad: &FloatTensor<B>, weight: &FloatTensor<B>) -> FloatTensor<B> {
        B::affine_x_backward(self.narrow(grad), self.narrow(weight))
    }

    /// Gradient of an affine map with respect to its weight, in f32.
    fn weight_backward(&self, x: &FloatTensor<B>, grad: &FloatTensor<B>) -> FloatTensor<B> {
        self.widen(B::affine_weight_backward(self.narrow(x), self.narrow(grad)))
    }

    fn backward(
        &self,
        x: FloatTensor<B>,
        kept: Activations<B>,
        grad: FloatTensor<B>,
    ) -> (FloatTensor<B>, BlockTensors<B>) {
        let t = self.tensors;
        let epsilon = self.options.epsilon;

        let d_mlp = self.scale(Branch::Mlp, grad.clone());
        let d_activated = self.input_backward(&d_mlp, &t.fc2_weight);
        let bias = self.narrow(&t.fc1_bias);
        let gelu = B::biased_gelu_backward(kept.hidden, bias, d_activated);
        let fc2_weight = self.weight_backward(&gelu.output, &d_mlp);
        let fc2_bias = B::bias_backward(d_mlp);
        let d_normed = self.widen(self.input_backward(&gelu.x, &t.fc1_weight));
        let (gamma, beta) = (t.norm2_gamma.clone(), t.norm2_beta.clone());
        let norm2 = B::norm_backward(kept.middle, gamma, beta, epsilon, d_normed, Some(grad));
        let fc1_weight = self.weight_backward(&norm2.output, &gelu.x);

        let d_middle = norm2.x;
        let d_attention = self.scale(Branch::Attention, d_middle.clone());
        let d_mixed = self.input_backward(&d_attention, &t.proj_weight);
        let proj_weight = self.weight_backward(&kept.mixed, &d_attention);
        let proj_bias = B::bias_backward(d_attention);
        let first = self.options.outputs_from;
        let heads = self.options.num_heads;
        let d_qkv = B::mix_backward(kept.qkv, kept.mixed, d_mixed, heads, first);
        let d_normed = self.widen(self.input_backward(&d_qkv, &t.qkv_weight));
        let (gamma, beta) = (t.norm1_gamma.clone(), t.norm1_beta.clone());
        let (residual, rest) = match first {
            0 => (Some(d_middle), None),
            _ => (None, Some(d_middle)),
        };
        let norm1 = B::norm_backward(x, gamma, beta, epsilon, d_normed, residual);
        let d_x = match rest {
            Some(grad) => self.add_to_wanted(norm1.x, grad),
            None => norm1.x,
        };
        let gradients = BlockTensors {
            norm1_gamma: norm1.gamma,
            norm1_beta: norm1.beta,
            qkv_weight: self.weight_backward(&norm1.output, &d_qkv),
            qkv_bias: self.widen(B::bias_backward(d_qkv)),
            proj_weight,
            proj_bias,
            norm2_gamma: norm2.gamma,
            norm2_beta: norm2.beta,
            fc1_weight,
            fc1_bias: self.widen(gelu.bias),
            fc2_weight,
            fc2_bias,
        };
        (d_x, gradients)
    }
}

/// The block without anything kept: buffers are reused where the backend can.
pub(crate) fn infer<B: Primitives>(
    x: FloatTensor<B>,
    tensors: &BlockTensors<B>,
    options: &BlockOptions,
) -> FloatTensor<B> {
    let block = Block { tensors, options };
    let mixed = block.mix(block.qkv(&x));
    let stream = if options.outputs_from == 0 {
        x
    } else {
        block.wanted(&x)
    };
    let middle = block.add_branch(Branch::Attention, stream, mixed);
    let hidden = block.hidden(&middle);
    block.finish(middle, hidden)
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
    let block = Block { tensors, options };
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
    let block = Block { tensors, options };
    let kept = kept.unwrap_or_else(|| block.activations(x.clone()));
    block.backward(x, kept, grad)
}
