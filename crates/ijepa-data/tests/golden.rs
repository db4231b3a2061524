//! The deterministic transforms against pixels that Pillow and torchvision produced.
//!
//! `golden/transforms.json` says how they were made. One grey level of difference is allowed:
//! Pillow rounds between its two passes with other fixed-point weights.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use ijepa_data::{CropRect, Filter, Preprocess, RgbImage8, crop_resize, resize, to_chw_f32};
use safetensors::SafeTensors;

const GOLDEN: &[u8] = include_bytes!("golden/transforms.safetensors");

/// Boxes as `(name, top, left, height, width, output side)`, from the JSON file.
const BOXES: [(&str, usize, usize, usize, usize, usize); 3] = [
    ("a", 11, 7, 60, 80, 32),
    ("b", 0, 0, 97, 131, 64),
    ("c", 40, 50, 20, 25, 48),
];

fn pixels(name: &str) -> RgbImage8 {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let tensor = golden.tensor(name).unwrap();
    let [height, width, 3] = tensor.shape()[..] else {
        panic!("{name} is not an image")
    };
    RgbImage8::new(width, height, tensor.data().to_vec()).unwrap()
}

fn floats(name: &str) -> Vec<f32> {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let bytes = golden.tensor(name).unwrap().data().chunks_exact(4);
    bytes
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn check(what: &str, found: &RgbImage8, expected: &RgbImage8) {
    assert_eq!(
        (found.width(), found.height()),
        (expected.width(), expected.height()),
        "{what}"
    );
    let differences = found
        .pixels()
        .iter()
        .zip(expected.pixels())
        .map(|(a, b)| a.abs_diff(*b));
    let worst = differences.max().unwrap_or(0);
    assert!(worst <= 1, "{what} differs by {worst} grey levels");
}

fn check_floats(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what} differs by {worst}");
}

#[test]
fn crops_equal_pillow() {
    let image = pixels("image_u8_hwc");
    for (name, top, left, height, width, side) in BOXES {
        let rect = CropRect {
            top,
            left,
            height,
            width,
        };
        let found = crop_resize(&image, rect, side, side, Filter::Bilinear).unwrap();
        check(name, &found, &pixels(&format!("crop_{name}_u8_hwc")));
    }
}

/// Statistics of ImageNet.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

#[test]
fn normalisation_of_the_same_pixels_is_exact() {
    for (name, ..) in BOXES {
        let mut image = pixels(&format!("crop_{name}_u8_hwc"));
        let found = to_chw_f32(&image, MEAN, STD);
        check_floats(name, &found, &floats(&format!("crop_{name}_norm_chw")), 0.0);
        image.flip_horizontal();
        let found = to_chw_f32(&image, MEAN, STD);
        check_floats(
            name,
            &found,
            &floats(&format!("crop_{name}_flip_norm_chw")),
            0.0,
        );
    }
}

#[test]
fn evaluation_preprocessing_equals_torchvision() {
    let image = pixels("image_u8_hwc");
    let found = Preprocess::Eval.apply(&image, [64, 64]).unwrap();
    check("eval bicubic", &found, &pixels("eval_bicubic_u8_hwc"));

    // The same geometry with the other kernel: short side to 73, then the centre.
    let resized = resize(&image, 98, 73, Filter::Bilinear, None).unwrap();
    let centre = CropRect {
        top: 4,
        left: 17,
        height: 64,
        width: 64,
    };
    let found = ijepa_data::crop(&resized, centre).unwrap();
    check("eval bilinear", &found, &pixels("eval_bilinear_u8_hwc"));
}

#[test]
fn squash_with_half_normalisation_equals_the_hugging_face_processor() {
    let image = Preprocess::Squash
        .apply(&pixels("image_u8_hwc"), [32, 32])
        .unwrap();
    let found = to_chw_f32(&image, [0.5; 3], [0.5; 3]);
    let one_level = 2.0 / 255.0 + 1e-6;
    check_floats(
        "hf processor",
        &found,
        &floats("hf_processor_32"),
        one_level,
    );
}
