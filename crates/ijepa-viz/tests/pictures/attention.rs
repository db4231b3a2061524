//! Maps of attention.

use ijepa_eval::ExtractError;
use ijepa_testkit::{device, values};
use ijepa_viz::{AttentionConfig, VizError, attention, magma};

use crate::support::{BLUE, GAP, close, corner, extract, images, middle, networks, panel};

#[test]
fn attention_maps_are_means_of_weights() {
    let (encoder, picked) = (networks().target, images(3));
    let config = AttentionConfig {
        extract: extract(),
        scale: Some(2),
        ..AttentionConfig::default()
    };
    let drawn = attention(&encoder, &picked.images, &config, &device()).unwrap();
    assert_eq!((drawn.layer, drawn.images.len()), (1, 3));
    assert_eq!(drawn.picture.width, 5 * (64 + GAP) + GAP);
    let input = ijepa_eval::image_tensor(&picked.images, &extract(), &device());
    let weights = encoder.attention_weights(input, None, &[1]).remove(0);
    // [images, heads, 1, patches], times the 12 patches: 1 is even attention.
    let mean = values(weights.clone().mean_dim(2).mul_scalar(12.0));
    for (image, maps) in drawn.images.iter().enumerate() {
        for (head, found) in maps.heads.iter().enumerate() {
            let expected = &mean[(image * 3 + head) * 12..][..12];
            assert_eq!(found.head, head);
            close(&found.map.values, expected);
            let total: f64 = found.map.values.iter().sum();
            assert!((total - 12.0).abs() < 1e-4, "{total}");
        }
        let over_heads = (0..12).map(|patch| {
            let head = |head: usize| maps.heads[head].map.values[patch];
            ((head(0) + head(1) + head(2)) / 3.0) as f32
        });
        close(&maps.mean.values, &over_heads.collect::<Vec<_>>());
        let [least, most] = maps.mean.range;
        let shown = panel(&drawn.picture, [1, image]);
        for (patch, value) in maps.mean.values.iter().enumerate() {
            let color = magma((value - least) / (most - least));
            assert_eq!(middle(&shown, patch), color, "{image} {patch}");
        }
    }

    let one = AttentionConfig {
        layer: Some(0),
        heads: vec![2],
        query: Some([1, 3]),
        ..config
    };
    let drawn = attention(&encoder, &picked.images, &one, &device()).unwrap();
    assert_eq!(drawn.picture.width, 3 * (64 + GAP) + GAP);
    let input = ijepa_eval::image_tensor(&picked.images, &extract(), &device());
    let weights = values(
        encoder
            .attention_weights(input, None, &[0])
            .remove(0)
            .mul_scalar(12.0),
    );
    let map = &drawn.images[1].heads[0].map;
    close(&map.values, &weights[((3 + 2) * 12 + 7) * 12..][..12]);
    assert!(map.patches_attended > 1.0 && map.patches_attended <= 12.0);
    assert!(map.distance > 0.0 && map.distance < 13f64.sqrt());
    for column in 0..3 {
        let shown = panel(&drawn.picture, [column, 1]);
        let marked: Vec<usize> = (0..12).filter(|&at| corner(&shown, at) == BLUE).collect();
        assert_eq!(marked, [7], "{column}");
    }
}

#[test]
fn even_attention_reaches_every_patch() {
    let config = networks().target.config().clone();
    // Initial weights this small leave the softmax even.
    let encoder = config.init(&device());
    let config = AttentionConfig {
        extract: extract(),
        query: Some([0, 0]),
        ..AttentionConfig::default()
    };
    let drawn = attention(&encoder, &images(1).images, &config, &device()).unwrap();
    let mean = &drawn.images[0].mean;
    assert!((mean.patches_attended - 12.0).abs() < 0.1, "{mean:?}");
    // The mean distance from a corner to the patches of a grid of three by four.
    let places = (0..12).map(|patch| f64::hypot(f64::from(patch / 4), f64::from(patch % 4)));
    let expected = places.sum::<f64>() / 12.0;
    assert!((mean.distance - expected).abs() < 0.1, "{mean:?}");
}

#[test]
fn what_attention_does_not_have_is_refused() {
    let (encoder, picked) = (networks().target, images(1));
    let check = |config: AttentionConfig, expected: &str| {
        let error = attention(&encoder, &picked.images, &config, &device()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let config = || AttentionConfig {
        extract: extract(),
        ..AttentionConfig::default()
    };
    check(
        AttentionConfig {
            layer: Some(2),
            ..config()
        },
        "there is no layer 2, the encoder has 2, counted from 0",
    );
    check(
        AttentionConfig {
            heads: vec![0, 3],
            ..config()
        },
        "there is no head 3, the encoder has 3, counted from 0",
    );
    check(
        AttentionConfig {
            query: Some([0, 4]),
            ..config()
        },
        "patch 0,4 is outside the grid of 3x4 patches",
    );
    let error = attention(&encoder, &[], &config(), &device()).unwrap_err();
    assert!(matches!(
        error,
        VizError::Extract(ExtractError::Images { found: 0 })
    ));
    let mut none = config();
    none.extract.batch_size = 0;
    let error = attention(&encoder, &images(1).images, &none, &device()).unwrap_err();
    assert!(matches!(error, VizError::Extract(ExtractError::BatchSize)));
}

#[test]
fn diverged_weights_have_no_map() {
    let (mut encoder, picked) = (networks().target, images(3));
    encoder.pos_embed = encoder.pos_embed.map(|positions| positions * f32::NAN);
    let config = AttentionConfig {
        extract: extract(),
        ..AttentionConfig::default()
    };
    let error = attention(&encoder, &picked.images, &config, &device()).unwrap_err();
    let expected = format!("attention weights of `{}` are not", picked.images[0].name);
    assert!(error.to_string().starts_with(&expected), "{error}");
}
