//! Rendered images: the same everywhere, with balanced labels that the pixels bear out.

use ijepa_data::{
    Background, DataSpec, RgbImage8, SceneKind, SceneLabels, ScenesConfig, ScenesSource, Source,
};

const KINDS: [SceneKind; 4] = [
    SceneKind::Count,
    SceneKind::Distance,
    SceneKind::Shape,
    SceneKind::Texture,
];

fn scenes(config: ScenesConfig) -> ScenesSource {
    ScenesSource::new(config)
}

fn small(kind: SceneKind) -> ScenesConfig {
    ScenesConfig {
        kind,
        n: 20_000,
        size: 16,
        ..ScenesConfig::default()
    }
}

#[test]
fn images_depend_on_seed_index_and_options_only() {
    for kind in KINDS {
        let source = scenes(small(kind));
        let again = scenes(ScenesConfig {
            n: 5,
            ..small(kind)
        });
        let other = scenes(ScenesConfig {
            seed: 1,
            ..small(kind)
        });
        let color = scenes(ScenesConfig {
            background: Background::Color,
            ..small(kind)
        });
        for index in [4, 0] {
            let image = source.read(index).unwrap();
            assert_eq!((image.width(), image.height()), (16, 16));
            assert_eq!(image, again.read(index).unwrap());
            assert_ne!(image, other.read(index).unwrap());
            assert_ne!(image, color.read(index).unwrap());
            assert_ne!(image, source.read(index + 1).unwrap());
        }
    }
}

#[test]
fn kinds_of_a_family_share_images_and_differ_in_labels() {
    for (one, other) in [(KINDS[0], KINDS[1]), (KINDS[2], KINDS[3])] {
        let (one, other) = (scenes(small(one)), scenes(small(other)));
        assert_eq!(one.read(3).unwrap(), other.read(3).unwrap());
        assert!((0..50).any(|index| one.label(index) != other.label(index)));
        match one.labels(3) {
            SceneLabels::Objects {
                count, distance, ..
            } => {
                assert_eq!(
                    (one.label(3), other.label(3)),
                    (Some(count), Some(distance))
                );
            }
            SceneLabels::Part { shape, texture } => {
                assert_eq!((one.label(3), other.label(3)), (Some(shape), Some(texture)));
            }
            labels => panic!("{labels:?}"),
        }
    }
}

#[test]
fn labels_are_balanced() {
    for (kind, classes) in KINDS.into_iter().zip([8, 6, 10, 5]) {
        let source = scenes(small(kind));
        assert_eq!(source.classes().len(), classes);
        let mut counts = vec![0usize; classes];
        for index in 0..source.len() {
            counts[source.label(index).unwrap() as usize] += 1;
        }
        // Standard deviations are below 60; the borders of distances are rounded, which adds
        // up to 100.
        let fair = 20_000 / classes;
        assert!(
            counts.iter().all(|count| count.abs_diff(fair) < 450),
            "{kind}: {counts:?}"
        );
    }
}

#[test]
fn hero_labels_cover_every_shape_and_material() {
    let source = scenes(small(SceneKind::Count));
    let mut counts = [0; 6];
    for index in 0..600 {
        if let SceneLabels::Objects { hero, .. } = source.labels(index) {
            counts[hero as usize] += 1;
        }
    }
    assert!(counts.iter().all(|&count| count > 40), "{counts:?}");
}

/// Mean absolute difference between neighbouring pixels.
fn busyness(image: &RgbImage8) -> f64 {
    let width = image.width();
    let step = |x: usize, y: usize| {
        let (here, next) = (image.pixel(x, y), image.pixel(x + 1, y));
        here.iter()
            .zip(next)
            .map(|(a, b)| f64::from(a.abs_diff(b)))
            .sum::<f64>()
    };
    let pixels = (0..image.height()).flat_map(|y| (0..width - 1).map(move |x| (x, y)));
    pixels.map(|(x, y)| step(x, y)).sum::<f64>() / (width * width) as f64
}

#[test]
fn textured_shapes_are_busier_than_flat_ones_and_crowds_than_loners() {
    for (kind, plain, busy) in [(SceneKind::Texture, 0, 2), (SceneKind::Count, 0, 7)] {
        let source = scenes(ScenesConfig {
            size: 64,
            ..small(kind)
        });
        let mean = |label: u32| {
            let of_class = (0..400).filter(|&index| source.label(index) == Some(label));
            let values: Vec<f64> = of_class
                .map(|index| busyness(&source.read(index).unwrap()))
                .collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        assert!(
            mean(busy) > 1.3 * mean(plain),
            "{kind}: {} {}",
            mean(busy),
            mean(plain)
        );
    }
}

#[test]
fn names_say_which_set_and_image() {
    let spec: DataSpec = "scenes:kind=shape,n=3,size=8,seed=7".parse().unwrap();
    let source = spec.open().unwrap();
    assert_eq!(source.name(2), "scenes:kind=shape,seed=7#2");
    assert_eq!(source.classes()[0], "disc");
    assert_eq!(source.len(), 3);
}

#[test]
#[should_panic(expected = "image 3 of 3")]
fn an_index_out_of_range_is_the_callers_error() {
    let _ = scenes(ScenesConfig {
        n: 3,
        ..ScenesConfig::default()
    })
    .read(3);
}
