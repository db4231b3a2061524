//! The patches that predictions are like.

use std::fs;

use ijepa_data::{DataSpec, Preprocess, Reading, evenly_spread};
use ijepa_eval::{ExtractError, pick_images};
use ijepa_testkit::{device, values};
use ijepa_viz::{NeighbourSearch, PredictionConfig, nearest_patches, png, predictor};

use crate::support::{GAP, extract, images, masks, networks, predict, source};

#[test]
fn the_nearest_patch_to_a_feature_is_the_one_it_came_from() {
    let (networks, device) = (networks(), device());
    let source = source(7, 5);
    let config = PredictionConfig {
        extract: extract(),
        ..PredictionConfig::default()
    };
    let indices = evenly_spread(7, 7);
    let picked = pick_images(
        source.as_ref(),
        &indices,
        Preprocess::Squash,
        [24, 32],
        Reading::default(),
    )
    .unwrap();
    let input = ijepa_eval::image_tensor(&picked.images, &extract(), &device);
    let features = config
        .objective
        .normed(networks.target.forward_features(input));
    let at = |image: usize, patch: usize| {
        values(
            features
                .clone()
                .slice([image..image + 1, patch..patch + 1, 0..12]),
        )
    };
    let queries = [at(4, 7), at(1, 10)].concat();
    let search = NeighbourSearch {
        source: source.as_ref(),
        count: 3,
    };
    let mut progress = Vec::new();
    let note = |done| progress.push(done);
    let found = nearest_patches(&networks.target, &queries, search, &config, &device, note);
    let found = found.unwrap();
    assert_eq!(progress, [2, 4, 6, 7]);
    for (list, (index, row, col)) in found.iter().zip([(4, 1, 3), (1, 2, 2)]) {
        let first = &list[0];
        assert_eq!((first.index, first.row, first.col), (index, row, col));
        assert!((first.cosine - 1.0).abs() < 1e-5, "{first:?}");
        assert_eq!(first.path, source.name(index));
        assert_eq!(list.len(), 3);
        assert!(list.windows(2).all(|pair| pair[0].cosine >= pair[1].cosine));
        let mut images: Vec<usize> = list.iter().map(|patch| patch.index).collect();
        images.sort_unstable();
        images.dedup();
        assert_eq!(images.len(), 3, "an image is in the list twice");
    }
}

#[test]
fn neighbours_stand_right_of_the_maps_in_two_lines() {
    let source = source(5, 6);
    let search = NeighbourSearch {
        source: source.as_ref(),
        count: 3,
    };
    let drawn = predict(2, Some(search));
    // Half a panel each, less the gap between the lines.
    let side = (48 - GAP) / 2;
    let left = 4 * (64 + GAP) + GAP;
    assert_eq!(drawn.picture.width, left + 3 * (side + GAP));
    assert_eq!(drawn.neighbours.len(), 2);
    let picked = pick_images(
        source.as_ref(),
        &[0, 1, 2, 3, 4],
        Preprocess::Squash,
        [24, 32],
        Reading::default(),
    );
    let picked = picked.unwrap();
    let found = &drawn.neighbours[1];
    for (line, patches) in [&found.mean, &found.patch].into_iter().enumerate() {
        for (column, patch) in patches.iter().enumerate() {
            let image = &picked.images[patch.index].image;
            // The middle of the crop is the middle of the patch.
            let image = image.as_rgb8().unwrap();
            let expected = image.pixel(patch.col * 8 + 4, patch.row * 8 + 4);
            let place = [
                left + column * (side + GAP) + side / 2,
                2 * GAP + 48 + line * (48 - side) + side / 2,
            ];
            assert_eq!(drawn.picture.pixel(place), expected, "{line} {column}");
        }
    }
    assert_eq!(predict(2, Some(search)), drawn);
}

#[test]
fn images_are_not_their_own_neighbours() {
    // The images that are predicted are among those that are searched.
    let source = source(8, 0);
    let search = NeighbourSearch {
        source: source.as_ref(),
        count: 7,
    };
    let drawn = predict(2, Some(search));
    for (found, image) in drawn.neighbours.iter().zip(0..) {
        for list in [&found.mean, &found.patch] {
            let mut images: Vec<usize> = list.iter().map(|patch| patch.index).collect();
            images.sort_unstable();
            let others: Vec<usize> = (0..8).filter(|&other| other != image).collect();
            assert_eq!(images, others);
        }
    }
}

#[test]
fn an_image_is_not_its_own_neighbour_under_another_name_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for (number, image) in images(3).images.iter().enumerate() {
        let path = photos.join(format!("{number}.png"));
        fs::write(path, png(&image.picture())).unwrap();
    }
    let [own, searched] = [photos.clone(), photos.join("../photos")].map(|path| {
        let spec = format!("folder:{}", path.display());
        spec.parse::<DataSpec>().unwrap().open().unwrap()
    });
    assert_ne!(own.name(0), searched.name(0));
    let config = PredictionConfig {
        extract: extract(),
        ..PredictionConfig::default()
    };
    let (size, how) = ([24, 32], Preprocess::Squash);
    let picked = pick_images(own.as_ref(), &[1], how, size, Reading::default()).unwrap();
    let search = NeighbourSearch {
        source: searched.as_ref(),
        count: 2,
    };
    let (networks, images) = (networks(), &picked.images);
    let drawn = predictor(
        &networks,
        images,
        &masks(1),
        Some(search),
        &config,
        &device(),
        |_| (),
    );
    let found = &drawn.unwrap().neighbours[0].mean;
    let mut images: Vec<usize> = found.iter().map(|patch| patch.index).collect();
    images.sort_unstable();
    assert_eq!(images, [0, 2]);
}

#[test]
fn diverged_weights_have_no_nearest_patches() {
    let (mut target, source) = (networks().target, source(3, 5));
    target.pos_embed = target.pos_embed.map(|positions| positions * f32::INFINITY);
    let config = PredictionConfig {
        extract: extract(),
        ..PredictionConfig::default()
    };
    let search = NeighbourSearch {
        source: source.as_ref(),
        count: 1,
    };
    let found = nearest_patches(&target, &[1.0; 12], search, &config, &device(), |_| ());
    let error = found.unwrap_err();
    let ExtractError::NotFinite { path, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(path, source.name(0));
}
