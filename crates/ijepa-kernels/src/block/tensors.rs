//! The parameters of a block, in the order in which operations take them.

use burn::{
    backend::{Backend, ExtensionType, tensor::FloatTensor},
    tensor::FloatDType,
};

use crate::{
    list::Tensors,
    primitives::{LinearTensors, NormTensors, Primitives},
};

/// Parameters of a block, or their gradients.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct BlockTensors<B: Backend> {
    #[extension_type]
    pub(crate) norm1: NormTensors<B>,
    #[extension_type]
    pub(crate) qkv: LinearTensors<B>,
    #[extension_type]
    pub(crate) proj: LinearTensors<B>,
    #[extension_type]
    pub(crate) norm2: NormTensors<B>,
    #[extension_type]
    pub(crate) fc1: LinearTensors<B>,
    #[extension_type]
    pub(crate) fc2: LinearTensors<B>,
}

/// Number of tensors that a block is computed from: its input and its parameters.
pub(crate) const BLOCK_INPUTS: usize = 13;

impl<B: Backend> BlockTensors<B> {
    /// `x` and all tensors in the order of the fields.
    pub(crate) fn into_inputs(self, x: FloatTensor<B>) -> [FloatTensor<B>; BLOCK_INPUTS] {
        let [norm1, norm2] = [self.norm1, self.norm2].map(|norm| [norm.gamma, norm.beta]);
        let linears = [self.qkv, self.proj, self.fc1, self.fc2];
        let [qkv, proj, fc1, fc2] = linears.map(|linear| [linear.weight, linear.bias]);
        let pairs = [norm1, qkv, proj, norm2, fc1, fc2];
        let mut inputs = std::iter::once(x).chain(pairs.into_iter().flatten());
        std::array::from_fn(|_| inputs.next().expect("an input and six pairs"))
    }

    /// The inverse of [`into_inputs`](Self::into_inputs).
    pub(crate) fn from_inputs(inputs: [FloatTensor<B>; BLOCK_INPUTS]) -> (FloatTensor<B>, Self) {
        let [
            x,
            g1,
            b1,
            w_qkv,
            b_qkv,
            w_proj,
            b_proj,
            g2,
            b2,
            w1,
            c1,
            w2,
            c2,
        ] = inputs;
        let norm = |gamma, beta| NormTensors { gamma, beta };
        let linear = |weight, bias| LinearTensors { weight, bias };
        let tensors = Self {
            norm1: norm(g1, b1),
            qkv: linear(w_qkv, b_qkv),
            proj: linear(w_proj, b_proj),
            norm2: norm(g2, b2),
            fc1: linear(w1, c1),
            fc2: linear(w2, c2),
        };
        (x, tensors)
    }
}

impl<B: Primitives> BlockTensors<B> {
    /// With weights as products in `dtype` take them.
    pub(super) fn narrowed(mut self, dtype: Option<FloatDType>) -> Self {
        let Some(dtype) = dtype else {
            return self;
        };
        let linears = [&mut self.qkv, &mut self.proj, &mut self.fc1, &mut self.fc2];
        let weights = linears.each_ref().map(|linear| linear.weight.clone());
        let narrow = B::narrow_all(Tensors(weights.into()), dtype);
        for (linear, weight) in linears.into_iter().zip(narrow.0) {
            linear.weight = weight;
        }
        self
    }
}
