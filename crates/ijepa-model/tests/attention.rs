//! Attention weights of an encoder's blocks.

#[cfg(test)]
mod attention {
    use burn::tensor::{Tensor, activation::gelu};
    use ijepa_model::{
        InitScheme, Initialization, VisionTransformerConfig, kernels::reference::split_heads,
    };
    use ijepa_testkit::{assert_close, device, noise_tensor, tolerance, values};

    fn small() -> VisionTransformerConfig {
        VisionTransformerConfig {
            image_size: [32, 48],
            patch_size: 8,
            in_chans: 3,
            embed_dim: 24,
            depth: 5,
            num_heads: 3,
            mlp_ratio: 2.0,
            drop_path: 0.0,
            layer_norm_eps: 1e-6,
        }
    }

    fn images(batch: usize) -> Tensor<4> {
        noise_tensor(3, [batch, 3, 32, 48], &device())
    }

    #[test]
    fn attention_weights_sum_to_one() {
        let encoder = small().init(&device());
        let weights = encoder.attention_weights(images(2), None, &[4]).remove(0);
        assert_eq!(weights.dims(), [2, 3, 24, 24]);
        let sums = values(weights.sum_dim(3));
        assert_close("sums", &sums, &vec![1.0; sums.len()], 1e-5);
    }

    #[test]
    fn attention_weights_mix_values_into_what_the_block_computes() {
        let init = Initialization {
            scheme: InitScheme::FanIn,
            ..Initialization::default()
        };
        let encoder = small().init_with(init, &device());
        let outputs = encoder.forward_intermediates(images(2), None, &[3, 4], false);
        let [input, expected] = outputs.try_into().unwrap();
        let block = &encoder.blocks[4];
        let qkv = block.attn.qkv.forward(block.norm1.forward(input.clone()));
        let [_, _, v] = split_heads(qkv, 3);
        let weights = encoder.attention_weights(images(2), None, &[-1]).remove(0);
        let mixed = weights.matmul(v).swap_dims(1, 2).reshape([2, 24, 24]);
        let x = input + block.attn.proj.forward(mixed);
        let hidden = block.mlp.fc1.forward(block.norm2.forward(x.clone()));
        let found = x + block.mlp.fc2.forward(gelu(hidden));
        assert_close(
            "output of the block",
            &values(found),
            &values(expected),
            tolerance(1e-5),
        );
    }
}
