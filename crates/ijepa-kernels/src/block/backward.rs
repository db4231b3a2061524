//! The gradients of a block.

use burn::backend::tensor::FloatTensor;

use super::{Activations, Block, BlockOptions, BlockTensors, Branch};
use crate::{
    plain,
    primitives::{
        LinearTensors, NormGradients, NormTensors, Optional, Primitives, SummedNormGradients,
    },
};

impl<B: Primitives> Block<'_, B> {
    /// Gradient of a product with respect to its input, in the type of matrix products.
    fn input_backward(&self, grad: &FloatTensor<B>, weight: &FloatTensor<B>) -> FloatTensor<B> {
        let dtype = self.options.compute_dtype;
        plain::product_x_backward::<B>(grad.clone(), weight.clone(), dtype)
    }

    /// Gradient of a product with respect to its weight, in f32.
    fn weight_backward(&self, x: &FloatTensor<B>, grad: &FloatTensor<B>) -> FloatTensor<B> {
        let (x, dtype) = (self.narrow(x), self.options.compute_dtype);
        self.widen(B::product_weight_backward(x, grad.clone(), dtype))
    }

    fn norm_backward(
        &self,
        x: FloatTensor<B>,
        norm: &NormTensors<B>,
        grad: FloatTensor<B>,
        residual: Optional<B>,
    ) -> NormGradients<B> {
        let (epsilon, dtype) = self.norm_options();
        B::norm_backward(x, norm.clone(), epsilon, grad, residual, dtype)
    }

    /// The gradients of the second norm, that of the attention branch, and those of the biases of
    /// the MLP's and the attention's projection, given the gradients of the norm's output, of the
    /// block's output and of the MLP branch.
    fn middle_backward(
        &self,
        middle: FloatTensor<B>,
        d_normed: FloatTensor<B>,
        grad: FloatTensor<B>,
        d_mlp: FloatTensor<B>,
    ) -> (NormGradients<B>, FloatTensor<B>, [FloatTensor<B>; 2]) {
        let norm = &self.tensors.norm2;
        if self.options.branch_factors.is_none() {
            let (norm, (epsilon, dtype)) = (norm.clone(), self.norm_options());
            let SummedNormGradients {
                gradients,
                residual_sums,
                x_sums,
            } = B::norm_backward_and_sums(middle, norm, epsilon, d_normed, grad, dtype);
            let d_attention = gradients.x.clone();
            return (gradients, d_attention, [residual_sums, x_sums]);
        }
        let mlp_bias = B::column_sums(d_mlp);
        let gradients = self.norm_backward(middle, norm, d_normed, Optional::Some(grad));
        let d_attention = self.scale(Branch::Attention, gradients.x.clone());
        let biases = [mlp_bias, B::column_sums(d_attention.clone())];
        (gradients, d_attention, biases)
    }

    pub(super) fn backward(
        &self,
        x: FloatTensor<B>,
        kept: Activations<B>,
        grad: FloatTensor<B>,
    ) -> (FloatTensor<B>, BlockTensors<B>) {
        let t = &self.tensors;
        let BlockOptions {
            num_heads,
            outputs_from,
            compute_dtype,
            ..
        } = *self.options;

        let d_mlp = self.scale(Branch::Mlp, grad.clone());
        let narrow = self.narrow(&d_mlp);
        let d_activated = self.input_backward(&narrow, &t.fc2.weight);
        let gelu = B::biased_gelu_backward(kept.hidden, t.fc1.bias.clone(), d_activated);
        let d_fc2 = self.weight_backward(&gelu.output, &narrow);
        let d_normed = self.input_backward(&gelu.x, &t.fc1.weight);
        let (norm2, d_attention, [fc2_bias, proj_bias]) =
            self.middle_backward(kept.middle, d_normed, grad, d_mlp);
        let fc2 = LinearTensors {
            weight: d_fc2,
            bias: fc2_bias,
        };
        let fc1 = LinearTensors {
            weight: self.weight_backward(&norm2.output, &gelu.x),
            bias: gelu.bias,
        };

        let d_middle = norm2.x;
        let narrow = self.narrow(&d_attention);
        let d_mixed = self.input_backward(&narrow, &t.proj.weight);
        let proj = LinearTensors {
            weight: self.weight_backward(&kept.mixed, &narrow),
            bias: proj_bias,
        };
        let d_qkv = B::mix_backward(
            kept.qkv,
            kept.mixed,
            d_mixed,
            num_heads,
            outputs_from,
            compute_dtype,
        );
        let d_normed = self.input_backward(&d_qkv, &t.qkv.weight);
        let (residual, rest) = match outputs_from {
            0 => (Optional::Some(d_middle), None),
            _ => (Optional::None, Some(d_middle)),
        };
        let norm1 = self.norm_backward(x, &t.norm1, d_normed, residual);
        let d_x = match rest {
            Some(grad) => self.add_to_wanted(norm1.x, grad),
            None => norm1.x,
        };
        let qkv = LinearTensors {
            weight: self.weight_backward(&norm1.output, &d_qkv),
            bias: self.widen(B::column_sums(d_qkv)),
        };
        let gradients = BlockTensors {
            norm1: norm1.norm,
            qkv,
            proj,
            norm2: norm2.norm,
            fc1,
            fc2,
        };
        (d_x, gradients)
    }

    /// Adds `grad`, the gradient of [`wanted`](Self::wanted) tokens, to that of all tokens.
    fn add_to_wanted(&self, all: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
        let slices = self.wanted_slices(&all);
        let sum = B::float_add(self.wanted(all.clone()), grad);
        B::float_slice_assign(all, &slices, sum)
    }
}
