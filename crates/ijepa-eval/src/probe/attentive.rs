//! Attentive heads: V-JEPA's pooling by cross-attention and a linear classifier.

use std::ops::Range;

use burn::{
    module::{Module, Param},
    nn::{LayerNorm, Linear},
    tensor::{Device, Tensor, TensorData, activation::softmax},
};
use ijepa_kernels::layer_norm;
use ijepa_model::{Compute, InitScheme, Initialization, Initializer, Mlp};

use super::{Bank, HeadNorm, ProbeConfig};
use crate::{finetune::soft_cross_entropy, linalg::blocks, side_by_side::SideBySide};

/// Added to the variance by both norms (V-JEPA's, PyTorch's default).
const EPSILON: f64 = 1e-5;
/// Hidden width of the MLP over that of a token.
const MLP_RATIO: usize = 4;
/// Images that are classified at once; bounds the memory, changes nothing else.
const BLOCK: usize = 256;

/// One learned query attends to the tokens of an image, residual, `x + mlp(norm(x))`, linear
/// classifier (Bardes et al. 2024, section 4 and appendix: V-JEPA's attentive probe).
///
/// The query is the same for every image, so keys and values are never computed: scores are
/// products of the normed tokens with one vector a head, `W_k q`, and values those of the weighted
/// mean of the tokens. What tokens have in common (the offset of the norm, the bias of the keys)
/// adds the same to all scores of a head, which softmax ignores.
#[derive(Module, Debug)]
pub(super) struct AttentiveHead {
    query: Param<Tensor<3>>,
    norm1: LayerNorm,
    q: Linear,
    /// Keys and values side by side.
    kv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    mlp: Mlp,
    linear: Linear,
    #[module(skip)]
    num_heads: usize,
}

impl AttentiveHead {
    /// Initial weights for tokens `dim` wide.
    fn new([dim, classes]: [usize; 2], num_heads: usize, init: &mut Initializer<'_>) -> Self {
        Self {
            query: init.token(dim),
            norm1: init.layer_norm(dim, EPSILON),
            q: init.linear(dim, dim),
            kv: init.linear(dim, 2 * dim),
            proj: init.branch_output(dim, dim, 1),
            norm2: init.layer_norm(dim, EPSILON),
            mlp: Mlp {
                fc1: init.linear(dim, MLP_RATIO * dim),
                fc2: init.branch_output(MLP_RATIO * dim, dim, 1),
            },
            linear: init.linear(dim, classes),
            num_heads,
        }
    }

    /// Logits, `[batch, classes]`, of [`standardized`] tokens, `[batch, tokens, dim]`.
    fn forward(&self, tokens: Tensor<3>) -> Tensor<2> {
        let pooled = self.query.val() + self.proj.forward(self.attend(tokens));
        let normed = self.norm2.forward(pooled.clone());
        let pooled = pooled + self.mlp.forward(normed, Compute::default());
        self.linear.forward(pooled.squeeze_dim::<2>(1))
    }

    /// What the query finds, `[batch, 1, dim]`.
    fn attend(&self, tokens: Tensor<3>) -> Tensor<3> {
        let [batch, _, dim] = tokens.dims();
        let (heads, width) = (self.num_heads, dim / self.num_heads);
        let gamma = self.norm1.gamma.val().reshape([dim, 1]);
        let [keys, values] = [0, 1].map(|half| {
            let columns = half * dim..(half + 1) * dim;
            self.kv.weight.val().slice([0..dim, columns])
        });
        let query = self.q.forward(self.query.val()) / (width as f64).sqrt();
        let directions = (keys * query.reshape([1, dim])).reshape([dim, heads, width]);
        let directions = directions.sum_dim(2).squeeze_dim::<2>(2) * gamma.clone();

        // [batch, tokens, heads], which sum to 1 over the tokens.
        let weights = softmax(tokens.clone().matmul(directions.unsqueeze()), 1);
        // [batch, heads, dim] to [heads, batch, dim].
        let means = weights.swap_dims(1, 2).matmul(tokens).swap_dims(0, 1);
        let offset = biases(&self.norm1.beta);
        let means = means * gamma.reshape([1, 1, dim]) + offset.reshape([1, 1, dim]);
        let values = values.reshape([dim, heads, width]).swap_dims(0, 1);
        let found = means.matmul(values).swap_dims(0, 1);
        let bias = biases(&self.kv.bias).narrow(0, dim, dim);
        found.reshape([batch, 1, dim]) + bias.reshape([1, 1, dim])
    }
}

fn biases(bias: &Option<Param<Tensor<1>>>) -> Tensor<1> {
    bias.as_ref().expect("every layer has a bias").val()
}

/// Tokens with mean 0 and variance 1, which all heads share: their norms scale and shift them.
fn standardized(tokens: Tensor<3>) -> Tensor<3> {
    let [_, _, dim] = tokens.dims();
    let device = tokens.device();
    let [ones, zeros] = [Tensor::ones([dim], &device), Tensor::zeros([dim], &device)];
    layer_norm(tokens, ones, zeros, EPSILON)
}

/// Attentive heads that differ in learning rate and weight decay.
#[derive(Debug)]
pub(super) struct AttentiveHeads {
    grid: Vec<(HeadNorm, f64, f64)>,
    tokens: usize,
    classes: usize,
    heads: SideBySide<AttentiveHead>,
}

impl AttentiveHeads {
    /// Initial heads for images of `tokens` tokens `dim` wide; `num_heads` divides `dim`.
    pub(super) fn new(
        config: &ProbeConfig,
        [tokens, num_heads]: [usize; 2],
        [dim, classes]: [usize; 2],
        device: &Device,
    ) -> Self {
        let init = Initialization {
            scheme: InitScheme::DepthRescaled,
            patch_embed: None,
            seed: config.seed,
        };
        let trained = device.clone().autodiff();
        let mut init = Initializer::new(init, &trained);
        let grid = config.grid();
        let rates = grid.iter().map(|&(_, lr, decay)| (lr, decay)).collect();
        let head = || AttentiveHead::new([dim, classes], num_heads, &mut init);
        Self {
            tokens,
            classes,
            heads: SideBySide::new(rates, head, device),
            grid,
        }
    }

    fn standardized(&self, x: Tensor<2>) -> Tensor<3> {
        let [images, values] = x.dims();
        standardized(x.reshape([images, self.tokens, values / self.tokens]))
    }
}

impl Bank for AttentiveHeads {
    fn grid(&self) -> &[(HeadNorm, f64, f64)] {
        &self.grid
    }

    fn step(&mut self, x: Tensor<2>, targets: &[u32], factor: f64) {
        let tokens = Tensor::from_inner(self.standardized(x));
        let of_class = |&target: &u32| (0..self.classes).map(move |at| at == target as usize);
        let ones = targets.iter().flat_map(of_class).map(f32::from);
        let shape = [targets.len(), self.classes];
        let data = TensorData::new(ones.collect::<Vec<f32>>(), shape);
        let targets = Tensor::<2>::from_data(data, &tokens.device());
        self.heads.step(factor, |head| {
            soft_cross_entropy(head.forward(tokens.clone()), targets.clone())
        });
    }

    fn take_losses(&mut self) -> Vec<f32> {
        self.heads.take_losses()
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        let tokens = self.standardized(x);
        let logits = self.heads.tested().map(|head| head.forward(tokens.clone()));
        Tensor::cat(logits.collect(), 1)
    }

    fn blocks(&self, rows: usize) -> Vec<Range<usize>> {
        blocks(rows, BLOCK).collect()
    }
}

#[cfg(test)]
mod tests {
    use ijepa_model::checkpoint::{
        ParameterMapper, map_parameters, named_gradients, named_tensors, tensor_from_official,
    };
    use ijepa_testkit::{Golden, assert_close, device, tolerance, values};

    use super::*;
    use crate::probe::Protocol;

    /// Weights of PyTorch's head.
    struct Load<'a>(&'a Golden);

    impl ParameterMapper for Load<'_> {
        fn map<const D: usize>(
            &mut self,
            name: String,
            param: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            param.map(|old| {
                let values = self.0.f32s(&format!("before.{name}"));
                let device = old.device().without_autodiff();
                let new = tensor_from_official(values, old.dims(), &device);
                Tensor::from_inner(new).require_grad()
            })
        }
    }

    /// A head in PyTorch that computes keys and values; see `tests/golden/attentive.py`.
    #[test]
    fn logits_gradients_and_steps_are_those_of_pytorchs_head() {
        let golden = Golden::load(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"),
            "attentive",
        );
        let number = |key: &str| golden.json[key].as_f64().unwrap();
        let [_, batch, tokens, dim] = *golden.shape("x") else {
            panic!("x has four dimensions")
        };
        let classes = golden.shape("logits")[1];
        let config = ProbeConfig {
            lrs: vec![number("lr")],
            weight_decays: vec![number("weight_decay")],
            ..Protocol::Attentive.config()
        };
        let sizes = [tokens, number("num_heads") as usize];
        let mut heads = AttentiveHeads::new(&config, sizes, [dim, classes], &device());
        let head = heads.heads.head_mut(0);
        *head = map_parameters(head.clone(), &mut Load(&golden));

        let x = golden.tensor::<4>("x", &device());
        let steps = x.dims()[0];
        let flat = |step: usize| {
            let step = x.clone().narrow(0, step, 1);
            step.reshape([batch, tokens * dim])
        };
        let classes: Vec<u32> = golden.i64s("y").into_iter().map(|y| y as u32).collect();
        let logits = heads.logits(flat(0));
        assert_close(
            "logits",
            &values(logits),
            &golden.f32s("logits"),
            tolerance(1e-5),
        );

        let head = heads.heads.head_mut(0).clone();
        let one_hot: Vec<f32> = golden.f32s("one_hot");
        let shape = golden.shape("one_hot");
        let targets = Tensor::<2>::from_data(TensorData::new(one_hot, shape), &device());
        let tokens = Tensor::from_inner(heads.standardized(flat(0)));
        let loss = soft_cross_entropy(head.forward(tokens), Tensor::from_inner(targets));
        let gradients = named_gradients(&head, &loss.backward());
        assert_eq!(gradients.len(), golden.names("gradient.").len());
        for gradient in gradients {
            let expected = golden.f32s(&format!("gradient.{}", gradient.name));
            let found = gradient.read().unwrap();
            assert_close(&gradient.name, &found, &expected, tolerance(1e-5));
        }

        let mut losses = Vec::new();
        for step in 0..steps {
            let targets = &classes[step * batch..(step + 1) * batch];
            let factor = golden.json["factors"][step].as_f64().unwrap();
            heads.step(flat(step), targets, factor);
            losses.extend(heads.take_losses());
        }
        assert_close("losses", &losses, &golden.f32s("losses"), tolerance(1e-5));
        for tensor in named_tensors(heads.heads.head_mut(0)) {
            let expected = golden.f32s(&format!("after.{}", tensor.name));
            let found = tensor.read().unwrap();
            assert_close(&tensor.name, &found, &expected, tolerance(1e-5));
        }
    }
}
