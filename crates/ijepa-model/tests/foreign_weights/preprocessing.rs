//! How folders ask for images to be prepared.

use std::{error::Error, fs};

use ijepa_model::{Checkpoint, checkpoint::Resize};

use crate::{TIMM, encoder, folder_of, open};

#[test]
fn another_interpolation_than_the_weights_ask_for_is_said() {
    let warnings = |others: &[(&str, &str)]| {
        let folder = folder_of(&encoder(), others);
        open(folder.0.path()).unwrap().warnings
    };
    let bilinear = r#"{"size": {"shortest_edge": 40}, "crop_size": 32, "resample": 2}"#;
    let [warning] = &warnings(&[("preprocessor_config.json", bilinear)])[..] else {
        panic!("one warning")
    };
    let expected = "the weights ask for images resized by bilinear interpolation; they are \
                    resized by bicubic interpolation";
    assert_eq!(warning, expected);
    let bicubic = bilinear.replace(": 2", ": 3");
    assert!(warnings(&[("preprocessor_config.json", &bicubic)]).is_empty());
    let squash = TIMM.replace("center\",", "squash\", \"interpolation\": \"bicubic\",");
    assert_eq!(warnings(&[("config.json", &squash)]).len(), 1);
}

#[test]
fn a_preprocessor_says_how_images_are_resized() {
    let resize = |text: &str| {
        let others = [("config.json", TIMM), ("preprocessor_config.json", text)];
        let config = r#"{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 128, "image_size": 32, "patch_size": 8, "layer_norm_eps": 1e-6,
            "hidden_act": "gelu"}"#;
        let folder = folder_of(&encoder(), &others);
        fs::write(folder.at("config.json"), config).unwrap();
        Checkpoint::open(folder.0.path()).map(|opened| opened.resize)
    };
    let squash = r#"{"do_resize": true, "size": {"height": 32, "width": 32}, "resample": 2}"#;
    let crop = r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}"#;
    assert_eq!(resize("{}").unwrap(), None);
    assert_eq!(resize(squash).unwrap(), Some(Resize::Squash));
    let margin = 256.0 / 224.0;
    assert_eq!(resize(crop).unwrap(), Some(Resize::Crop { margin }));
    // The margin of evaluation, rounded to whole pixels; and another one.
    let edge = |edge: usize| format!(r#"{{"size": {{"shortest_edge": {edge}}}, "crop_size": 32}}"#);
    assert_eq!(resize(&edge(37)).unwrap(), Some(Resize::EVALUATION));
    let margin = 40.0 / 32.0;
    assert_eq!(resize(&edge(40)).unwrap(), Some(Resize::Crop { margin }));
    assert_eq!(
        resize(r#"{"do_resize": false}"#).unwrap(),
        Some(Resize::None)
    );
    let zero = r#"{"image_mean": [0, 0, 0], "image_std": [0.5, 0, 0.5]}"#;
    let error = resize(zero).unwrap_err();
    assert!(error.to_string().contains("image_std"), "{error}");
    assert!(error.source().is_none());
}
