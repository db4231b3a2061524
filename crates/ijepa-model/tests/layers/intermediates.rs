//! Tokens after chosen layers.

use ijepa_testkit::{device, values};

use crate::{encoder, images, kept, small};

#[test]
fn layers_come_by_index_in_the_order_asked_for() {
    let encoder = encoder(&small());
    let layers = encoder.forward_intermediates(images(2), None, &[-1, 0, 3, 0], false);
    let mut x = encoder.embed(images(2), None);
    let mut all = Vec::new();
    for block in &encoder.blocks {
        x = block.forward(x, &mut Default::default());
        all.push(x.clone());
    }
    for (found, layer) in layers.into_iter().zip([4, 0, 3, 0]) {
        assert_eq!(values(found), values(all[layer].clone()), "layer {layer}");
    }
    let normed = encoder
        .forward_intermediates(images(2), None, &[-5], true)
        .remove(0);
    assert_eq!(values(normed), values(encoder.final_norm(all[0].clone())));
    assert!(
        encoder
            .forward_intermediates(images(2), None, &[], true)
            .is_empty()
    );
}

#[test]
fn masked_layers_are_those_of_the_kept_patches() {
    let encoder = encoder(&small());
    let layers = encoder.forward_intermediates(images(2), Some(&kept()), &[1, -1], true);
    let expected = encoder.forward_masked(images(2), &kept(), None);
    assert_eq!(layers[0].dims(), [2 * 2, 3, 24]);
    assert_eq!(values(layers[1].clone()), values(expected));
}

#[test]
fn layers_become_maps() {
    let encoder = encoder(&small());
    let tokens = encoder
        .forward_intermediates(images(2), None, &[2], false)
        .remove(0);
    let map = encoder.feature_map(tokens.clone());
    assert_eq!(map.dims(), [2, 24, 4, 6]);
    let place = map.slice([1..2, 0..24, 2..3, 5..6]);
    assert_eq!(values(place), values(tokens.slice([1..2, 17..18, 0..24])));
}

#[test]
#[should_panic(expected = "no layer -6 in an encoder with 5")]
fn layers_before_the_first_are_refused() {
    small()
        .init(&device())
        .forward_intermediates(images(1), None, &[-6], false);
}

#[test]
#[should_panic(expected = "no layer 5 in an encoder with 5")]
fn layers_after_the_last_are_refused() {
    small()
        .init(&device())
        .attention_weights(images(1), None, &[5]);
}
