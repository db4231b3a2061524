//! Files that torch wrote.

use serde_json::Value as Json;

use super::super::arena::Node;
use super::super::{TorchArchive, Value};
use super::{Folder, float_tensor, floats, golden, message, pickle, tensor, text};

fn json(name: &str) -> Json {
    serde_json::from_slice(&std::fs::read(golden(name)).unwrap()).unwrap()
}

/// Compares plain data; the JSON parser may be off by the last bits of a float.
fn assert_same(found: &Json, expected: &Json) {
    match (found, expected) {
        (Json::Array(found), Json::Array(expected)) => {
            assert_eq!(found.len(), expected.len());
            found
                .iter()
                .zip(expected)
                .for_each(|(found, expected)| assert_same(found, expected));
        }
        (Json::Object(found), Json::Object(expected)) => {
            assert!(found.keys().eq(expected.keys()));
            found
                .iter()
                .for_each(|(key, found)| assert_same(found, &expected[key]));
        }
        (Json::Number(found), Json::Number(expected)) if found.is_f64() => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() <= 4.0 * f64::EPSILON * found.abs(),
                "{found} {expected}"
            );
        }
        _ => assert_eq!(found, expected),
    }
}

/// Every tensor under a node, with the dotted path of its keys.
fn tensors<'a>(prefix: &str, node: Node<'a>, found: &mut Vec<(String, Node<'a>)>) {
    if node.as_tensor().is_some() {
        found.push((prefix.to_owned(), node));
    }
    for (key, value) in node.entries() {
        let key = match key.as_str() {
            Some(key) => key.to_owned(),
            None => key.as_i64().unwrap().to_string(),
        };
        tensors(
            &[prefix, &key].join(if prefix.is_empty() { "" } else { "." }),
            value,
            found,
        );
    }
}

#[test]
fn every_tensor_of_an_official_checkpoint_has_its_fingerprint() {
    let archive = TorchArchive::open(golden("tiny_ckpt.pth.tar")).unwrap();
    let mut found = Vec::new();
    tensors("", archive.root(), &mut found);
    let fingerprints = json("tiny_ckpt_fingerprints.json");
    let expected = fingerprints["tensors"].as_object().unwrap();
    let names: std::collections::BTreeSet<_> = found.iter().map(|(name, _)| name).collect();
    assert_eq!(names, expected.keys().collect());
    for (name, node) in found {
        let meta = node.as_tensor().unwrap();
        let expected = &expected[&name];
        assert_eq!(Json::from(meta.shape.clone()), expected["shape"], "{name}");
        assert_eq!(meta.dtype.name(), expected["dtype"], "{name}");
        let values = floats(&archive.read_tensor(meta).unwrap());
        let wide = || values.iter().map(|&value| f64::from(value));
        let close = |found: f64, key: &str| {
            let expected = expected[key].as_f64().unwrap();
            let scale = wide().map(f64::abs).sum::<f64>().max(1.0);
            // Only the order of the additions may differ.
            assert!(
                (found - expected).abs() <= 1e-12 * scale,
                "{name} {key}: {found} {expected}"
            );
        };
        close(wide().sum(), "sum");
        close(wide().map(f64::abs).sum(), "sum_abs");
        let first: Vec<f64> = wide().take(4).collect();
        assert_same(&first.into(), &expected["first4"]);
        assert_same(&wide().next_back().into(), &expected["last"]);
    }
}

#[test]
fn keys_keep_their_order_and_plain_values_are_exact() {
    let archive = TorchArchive::open(golden("tiny_ckpt.pth.tar")).unwrap();
    let root = archive.root();
    let facts = json("tiny_ckpt.json");
    let keys: Vec<_> = root
        .entries()
        .map(|(key, _)| key.as_str().unwrap())
        .collect();
    assert_eq!(Json::from(keys), facts["top_keys"]);
    assert_eq!(root.get("epoch").unwrap().as_i64(), facts["epoch"].as_i64());
    assert_same(&to_json(root.get("loss").unwrap()), &facts["loss"]);
    assert!(root.get("scaler").unwrap().is_none());

    let opt = root.get("opt").unwrap();
    let groups: Vec<_> = opt
        .get("param_groups")
        .unwrap()
        .items()
        .map(to_json)
        .collect();
    assert_same(&groups.into(), &facts["opt_param_groups"]);
    let state = opt.get("state").unwrap();
    let ids: Vec<_> = state
        .entries()
        .map(|(id, _)| id.as_i64().unwrap())
        .collect();
    assert_eq!(Json::from(ids), facts["opt_state_ids"]);
    let step = tensor(state.get_index(1).unwrap(), "step");
    assert!(step.shape.is_empty());
    assert_eq!(floats(&archive.read_tensor(step).unwrap()), [10.0]);
}

#[test]
fn a_grad_scaler_and_an_empty_optimizer_are_read() {
    let archive = TorchArchive::open(golden("tiny_ckpt_step0_with_scaler.pth.tar")).unwrap();
    let root = archive.root();
    let facts = json("tiny_ckpt.json");
    assert_eq!(
        to_json(root.get("scaler").unwrap()),
        facts["scaler_example"]
    );
    let state = root.get("opt").and_then(|opt| opt.get("state")).unwrap();
    assert!(state.is_dict());
    assert_eq!(state.entries().len(), 0);
}

/// Plain data as JSON; tuples become lists.
fn to_json(node: Node<'_>) -> Json {
    match node.value() {
        Value::None => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Str(value) => (**value).into(),
        Value::List(_) | Value::Tuple(_) => node.items().map(to_json).collect(),
        Value::Dict(_) => node
            .entries()
            .map(|(key, value)| (key.as_str().unwrap().to_owned(), to_json(value)))
            .collect(),
        other => panic!("{} is not plain", other.kind()),
    }
}

#[test]
fn views_are_read_in_row_major_order() {
    for file in ["views.pt", "views_protocol4.pt"] {
        let archive = TorchArchive::open(golden(file)).unwrap();
        let views = archive.root().get("views").unwrap();
        let expected = archive.root().get("expected").unwrap();
        assert_eq!(views.entries().len(), 19);
        for (name, view) in views.entries() {
            let name = name.as_str().unwrap();
            let (view, copy) = (view.as_tensor().unwrap(), tensor(expected, name));
            assert_eq!(view.dtype, copy.dtype, "{name}");
            assert_eq!(view.shape, copy.shape, "{name}");
            let bytes = archive.read_tensor(view).unwrap();
            assert_eq!(bytes, archive.read_tensor(copy).unwrap(), "{name}");
        }
        let expanded = tensor(archive.root(), "expanded");
        assert_eq!(
            message(archive.read_tensor(expanded).unwrap_err()),
            format!(
                "tensor of shape [3, 4], strides [1, 0] repeats elements of storage {:?}, \
                 save a contiguous copy instead",
                expanded.storage_key
            )
        );
    }
}

#[test]
fn a_dict_under_two_keys_is_one_full_dict() {
    for file in ["views.pt", "views_protocol4.pt"] {
        let archive = TorchArchive::open(golden(file)).unwrap();
        let encoder = archive.root().get("encoder").unwrap();
        let target = archive.root().get("target_encoder").unwrap();
        assert_eq!(encoder.id(), target.id());
        assert_eq!(tensor(target, "weight").shape, [3, 2]);
        assert_eq!(tensor(target, "bias").shape, [3]);
    }
}

#[test]
fn other_objects_do_not_get_in_the_way() {
    for file in ["views.pt", "views_protocol4.pt"] {
        let archive = TorchArchive::open(golden(file)).unwrap();
        let root = archive.root();
        assert_eq!(root.get("itself").unwrap().id(), root.id());
        for object in root.get("opaque").unwrap().items() {
            assert!(
                matches!(object.value(), Value::Opaque { .. }),
                "{:?}",
                object.value()
            );
        }
        assert!(matches!(
            root.get("complex").unwrap().value(),
            Value::Opaque { .. }
        ));
        let ordered = root.get("ordered").unwrap();
        let keys: Vec<_> = ordered
            .entries()
            .map(|(key, _)| key.as_str().unwrap())
            .collect();
        assert_eq!(keys, ["b", "a"]);
        let numbers: Vec<_> = root
            .get("numbers")
            .unwrap()
            .items()
            .map(|node| node.value().clone())
            .collect();
        let int = Value::Int;
        assert_eq!(
            numbers,
            [
                int(0),
                int(255),
                int(256),
                int(-1),
                int(1 << 31),
                int(-(1 << 40)),
                int(i64::MAX),
                int(i64::MIN),
                Value::BigInt,
                Value::Float(0.5),
                Value::Bool(true),
                Value::Bool(false),
                Value::None,
            ]
        );
        let text = "l\u{e4}nger als 255 Zeichen ".repeat(20);
        assert_eq!(root.get("text").unwrap().as_str(), Some(&*text));
    }
}

#[test]
fn shared_dicts_made_by_hand_are_read_twice() {
    let folder = Folder::new();
    let state = [
        b"ccollections\nOrderedDict\n)Rq\x01(",
        &text("w")[..],
        &float_tensor(2, 0, &[2], &[1]),
        b"u}(",
        &text("_metadata"),
        b"Nub",
    ]
    .concat();
    let program = pickle(&[
        b"}(",
        &text("encoder"),
        &state,
        &text("target_encoder"),
        b"h\x01u",
    ]);
    let archive = TorchArchive::open(folder.checkpoint(&program, &[1.0, 2.0])).unwrap();
    for key in ["encoder", "target_encoder"] {
        let meta = tensor(archive.root().get(key).unwrap(), "w");
        assert_eq!(floats(&archive.read_tensor(meta).unwrap()), [1.0, 2.0]);
    }
}
