//! Low-rank adaptation of a frozen encoder (Hu et al. 2021, "LoRA").

use burn::{
    module::{LoraAdapter, Module, Param, Reparameterizer},
    tensor::Tensor,
};

use crate::{Initialization, VisionTransformer, init::Initializer};

impl VisionTransformer {
    /// The same encoder, frozen but for its norm, whose blocks from `first` on have a trainable
    /// pair of matrices of rank `rank` beside the weight `W` of queries, keys and values: what is
    /// computed is `x (W + A B) + b`.
    ///
    /// `A`, `[embed_dim, rank]`, begins uniform in `±1 / sqrt(embed_dim)` (Kaiming's, as PEFT has
    /// it), `B`, `[rank, 3 * embed_dim]`, as zeros, so that nothing changes before the first step.
    /// The paper's factor `alpha / rank` is 1; with Adam another one is another learning rate. Among
    /// the parameters the pair is called `blocks.0.attn.qkv.weight.lora.a` and `.b`;
    /// [`Module::materialize`] adds it to the weight for good.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use ijepa_model::VisionTransformerConfig;
    ///
    /// let device = Device::flex();
    /// let encoder =
    ///     VisionTransformerConfig::variant("vit_ti16")?.with_image_size([16, 16]).init(&device);
    /// let parameters = encoder.num_parameters();
    /// // The last three of twelve blocks.
    /// let adapted = encoder.with_lora(4, 9, 0);
    /// assert_eq!(adapted.num_parameters() - parameters, 3 * 4 * (192 + 3 * 192));
    /// # Ok::<(), ijepa_model::ConfigError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `rank` is 0 or there are fewer than `first` blocks.
    pub fn with_lora(self, rank: usize, first: usize, seed: u64) -> Self {
        assert!(rank > 0, "pairs of rank 0 adapt nothing");
        let depth = self.blocks.len();
        let mut encoder = self.with_frozen_blocks(depth);
        let device = encoder.pos_embed.lazy_device();
        let init = Initialization {
            seed,
            ..Initialization::default()
        };
        let init = &mut Initializer::lora(init, &device);
        for block in &mut encoder.blocks[first..] {
            let qkv = block.attn.qkv.clone();
            block.attn.qkv = qkv.apply_reparameterization(Pair { rank, init });
        }
        encoder
    }
}

/// Gives weights of linear layers a pair.
struct Pair<'i, 'd> {
    rank: usize,
    init: &'i mut Initializer<'d>,
}

impl Reparameterizer for Pair<'_, '_> {
    type Reparam = LoraAdapter;

    fn reparameterize<const D: usize>(
        &mut self,
        _: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<LoraAdapter>) {
        let adapter = match *param.lazy_shape().as_slice() {
            [inputs, outputs] => {
                let bound = (inputs as f64).sqrt().recip();
                Some(LoraAdapter {
                    a: self.init.uniform([inputs, self.rank], bound),
                    b: self.init.zeros([self.rank, outputs]),
                    scale: 1.0,
                })
            }
            _ => None,
        };
        (param, adapter)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ijepa_testkit::{device, noise_tensor, values};

    use super::*;
    use crate::{
        VisionTransformerConfig,
        checkpoint::{ParameterMapper, map_parameters, named_gradients, named_tensors},
    };

    fn encoder() -> VisionTransformer {
        let config = VisionTransformerConfig {
            mlp_ratio: 2.0,
            ..VisionTransformerConfig::new([16, 16], 8, 8, 2, 2)
        };
        config.init(&device())
    }

    /// Gives `B` values.
    struct Filled;

    impl ParameterMapper for Filled {
        fn map<const D: usize>(
            &mut self,
            name: String,
            param: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            match name.ends_with(".lora.b") {
                true => param.map(|b| noise_tensor(1, b.dims(), &b.device())),
                false => param,
            }
        }
    }

    #[test]
    fn a_pair_changes_nothing_at_first_and_is_added_to_its_weight() {
        let images = noise_tensor(0, [2, 3, 16, 16], &device());
        let features =
            |encoder: &VisionTransformer| values(encoder.forward_features(images.clone()));
        let plain = encoder();
        let fresh = plain.clone().with_lora(2, 1, 5);
        assert_eq!(features(&fresh), features(&plain));
        let trained = map_parameters(fresh, &mut Filled);
        assert_ne!(features(&trained), features(&plain));
        let merged = trained.clone().materialize();
        assert_eq!(features(&merged), features(&trained));
        let names = |encoder| -> Vec<String> {
            let tensors: Vec<_> = named_tensors(encoder);
            tensors.into_iter().map(|tensor| tensor.name).collect()
        };
        assert_eq!(names(&merged), names(&plain));
        let weight = "blocks.1.attn.qkv.weight";
        let of = |encoder| {
            let mut tensors = named_tensors(encoder).into_iter();
            tensors
                .find(|it| it.name == weight)
                .unwrap()
                .read()
                .unwrap()
        };
        assert_eq!(of(&trained), of(&plain), "the base stays");
        assert_ne!(of(&merged), of(&plain));
    }

    #[test]
    fn pairs_are_drawn_by_seed_within_their_bound() {
        let drawn = |seed| {
            let pair = encoder().with_lora(3, 0, seed);
            let tensors = named_tensors(&pair).into_iter();
            let pairs = tensors.filter(|tensor| tensor.name.contains(".lora."));
            pairs
                .map(|it| (it.name.clone(), it.shape.clone(), it.read().unwrap()))
                .collect::<Vec<_>>()
        };
        let pairs = drawn(0);
        let names: Vec<_> = pairs
            .iter()
            .map(|(name, shape, _)| (name.as_str(), shape.as_slice()))
            .collect();
        let expected = [
            ("blocks.0.attn.qkv.weight.lora.a", &[3, 8][..]),
            ("blocks.0.attn.qkv.weight.lora.b", &[24, 3]),
            ("blocks.1.attn.qkv.weight.lora.a", &[3, 8]),
            ("blocks.1.attn.qkv.weight.lora.b", &[24, 3]),
        ];
        assert_eq!(names, expected);
        let bound = 8f32.sqrt().recip();
        let largest = |values: &[f32]| values.iter().fold(0.0, |most: f32, it| most.max(it.abs()));
        for (name, _, values) in &pairs {
            match name.ends_with(".a") {
                true => assert!(
                    (0.8 * bound..=bound).contains(&largest(values)),
                    "{values:?}"
                ),
                false => assert_eq!(largest(values), 0.0),
            }
        }
        assert_ne!(pairs[0].2, pairs[2].2);
        assert_eq!(drawn(0), pairs);
        assert_ne!(drawn(1), pairs);
    }

    #[test]
    fn only_pairs_and_the_norm_have_gradients() {
        let encoder = encoder().with_lora(2, 1, 0).train();
        let images = noise_tensor(0, [2, 3, 16, 16], &device());
        let loss = encoder
            .forward_features(Tensor::from_inner(images))
            .powi_scalar(3)
            .sum();
        let gradients = named_gradients(&encoder, &loss.backward()).into_iter();
        let found: BTreeSet<String> = gradients.map(|tensor| tensor.name).collect();
        let expected = [
            "blocks.1.attn.qkv.weight.lora.a",
            "blocks.1.attn.qkv.weight.lora.b",
            "norm.bias",
            "norm.weight",
        ];
        assert_eq!(found, expected.map(str::to_owned).into());
    }
}
