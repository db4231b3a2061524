//! Attention weights and masks.

use burn::tensor::{Bool, Tensor, TensorData, activation::gelu};
use ijepa_model::{Compute, Kernels, Precision, kernels::reference::split_heads};
use ijepa_testkit::{assert_close, device, device_name, noise_tensor, skip, tolerance, values};

use crate::{encoder, images, kept, small};

fn mask(dims: [usize; 4], allowed: impl Fn([usize; 4]) -> bool) -> Tensor<4, Bool> {
    let [a, b, c, d] = dims;
    let places =
        (0..a * b * c * d).map(|at| [at / (b * c * d), at / (c * d) % b, at / d % c, at % d]);
    let allowed: Vec<bool> = places.map(allowed).collect();
    Tensor::from_data(TensorData::new(allowed, dims), &device())
}

#[test]
fn attention_weights_sum_to_one() {
    let weights = encoder(&small())
        .attention_weights(images(2), None, &[4])
        .remove(0);
    assert_eq!(weights.dims(), [2, 3, 24, 24]);
    let sums = values(weights.sum_dim(3));
    assert_close("sums", &sums, &vec![1.0; sums.len()], 1e-5);
}

#[test]
fn attention_weights_mix_values_into_what_the_block_computes() {
    let encoder = encoder(&small());
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

#[test]
fn weights_of_several_layers_come_in_one_pass_and_in_order() {
    let encoder = encoder(&small());
    let several = encoder.attention_weights(images(2), None, &[-1, 0, 2]);
    for (found, layer) in several.iter().zip([4, 0, 2]) {
        let alone = encoder
            .attention_weights(images(2), None, &[layer])
            .remove(0);
        assert_eq!(values(found.clone()), values(alone), "layer {layer}");
    }
    let kept = encoder
        .attention_weights(images(2), Some(&kept()), &[1])
        .remove(0);
    assert_eq!(kept.dims(), [2 * 2, 3, 3, 3]);
}

#[test]
fn a_token_sees_what_its_mask_allows_and_nothing_else() {
    let block = encoder(&small()).blocks.remove(1);
    let x = noise_tensor::<3>(1, [2, 4, 24], &device());
    // The last token is another.
    let changed = x
        .clone()
        .slice_assign([0..2, 3..4, 0..24], noise_tensor(9, [2, 1, 24], &device()));
    let ways = [
        (Kernels::Fused, Precision::F32),
        (Kernels::Reference, Precision::F32),
        (Kernels::Fused, Precision::Bf16),
    ];
    for (kernels, precision) in ways {
        if !precision.is_supported(&device()) {
            skip(format!(
                "masks in bf16, which {} does not have",
                device_name()
            ));
            continue;
        }
        let compute = Compute {
            kernels,
            precision,
            recompute: false,
        };
        let run = |x: &Tensor<3>, mask: Option<Tensor<4, Bool>>| {
            block.attn.forward(x.clone(), mask, compute)
        };
        let causal = || Some(mask([1, 1, 4, 4], |[_, _, query, key]| key <= query));
        let (before, after) = (run(&x, causal()), run(&changed, causal()));
        let others = |x: Tensor<3>| values(x.narrow(1, 0, 3));
        assert_eq!(others(before.clone()), others(after.clone()));
        assert_ne!(values(before.clone()), values(after));
        assert_ne!(others(before.clone()), others(run(&x, None)));
        // What is masked is as if it were not there.
        let first = run(
            &x.clone().narrow(1, 0, 3),
            Some(mask([1, 1, 3, 3], |[_, _, q, k]| k <= q)),
        );
        assert_close(
            "without the last token",
            &others(before),
            &values(first),
            tolerance(1e-6),
        );
    }
}

#[test]
fn masks_differ_by_image_and_head_or_are_shared() {
    let block = encoder(&small()).blocks.remove(1);
    let x = noise_tensor::<3>(1, [2, 4, 24], &device());
    let allowed = |[_, _, query, key]: [usize; 4]| (query + key) % 2 == 0;
    let run = |mask| {
        values(
            block
                .attn
                .forward(x.clone(), Some(mask), Compute::default()),
        )
    };
    let shared = run(mask([1, 1, 4, 4], allowed));
    for dims in [[2, 1, 4, 4], [1, 3, 4, 4], [2, 3, 4, 4]] {
        assert_eq!(run(mask(dims, allowed)), shared, "{dims:?}");
    }
    let other = |[image, ..]: [usize; 4]| image == 0;
    let weights = block
        .attn
        .weights(x.clone(), Some(mask([2, 1, 4, 4], other)));
    assert_close(
        "a query that sees nothing",
        &values(weights.narrow(0, 1, 1)),
        &[0.0; 48],
        0.0,
    );
    let all = values(block.attn.forward(x.clone(), None, Compute::default()));
    let everything = run(mask([1, 1, 4, 4], |_| true));
    assert_close(
        "a mask that hides nothing",
        &everything,
        &all,
        tolerance(1e-6),
    );
}

#[test]
fn gradients_pass_masks_also_of_queries_that_see_nothing() {
    let device = device().autodiff();
    let attn = small().init(&device).blocks.remove(0).attn;
    let x = noise_tensor::<3>(1, [1, 4, 24], &device).require_grad();
    let mask = mask([1, 1, 4, 4], |[_, _, query, key]| query > 0 && key < 2);
    let backward = attn
        .forward(x.clone(), Some(mask), Compute::default())
        .sum()
        .backward();
    for (name, gradient) in [
        ("x", values(x.grad(&backward).unwrap())),
        (
            "qkv",
            values(attn.qkv.weight.val().grad(&backward).unwrap()),
        ),
    ] {
        assert!(gradient.iter().all(|value| value.is_finite()), "{name}");
        assert!(gradient.iter().any(|&value| value != 0.0), "{name}");
    }
}

#[test]
#[should_panic(
    expected = "a mask of shape [1, 2, 4, 4] for attention weights of shape [1, 3, 4, 4]"
)]
fn masks_of_other_shapes_are_refused() {
    let attn = small().init(&device()).blocks.remove(0).attn;
    let x = noise_tensor::<3>(1, [1, 4, 24], &device());
    let _ = attn.forward(x, Some(mask([1, 2, 4, 4], |_| true)), Compute::default());
}
