//! Every operation of RandAugment against pixels that Pillow produced.
//!
//! `golden/distortions.py` made them. No grey level of difference is allowed: the arithmetic is
//! Pillow's, in its order and precision.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeSet;

use ijepa_data::Distortion::{self, *};
use ijepa_data::{Filter, RgbImage8, affine, rotate};
use safetensors::SafeTensors;

const GOLDEN: &[u8] = include_bytes!("golden/distortions.safetensors");
const FILL: [u8; 3] = [124, 116, 104];

fn image(golden: &SafeTensors, name: &str) -> RgbImage8 {
    let tensor = golden.tensor(name).unwrap();
    let [height, width, 3] = tensor.shape()[..] else {
        panic!("{name} is not an image")
    };
    RgbImage8::new(width, height, tensor.data().to_vec()).unwrap()
}

/// What a case's operation makes of `image`.
fn result(operation: &str, value: f64, mut image: RgbImage8) -> RgbImage8 {
    let distortion: Distortion = match operation {
        "source" => return image,
        "rotate_bilinear" => return rotate(&image, value, Filter::Bilinear, FILL),
        "shear_x_bilinear" => {
            let matrix = [1.0, value, 0.0, 0.0, 1.0, 0.0];
            return affine(&image, matrix, Filter::Bilinear, FILL);
        }
        "autocontrast" => AutoContrast,
        "equalize" => Equalize,
        "invert" => Invert,
        "rotate" => Rotate { degrees: value },
        "posterize" => Posterize { bits: value as u32 },
        "solarize" => Solarize {
            threshold: value as u32,
        },
        "solarize_add" => SolarizeAdd {
            amount: value as u8,
        },
        "color" => Color { factor: value },
        "contrast" => Contrast { factor: value },
        "brightness" => Brightness { factor: value },
        "sharpness" => Sharpness { factor: value },
        "shear_x" => ShearX { factor: value },
        "shear_y" => ShearY { factor: value },
        "translate_x" => TranslateX { share: value },
        "translate_y" => TranslateY { share: value },
        other => panic!("no operation `{other}`"),
    };
    distortion.apply(&mut image);
    image
}

#[test]
fn every_operation_equals_pillow_bit_for_bit() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let mut operations = BTreeSet::new();
    for name in golden.names() {
        let [source, operation, value] = name.split('|').collect::<Vec<_>>()[..] else {
            panic!("`{name}` is not a case")
        };
        let original = image(&golden, &format!("{source}|source|0"));
        let found = result(operation, value.parse().unwrap(), original);
        let expected = image(&golden, name);
        let pairs = found.pixels().iter().zip(expected.pixels());
        let (mut wrong, mut worst) = (0, 0);
        for (a, b) in pairs {
            wrong += usize::from(a != b);
            worst = worst.max(a.abs_diff(*b));
        }
        assert_eq!(wrong, 0, "{name}: values differ, by up to {worst}");
        operations.insert(operation.to_owned());
    }
    // The fifteen, two of them also bilinear, and the images themselves.
    assert_eq!(operations.len(), 18, "{operations:?}");
}

#[test]
fn operations_change_the_image_unless_their_level_is_neutral() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let original = image(&golden, "noise|source|0");
    let apply = |distortion: Distortion| {
        let mut image = original.clone();
        distortion.apply(&mut image);
        image
    };
    for neutral in [
        Rotate { degrees: 0.0 },
        Posterize { bits: 8 },
        Solarize { threshold: 256 },
        SolarizeAdd { amount: 0 },
        Color { factor: 1.0 },
        Contrast { factor: 1.0 },
        Brightness { factor: 1.0 },
        Sharpness { factor: 1.0 },
        ShearX { factor: 0.0 },
        ShearY { factor: 0.0 },
        TranslateX { share: 0.0 },
        TranslateY { share: 0.0 },
    ] {
        assert!(apply(neutral) == original, "{neutral:?}");
    }
    // Pillow refuses 0 bits by now; timm asks for them at full magnitude and means black.
    let black = apply(Posterize { bits: 0 });
    assert!(black.pixels().iter().all(|&value| value == 0));
    // Half a turn is exact: the last pixel comes first.
    let turned = apply(Rotate { degrees: 180.0 });
    assert_eq!(turned.pixel(0, 0), original.pixel(36, 28));
    assert_eq!(turned.pixel(20, 3), original.pixel(16, 25));
}

#[test]
fn any_size_and_parameter_is_distorted_without_a_panic() {
    for (width, height) in [(1, 1), (1, 5), (5, 1), (2, 3)] {
        for value in [-1e300, -3.0, 0.0, 0.5, 1e9, f64::NAN, f64::INFINITY] {
            for distortion in [
                AutoContrast,
                Equalize,
                Rotate { degrees: value },
                Sharpness { factor: value },
                Contrast { factor: value },
                ShearX { factor: value },
                ShearY { factor: value },
                TranslateX { share: value },
                TranslateY { share: value },
                Posterize { bits: 99 },
                Solarize { threshold: 999 },
            ] {
                let mut image = RgbImage8::new(width, height, vec![9; width * height * 3]).unwrap();
                distortion.apply(&mut image);
                assert_eq!((image.width(), image.height()), (width, height));
            }
        }
    }
}
