//! Predictions of a block: panels and numbers.

use burn::tensor::Tensor;
use ijepa_model::{Objective, Target};
use ijepa_testkit::{device, values};
use ijepa_viz::{VizError, magma};

use crate::support::{
    BLUE, GAP, GREEN, HIDDEN, PANEL, close, extract, images, masks, middle, networks,
    networks_predicting, panel, predict, predict_with,
};

#[test]
fn predictions_stand_in_rows_with_the_block_outlined() {
    let drawn = predict(3, None);
    assert_eq!(
        [drawn.picture.width, drawn.picture.height],
        [4 * (64 + GAP) + GAP, 3 * (48 + GAP) + GAP]
    );
    assert!(drawn.neighbours.is_empty());
    let picked = images(3);
    for (row, prediction) in drawn.predictions.iter().enumerate() {
        assert_eq!(prediction.block, [5, 6, 9, 10]);
        assert_eq!(prediction.path, picked.images[row].name);
        let whole = picked.images[row].picture().scaled(PANEL);
        let panels = [0, 1, 2, 3].map(|column| panel(&drawn.picture, [column, row]));
        for patch in 0..12 {
            let in_block = [5, 6, 9, 10].contains(&patch);
            let seen = if in_block {
                HIDDEN
            } else {
                middle(&whole, patch)
            };
            assert_eq!(middle(&panels[0], patch), middle(&whole, patch));
            assert_eq!(middle(&panels[1], patch), seen, "{patch}");
            let maps = [&prediction.mean.map, &prediction.patch.map];
            for (shown, map) in panels[2..].iter().zip(maps) {
                let low = map.iter().copied().fold(f64::MAX, f64::min);
                let high = map.iter().copied().fold(f64::MIN, f64::max);
                let color = magma((map[patch] - low) / (high - low));
                assert_eq!(middle(shown, patch), color, "{patch}");
            }
        }
        for (column, shown) in panels.iter().enumerate() {
            // The outline begins and ends with the block and leaves its inside free.
            let green = |x, y| shown.pixel([x, y]) == GREEN;
            assert!(green(16, 16) && green(47, 16) && green(16, 47) && green(47, 47));
            assert!(green(30, 16) && green(30, 47) && green(16, 30) && green(47, 30));
            assert!(!green(15, 16) && !green(48, 20) && !green(20, 15) && !green(24, 24));
            // The first of four equally central patches is marked, on its own map only.
            let blue = shown.pixel([31, 24]) == BLUE;
            assert_eq!(blue, column == 3, "{column}");
        }
        let [place, own] = [&prediction.patch.map, &prediction.mean.map].map(|map| map[5]);
        assert_eq!((prediction.patch.row, prediction.patch.col), (1, 1));
        assert_eq!(prediction.patch.cosine_own, place);
        assert!(own <= prediction.mean.range[1] && prediction.rank_chance == 6.5);
        assert!((1.0..=12.0).contains(&prediction.rank));
    }
    // With one image there is no other to compare with.
    assert!(drawn.mean.cosine_other_images.is_some());
    assert_eq!(predict(1, None).mean.cosine_other_images, None);
    assert_eq!(predict(3, None), drawn);
}

#[test]
fn predictions_are_those_of_the_model_and_compared_with_normed_targets() {
    let (networks, picked) = (networks(), images(2));
    let input = ijepa_eval::image_tensor(&picked.images, &extract(), &device());
    let tensors = ijepa_model::MaskTensors::new(&masks(2), &device());
    let predicted = networks.model.predict(input.clone(), &tensors, None);
    let truth = Objective::default().normed(networks.target.forward_features(input));
    // Cosines of the first patch of the block of the second image with all patches.
    let unit = |rows: Tensor<3>| {
        let norm = rows.clone().square().sum_dim(2).sqrt();
        rows / norm
    };
    let predicted = unit(predicted.slice([1..2, 0..1, 0..12]));
    let truth = unit(truth.slice([1..2, 0..12, 0..12]));
    let expected = values(predicted.matmul(truth.swap_dims(1, 2)));
    close(&predict(2, None).predictions[1].patch.map, &expected);
}

#[test]
fn predictors_of_pixels_have_no_features_to_show() {
    let error = predict_with(&networks_predicting(Target::Pixels), 1, None).unwrap_err();
    assert!(matches!(error, VizError::PredictsPixels), "{error}");
}
