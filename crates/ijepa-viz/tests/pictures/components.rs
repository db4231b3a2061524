//! Patch features as colours.

use ijepa_eval::Components;
use ijepa_testkit::device;
use ijepa_viz::{PcaConfig, pca};

use crate::support::{GAP, PANEL, extract, images, networks, panel};

#[test]
fn components_stand_beside_their_images() {
    let (encoder, picked) = (networks().target, images(3));
    let config = PcaConfig {
        extract: extract(),
        columns: 2,
        scale: Some(2),
        ..PcaConfig::default()
    };
    let draw = |config: &PcaConfig| pca(&encoder, &picked.images, config, &device()).unwrap();
    let drawn = draw(&config);
    assert_eq!(
        [drawn.picture.width, drawn.picture.height],
        [4 * (64 + GAP) + GAP, 2 * (48 + GAP) + GAP]
    );
    for (number, image) in picked.images.iter().enumerate() {
        let [column, row] = [number % 2 * 2, number / 2];
        let shown = panel(&drawn.picture, [column, row]);
        assert!(shown == image.picture().scaled(PANEL), "image {number}");
        let colors = panel(&drawn.picture, [column + 1, row]);
        assert!(colors == drawn.images[number].patches.scaled(PANEL));
    }
    // Nothing stands where there is no fourth image.
    let empty = panel(&drawn.picture, [2, 1]);
    assert!(empty.pixels.iter().all(|&byte| byte == 255));

    // Repetition changes nothing, batches nothing that is seen; other components do.
    assert_eq!(draw(&config), drawn);
    let mut other = config.clone();
    other.extract.batch_size = 5;
    let pixels = [draw(&other), drawn.clone()].map(|drawn| drawn.picture.pixels);
    let differences = pixels[0]
        .iter()
        .zip(&pixels[1])
        .map(|(&a, &b)| a.abs_diff(b));
    assert!(differences.max() <= Some(1));
    other.components = Components::OfEachImage;
    let alone = draw(&other);
    assert_ne!(alone.picture, drawn.picture);
    let shared: Vec<_> = drawn.images.iter().map(|image| image.explained).collect();
    assert!(shared.iter().all(|explained| *explained == shared[0]));
    assert!(shared[0][0] >= shared[0][1] && shared[0].iter().sum::<f64>() <= 1.0);
    assert!(alone.images[0].explained != alone.images[1].explained);
}
