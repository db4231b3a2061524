//! How images are prepared for the encoder.

use std::path::Path;

use ijepa_data::Preprocess;
use ijepa_model::Normalization;
use ijepa_testkit::{TURNED_JPEG, assert_close};

use super::{embed, expected, hf, photos};
use crate::support::path_text;

#[test]
fn preprocessing_and_statistics_are_those_asked_for() {
    let photos = photos();
    let flags = [
        "--weights",
        &hf(),
        "--preprocess",
        "squash",
        "--normalize",
        "half",
    ];
    let (found, said) = embed(photos.path(), &flags);
    let values = expected(photos.path(), Preprocess::Squash, Normalization::HALF);
    assert_close("features", &found.values, &values, 1e-5);
    assert_eq!(said["normalize"], "half");
    assert_eq!(said["preprocess"], "squash");
}

#[test]
fn sixteen_bit_pictures_are_stretched_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    // The same picture with twelve bits of sixteen, and with the eight that these are stretched to.
    let twelve: Vec<u16> = (0..32 * 32).map(|at| at * 4 + 3).collect();
    let wide = twelve.iter().flat_map(|sample| sample.to_be_bytes());
    let eight = twelve
        .iter()
        .map(|&sample| ((u32::from(sample) * 255 + 2047) / 4095) as u8);
    let header = |most: u32| format!("P5 32 32 {most}\n").into_bytes();
    let file = |name: &str, bytes: Vec<u8>| std::fs::write(photos.join(name), bytes).unwrap();
    file("a.pgm", header(65535).into_iter().chain(wide).collect());
    file("b.pgm", header(255).into_iter().chain(eight).collect());
    let rows = |flags: &[&str]| {
        let weights = hf();
        let flags = [&["--weights", &weights][..], flags].concat();
        let (found, said) = embed(folder.path(), &flags);
        let (first, second) = found.values.split_at(found.values.len() / 2);
        (first == second, said["sixteen_bit"].clone())
    };
    assert_eq!(rows(&["--sixteen-bit", "scale"]), (true, "scale".into()));
    assert_eq!(rows(&[]), (false, "high_byte".into()));
}

#[test]
fn pictures_of_turned_cameras_are_turned_upright_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("a.jpg"), TURNED_JPEG).unwrap();
    let upright = image::load_from_memory(TURNED_JPEG).unwrap().rotate90();
    upright.save(photos.join("b.png")).unwrap();
    let rows_are_equal = |flags: &[&str]| {
        let weights = hf();
        let flags = [&["--weights", &weights][..], flags].concat();
        let (found, said) = embed(folder.path(), &flags);
        (found.row(0) == found.row(1), said["orientation"].clone())
    };
    let flag = ["--orientation", "exif"];
    assert_eq!(rows_are_equal(&flag), (true, "exif".into()));
    assert_eq!(rows_are_equal(&[]), (false, "ignore".into()));
}

#[test]
fn statistics_of_a_hugging_face_folder_are_used() {
    let photos = photos();
    let weights = photos.path().join("weights");
    std::fs::create_dir(&weights).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(Path::new(&hf()).join(name), weights.join(name)).unwrap();
    }
    let half = r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    std::fs::write(weights.join("preprocessor_config.json"), half).unwrap();
    let (_, said) = embed(photos.path(), &["--weights", &path_text(weights)]);
    assert_eq!(said["normalize"], "half");
}
