//! Folders of `transformers`.

use std::{fs, path::PathBuf};

use ijepa_model::{
    Checkpoint, Normalization, VisionTransformerConfig,
    checkpoint::{EncoderRole, Format, Resize},
};
use ijepa_testkit::device;
use safetensors::{Dtype, tensor::TensorView};

use crate::support::{contents, golden, hugging_face, mismatch, official};

#[test]
fn a_hugging_face_export_has_the_keys_and_values_of_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hf");
    official()
        .save(&path, Format::HuggingFace(EncoderRole::Context), &device())
        .unwrap();
    let exported = Checkpoint::open(&path).unwrap();
    let saved = Checkpoint::open(golden().join("hf_tiny_saved")).unwrap();
    assert_eq!(
        contents(exported.context_encoder.as_ref()),
        contents(saved.context_encoder.as_ref())
    );
    assert_eq!(exported.encoder_config, saved.encoder_config);
    let names = |path: PathBuf| {
        let bytes = fs::read(path.join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(path), names(golden().join("hf_tiny_saved")));
}

#[test]
fn an_export_is_read_back_as_the_encoder_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let saved = |name: &str, role: EncoderRole| {
        let path = folder.path().join(name);
        official()
            .save(&path, Format::HuggingFace(role), &device())
            .unwrap();
        Checkpoint::open(path).unwrap()
    };
    let target = saved("target", EncoderRole::Target);
    assert!(target.context_encoder.is_none());
    assert_eq!(
        contents(target.target_encoder.as_ref()),
        contents(official().target_encoder.as_ref())
    );
    let context = saved("context", EncoderRole::Context);
    assert!(context.target_encoder.is_none() && context.context_encoder.is_some());
    // Its file alone says the same.
    let file = Checkpoint::open(folder.path().join("target/model.safetensors")).unwrap();
    assert!(file.context_encoder.is_none() && file.target_encoder.is_some());
}

#[test]
fn the_licence_of_weights_stays_with_them_in_every_format() {
    let folder = hugging_face("README.md", |_| {
        "---\r\nlicense: cc-by-nc-4.0\r\n---\r\n".into()
    });
    let licence = |path: PathBuf| Checkpoint::open(path).unwrap().licence;
    let known = Some("cc-by-nc-4.0".to_owned());
    assert_eq!(licence(folder.path().into()), known);
    assert_eq!(licence(folder.path().join("model.safetensors")), known);
    let native = folder.path().join("native");
    let opened = Checkpoint::open(folder.path()).unwrap();
    opened.save(&native, Format::Native, &device()).unwrap();
    assert_eq!(licence(native.clone()), known);
    let again = folder.path().join("again");
    let role = Format::HuggingFace(EncoderRole::Context);
    let opened = Checkpoint::open(native).unwrap();
    opened.save(&again, role, &device()).unwrap();
    assert_eq!(licence(again), known);
}

#[test]
fn crops_of_images_that_are_no_squares_are_read_as_they_were_written() {
    let config = VisionTransformerConfig {
        image_size: [8, 16],
        patch_size: 4,
        in_chans: 3,
        embed_dim: 8,
        depth: 1,
        num_heads: 2,
        mlp_ratio: 1.0,
        drop_path: 0.0,
        layer_norm_eps: 1e-6,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("native");
    config.init(&device()).save(&path, Format::Native).unwrap();
    let resize = Some(Resize::Crop { margin: 1.25 });
    let mut checkpoint = Checkpoint::open(path).unwrap();
    checkpoint.resize = resize;
    let path = folder.path().join("hf");
    let role = Format::HuggingFace(EncoderRole::Context);
    checkpoint.save(&path, role, &device()).unwrap();
    assert_eq!(Checkpoint::open(path).unwrap().resize, resize);
}

#[test]
fn the_other_spelling_of_hugging_face_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let saved = golden().join("hf_tiny_saved");
    let bytes = fs::read(saved.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let spelled = |name: String| {
        name.replace("encoder.layer.", "layers.")
            .replace("attention.attention.query", "attention.q_proj")
            .replace("attention.attention.key", "attention.k_proj")
            .replace("attention.attention.value", "attention.v_proj")
            .replace("attention.output.dense", "attention.o_proj")
            .replace("intermediate.dense", "mlp.fc1")
            .replace("output.dense", "mlp.fc2")
    };
    let mut tensors: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (spelled(name), view))
        .collect();
    // A classification model has a prefix and a head.
    tensors
        .iter_mut()
        .for_each(|(name, _)| *name = format!("ijepa.{name}"));
    let head = tensors[0].1.clone();
    tensors.push(("classifier.weight".to_owned(), head));
    let path = folder.path().join("model.safetensors");
    safetensors::serialize_to_file(tensors, None, &path).unwrap();
    fs::copy(saved.join("config.json"), folder.path().join("config.json")).unwrap();
    let opened = Checkpoint::open(folder.path()).unwrap();
    let expected = Checkpoint::open(saved).unwrap();
    assert_eq!(
        contents(opened.context_encoder.as_ref()),
        contents(expected.context_encoder.as_ref())
    );
}

#[test]
fn queries_keys_and_values_of_other_shapes_are_not_joined() {
    let bytes = fs::read(golden().join("hf_tiny_saved/model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let key = "encoder.layer.0.attention.attention.key.weight";
    let flat = |(name, view): (String, TensorView<'_>)| {
        let shape = match name == key {
            true => vec![view.shape().iter().product()],
            false => view.shape().to_vec(),
        };
        (name, shape, view.data().to_vec())
    };
    let tensors: Vec<_> = file.tensors().into_iter().map(flat).collect();
    let views = tensors.iter().map(|(name, shape, data)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), data);
        (name, view.unwrap())
    });
    let folder = hugging_face("config.json", str::to_owned);
    let path = folder.path().join("model.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let message = mismatch(&Checkpoint::open(folder.path()).unwrap());
    assert!(message.contains("blocks.0.attn.qkv.weight"), "{message}");
}

#[test]
fn preprocessors_scale_and_normalise_as_they_say() {
    let found = |text: &str| {
        let folder = hugging_face("preprocessor_config.json", |_| text.to_owned());
        Checkpoint::open(folder.path()).unwrap().normalization
    };
    let half = r#""image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;
    let of_bytes = Normalization {
        mean: [127.5 / 255.0; 3].into(),
        std: [0.25; 3].into(),
    };
    let scaled = r#""image_mean": [127.5, 127.5, 127.5], "image_std": [63.75, 63.75, 63.75]"#;
    assert_eq!(found("{}"), None);
    assert_eq!(found(&format!("{{{half}}}")), Some(Normalization::HALF));
    let exact = format!(r#"{{{half}, "rescale_factor": 0.00392156862745098}}"#);
    assert_eq!(found(&exact), Some(Normalization::HALF));
    let bytes = format!(r#"{{{scaled}, "do_rescale": false, "rescale_factor": 0.5}}"#);
    assert_eq!(found(&bytes), Some(of_bytes));
    let off = format!(r#"{{{half}, "do_normalize": false}}"#);
    assert_eq!(found(&off), Some(Normalization::NONE));
}

#[test]
fn a_configuration_that_contradicts_the_weights_is_refused() {
    let with = |from: &str, to: &str| {
        let folder = hugging_face("config.json", |text| {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            changed
        });
        let opened = Checkpoint::open(folder.path());
        opened.map(|_| ()).map_err(|error| error.to_string())
    };
    let refused = |from: &str, to: &str, why: &str| {
        let message = with(from, to).unwrap_err();
        assert!(
            message.contains("config.json`") && message.contains(why),
            "{message}"
        );
    };
    let biases = "`qkv_bias` is false, but only true is supported";
    refused(r#""qkv_bias": true"#, r#""qkv_bias": false"#, biases);
    // As many patches, in another grid than that of the positions.
    let sizes = "`image_size` is 16x64, but the weights are for images of 32x32";
    refused(r#""image_size": 32"#, r#""image_size": [16, 64]"#, sizes);
    with(r#""image_size": 32"#, r#""image_size": [32, 32]"#).unwrap();
    with(r#"  "qkv_bias": true,"#, "").unwrap();
}
