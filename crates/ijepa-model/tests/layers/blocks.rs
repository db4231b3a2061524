//! Blocks and their parts by themselves, initial weights, and blocks that stay as they are.

use burn::{
    module::Module,
    optim::{GradientsParams, SgdConfig},
    tensor::{Bool, Tensor},
};
use ijepa_model::{
    BlockConfig, Compute, Initialization, Initializer, Kernels, Pass, Precision,
    VisionTransformerConfig, checkpoint::named_tensors,
};
use ijepa_testkit::{assert_close, device, max_abs_difference, noise_tensor, tolerance, values};

use crate::{encoder, images, kept, small};

/// An epsilon that shows.
fn wide() -> VisionTransformerConfig {
    VisionTransformerConfig {
        layer_norm_eps: 0.25,
        ..small()
    }
}

#[test]
fn a_block_is_the_sum_of_its_parts() {
    let block = encoder(&wide()).blocks.remove(2);
    let x = noise_tensor::<3>(1, [2, 5, 24], &device());
    let causal = || {
        let later = Tensor::<2, Bool>::tril_mask([5, 5], 0, &device());
        later.bool_not().unsqueeze::<4>()
    };
    let kinds = [Kernels::Fused, Kernels::Reference];
    for (kernels, mask) in kinds
        .into_iter()
        .flat_map(|it| [(it, None), (it, Some(causal()))])
    {
        let compute = Compute {
            kernels,
            ..Compute::default()
        };
        let mut pass = Pass {
            compute,
            mask: mask.clone(),
            depth: None,
        };
        let found = block.forward(x.clone(), &mut pass);
        let last = block.forward_from(3, x.clone(), &mut pass);
        let normed = block.norm1.forward(x.clone());
        let middle = x.clone() + block.attn.forward(normed, mask, compute);
        let normed = block.norm2.forward(middle.clone());
        let expected = middle + block.mlp.forward(normed, compute);
        let bound = tolerance(1e-5);
        assert_close("block", &values(found.clone()), &values(expected), bound);
        assert_close(
            "last tokens",
            &values(last),
            &values(found.narrow(1, 3, 2)),
            bound,
        );
    }
    if !Precision::Bf16.is_supported(&device()) {
        return;
    }
    let narrow = Compute::from(Precision::Bf16);
    let [exact, rounded] =
        [Compute::default(), narrow].map(|it| values(block.mlp.forward(x.clone(), it)));
    let difference = max_abs_difference(&exact, &rounded);
    assert!(difference > 0.0 && difference < 0.05, "{difference}");
}

#[test]
fn an_encoder_is_its_embedding_its_blocks_and_its_norm() {
    let encoder = encoder(&wide());
    let mut x = encoder.embed(images(2), Some(&kept()));
    let patches = encoder
        .patch_embed
        .forward(images(2), Some(&kept()), Compute::default());
    let positions = kept().gather_shared(encoder.pos_embed.val());
    assert_eq!(values(x.clone()), values(patches + positions));
    for block in &encoder.blocks {
        x = block.forward(x, &mut Pass::default());
    }
    let expected = encoder.forward_masked(images(2), &kept(), None);
    assert_eq!(
        values(encoder.final_norm(x.clone())),
        values(expected.clone())
    );
    // The norms know their epsilon themselves.
    assert_close(
        "norm",
        &values(encoder.norm.forward(x)),
        &values(expected),
        tolerance(1e-5),
    );
}

#[test]
fn initial_weights_are_functions_of_the_seed() {
    let blocks = |seed| {
        let config = BlockConfig {
            dim: 24,
            num_heads: 3,
            hidden_dim: 48,
            depth: 2,
            drop_path: 0.0,
            layer_norm_eps: 1e-6,
        };
        let init = Initialization {
            seed,
            ..Initialization::default()
        };
        let blocks = config.init(&mut Initializer::new(init, &device()));
        let weights = named_tensors(&blocks).into_iter();
        weights
            .map(|tensor| tensor.read().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(blocks(1), blocks(1));
    assert_ne!(blocks(1), blocks(2));
    // Not the numbers of an encoder.
    let ours = values(small().init(&device()).patch_embed.proj.weight.val());
    let theirs = Initializer::new(Initialization::default(), &device()).normal([24, 3, 8, 8], 0.02);
    assert_ne!(values(theirs.val()), ours);
}

#[test]
fn frozen_blocks_stay_in_a_loop_of_your_own() {
    let device = device().autodiff();
    let encoder = small().init(&device).with_frozen_blocks(3);
    let before = named_tensors(&encoder.valid());
    let loss = encoder
        .forward_features(images(1).autodiff())
        .square()
        .sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &encoder);
    let encoder = SgdConfig::new().init().step(0.1, encoder, gradients);
    let after = named_tensors(&encoder.valid());
    let fixed = [
        "pos_embed",
        "patch_embed.",
        "blocks.0.",
        "blocks.1.",
        "blocks.2.",
    ];
    for (before, after) in before.iter().zip(&after) {
        let name = &before.name;
        let is_fixed = fixed.iter().any(|start| name.starts_with(start));
        assert_eq!(
            before.read().unwrap() == after.read().unwrap(),
            is_fixed,
            "{name}"
        );
    }
}

#[test]
#[should_panic(expected = "6 frozen blocks asked of an encoder with 5")]
fn more_blocks_than_there_are_cannot_be_frozen() {
    small().init(&device()).with_frozen_blocks(6);
}
