use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use ijepa_testkit::device;
use prost::Message;

use super::{
    graph::{PIXELS, POOLED, TOKENS},
    proto::{DataLocation, Graph, Model, Size, Tensor, ValueInfo},
    *,
};
use crate::{
    Checkpoint,
    checkpoint::{EncoderRole, Format, named_tensors},
};

fn config() -> VisionTransformerConfig {
    VisionTransformerConfig {
        mlp_ratio: 2.0,
        layer_norm_eps: 1e-5,
        ..VisionTransformerConfig::new([24, 32], 8, 12, 2, 3)
    }
}

fn read(path: &Path) -> (Model, Graph) {
    let model = Model::decode(&*fs::read(path).unwrap()).unwrap();
    let graph = model.graph.clone().unwrap();
    (model, graph)
}

fn sizes(value: &ValueInfo) -> (&str, Vec<Size>) {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    let shape = tensor.shape.as_ref().unwrap().dim.iter();
    (
        value.name(),
        shape.map(|dim| dim.value.clone().unwrap()).collect(),
    )
}

/// Every input is there before it is read, every name is made once, everything made is read.
fn check_order(graph: &Graph) {
    let initializers = graph.initializer.iter().map(Tensor::name);
    let inputs = graph.input.iter().map(ValueInfo::name);
    let mut made = HashSet::new();
    for name in initializers.chain(inputs) {
        assert!(made.insert(name), "{name} twice");
    }
    let mut used = HashSet::new();
    for node in &graph.node {
        for input in &node.input {
            assert!(made.contains(input.as_str()), "{input} before it is made");
            used.insert(input.as_str());
        }
        for output in &node.output {
            assert!(made.insert(output), "{output} twice");
        }
    }
    used.extend(graph.output.iter().map(ValueInfo::name));
    let unused: Vec<_> = made.difference(&used).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// The initializers that are weights hold those of `tensors`, by name.
fn check_weights(graph: &Graph, tensors: &[NamedTensor], bytes: impl Fn(&Tensor) -> Vec<u8>) {
    let found: HashMap<_, _> = graph.initializer.iter().map(|it| (it.name(), it)).collect();
    for tensor in tensors {
        let message = found[tensor.name.as_str()];
        let values = tensor.read().unwrap();
        let (shape, values) = match tensor.shape[..] {
            [outputs, inputs] => (vec![inputs, outputs], transposed(&values, outputs, inputs)),
            _ => (tensor.shape.clone(), values),
        };
        let dims: Vec<usize> = message.dims.iter().map(|&dim| dim as usize).collect();
        assert_eq!(dims, shape, "{}", tensor.name);
        assert_eq!(bytes(message), encode_f32(&values), "{}", tensor.name);
    }
    let others = graph.initializer.len() - tensors.len();
    // Three sizes, the scale of attention and three numbers of GELU.
    assert_eq!(others, 7);
}

#[test]
fn an_encoder_is_a_graph_of_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.onnx");
    let encoder = config().init(&device());
    encoder
        .save(&path, Format::Onnx(EncoderRole::Target))
        .unwrap();
    let (model, graph) = read(&path);
    assert_eq!(
        (model.ir_version(), model.opset_import[0].version()),
        (8, 17)
    );
    let named = || Size::Named("batch".into());
    let shape = |sizes: &[i64]| -> Vec<Size> {
        let known = sizes.iter().map(|&size| Size::Known(size));
        [named()].into_iter().chain(known).collect()
    };
    assert_eq!(graph.input.len(), 1);
    assert_eq!(sizes(&graph.input[0]), (PIXELS, shape(&[3, 24, 32])));
    let outputs: Vec<_> = graph.output.iter().map(sizes).collect();
    let expected = [(TOKENS, shape(&[12, 12])), (POOLED, shape(&[12]))];
    assert_eq!(outputs, expected);
    check_order(&graph);
    let bytes = |tensor: &Tensor| tensor.raw_data().to_vec();
    check_weights(&graph, &named_tensors(&encoder), bytes);
    let said = |key: &str| {
        let entry = model.metadata_props.iter().find(|it| it.key() == key);
        entry.map(|entry| entry.value().to_owned())
    };
    assert_eq!(said("mean").unwrap(), "[0.485,0.456,0.406]");
    assert_eq!(said("std").unwrap(), "[0.229,0.224,0.225]");
    assert_eq!(said("image_size").unwrap(), "[24,32]");
    assert_eq!(said("patch_size").unwrap(), "8");
    let crop = r#"{"crop":{"margin":1.1428571428571428}}"#;
    assert_eq!(said("preprocessing").unwrap(), crop);
    assert_eq!(said("license"), None);
}

#[test]
fn large_weights_lie_beside_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.onnx");
    let tensors = named_tensors(&config().init(&device()));
    let whole: usize = tensors
        .iter()
        .map(|it| it.shape.iter().product::<usize>())
        .sum();
    let write = |most_inside: usize| {
        let config = config();
        let encoder = OnnxEncoder {
            config: &config,
            tensors: tensors.clone(),
            normalization: Normalization::HALF,
            resize: Resize::Squash,
            licence: Some("cc-by-nc-4.0".into()),
        };
        encoder.write_with(&path, most_inside)
    };
    let beside = folder.path().join("encoder.onnx.data");
    write(whole * 4).unwrap();
    assert!(!beside.exists());
    write(whole * 4 - 1).unwrap();
    let data = fs::read(&beside).unwrap();
    assert_eq!(data.len(), whole * 4);
    let (_, graph) = read(&path);
    check_order(&graph);
    check_weights(&graph, &tensors, |tensor| {
        assert_eq!(tensor.data_location(), DataLocation::External);
        let said: Vec<_> = tensor
            .external_data
            .iter()
            .map(|it| (it.key(), it.value()))
            .collect();
        let [
            ("location", "encoder.onnx.data"),
            ("offset", offset),
            ("length", len),
        ] = said[..]
        else {
            panic!("{said:?}");
        };
        data[offset.parse().unwrap()..][..len.parse().unwrap()].to_vec()
    });
    let error = write(0).unwrap_err().to_string();
    assert!(
        error.contains("cannot create") && error.contains("onnx.data"),
        "{error}"
    );
    assert_eq!(fs::read(&beside).unwrap(), data);
}

#[test]
fn a_hugging_face_folder_becomes_a_graph_and_an_absent_encoder_does_not() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hf_tiny_saved");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.onnx");
    let save = |role| {
        let checkpoint = Checkpoint::open(&golden).unwrap();
        checkpoint.save(&path, Format::Onnx(role), &device())
    };
    let error = save(EncoderRole::Target).unwrap_err().to_string();
    assert!(error.ends_with("has no target encoder"), "{error}");
    assert!(!path.exists());
    save(EncoderRole::Context).unwrap();
    let (_, graph) = read(&path);
    check_order(&graph);
    let encoder = Checkpoint::open(&golden).unwrap();
    let encoder = encoder.encoder(EncoderRole::Context, &device()).unwrap();
    let bytes = |tensor: &Tensor| tensor.raw_data().to_vec();
    check_weights(&graph, &named_tensors(&encoder), bytes);
}
