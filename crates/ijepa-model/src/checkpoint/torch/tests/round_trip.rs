//! Files that this crate wrote.

use super::super::{Dtype, Item, TensorBytesError, TorchArchive, Value, write_torch};
use super::{Folder, message, tensor};

fn tensor_item(dtype: Dtype, shape: &[usize], storage: usize) -> Item {
    Item::Tensor {
        dtype,
        shape: shape.to_vec(),
        storage,
    }
}

/// Bytes that tell storages apart.
fn pattern(storage: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|byte| (byte * 7 + storage * 31) as u8)
        .collect()
}

#[test]
fn what_is_written_is_read_back() {
    let folder = Folder::new();
    let path = folder.path("run-latest.pth.tar");
    let encoder = Item::OrderedDict(vec![
        ("module.w".into(), tensor_item(Dtype::Float32, &[3, 5], 4)),
        (
            "module.h".into(),
            tensor_item(Dtype::BFloat16, &[2, 1, 2], 7),
        ),
    ]);
    let numbers = [
        0,
        255,
        256,
        -1,
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        i64::MAX,
        i64::MIN,
    ];
    let root = Item::Dict(vec![
        ("encoder".into(), encoder.clone()),
        ("target_encoder".into(), encoder),
        ("step".into(), tensor_item(Dtype::Float32, &[], 1)),
        ("empty".into(), tensor_item(Dtype::Int64, &[0, 3], 2)),
        (
            "numbers".into(),
            Item::List(numbers.map(Item::Int).to_vec()),
        ),
        (
            "betas".into(),
            Item::Tuple(vec![Item::Float(0.9), Item::Float(0.999)]),
        ),
        (
            "flags".into(),
            Item::List(vec![Item::Bool(true), Item::Bool(false), Item::None]),
        ),
        ("nothing".into(), Item::List(vec![])),
        (
            "state".into(),
            Item::Dict(vec![(Item::Int(1), Item::Dict(vec![]))]),
        ),
        ("text".into(), "\u{fc}ber\n".into()),
    ]);
    let lengths = |storage: usize| [0, 4, 0, 0, 60, 0, 0, 8][storage];
    let mut asked = Vec::new();
    write_torch(&path, &root, |storage| {
        asked.push(storage);
        Ok(pattern(storage, lengths(storage)))
    })
    .unwrap();
    assert_eq!(asked, [4, 7, 1, 2]);

    let archive = TorchArchive::open(&path).unwrap();
    let read = archive.root();
    for key in ["encoder", "target_encoder"] {
        let encoder = read.get(key).unwrap();
        let w = tensor(encoder, "module.w");
        assert_eq!((w.dtype, &*w.shape), (Dtype::Float32, &[3, 5][..]));
        assert_eq!(archive.read_tensor(w).unwrap(), pattern(4, 60));
        assert_eq!(
            archive.read_tensor(tensor(encoder, "module.h")).unwrap(),
            pattern(7, 8)
        );
    }
    assert!(tensor(read, "step").shape.is_empty());
    assert_eq!(
        archive.read_tensor(tensor(read, "step")).unwrap(),
        pattern(1, 4)
    );
    assert_eq!(tensor(read, "empty").shape, [0, 3]);
    assert!(
        archive
            .read_tensor(tensor(read, "empty"))
            .unwrap()
            .is_empty()
    );
    let found: Vec<_> = read
        .get("numbers")
        .unwrap()
        .items()
        .filter_map(|n| n.as_i64())
        .collect();
    assert_eq!(found, numbers);
    let betas: Vec<_> = read
        .get("betas")
        .unwrap()
        .items()
        .filter_map(|n| n.as_f64())
        .collect();
    assert_eq!(betas, [0.9, 0.999]);
    let flags: Vec<_> = read
        .get("flags")
        .unwrap()
        .items()
        .map(|n| n.value().clone())
        .collect();
    assert_eq!(flags, [Value::Bool(true), Value::Bool(false), Value::None]);
    assert_eq!(read.get("nothing").unwrap().items().len(), 0);
    assert!(read.get("state").unwrap().get_index(1).unwrap().is_dict());
    assert_eq!(read.get("text").unwrap().as_str(), Some("\u{fc}ber\n"));
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_other() {
    let folder = Folder::new();
    let path = folder.path("run.pt");
    write_torch(&path, &Item::Int(1), |_| Ok([])).unwrap();
    let root = Item::List(vec![
        tensor_item(Dtype::Float32, &[2], 0),
        tensor_item(Dtype::Float32, &[2], 1),
    ]);
    let error = write_torch(&path, &root, |storage| match storage {
        0 => Ok([0; 8]),
        _ => Err(TensorBytesError::from("device lost")),
    })
    .unwrap_err();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "device lost"
    );
    assert_eq!(message(error), "cannot get the bytes of storage 1");
    let error = write_torch(&path, &root, |_| Ok([0; 9])).unwrap_err();
    assert_eq!(message(error), "storage 0 was given 9 bytes, expected 8");

    assert_eq!(TorchArchive::open(&path).unwrap().root().as_i64(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path("")).unwrap().count(), 1);
}

#[test]
fn tensors_that_disagree_about_a_storage_are_refused() {
    let folder = Folder::new();
    let root = Item::List(vec![
        tensor_item(Dtype::Float32, &[2], 0),
        tensor_item(Dtype::Float32, &[3], 0),
    ]);
    let error = write_torch(folder.path("run.pt"), &root, |_| Ok([0; 8])).unwrap_err();
    assert_eq!(
        message(error),
        "the tensors on storage 0 do not agree on its type and size"
    );
}

#[test]
fn a_missing_folder_is_made_and_a_file_in_its_place_is_an_error() {
    let folder = Folder::new();
    let path = folder.path("missing").join("run.pt");
    write_torch(&path, &Item::None, |_| Ok([])).unwrap();
    let error = write_torch(path.join("run.pt"), &Item::None, |_| Ok([])).unwrap_err();
    assert_eq!(message(error), "cannot write the file");
}
