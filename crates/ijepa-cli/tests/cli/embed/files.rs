//! Files of every format, and runs that write none.

use std::path::Path;

use ijepa_testkit::npy;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use safetensors::SafeTensors;
use serde_json::Value;

use super::{command, embed, hf, photos};
use crate::support::{ijepa, path_text, text};

#[test]
fn numpy_files_hold_the_same() {
    let photos = photos();
    let (reference, _) = embed(photos.path(), &["--weights", &hf()]);
    let out = path_text(photos.path().join("out.npy"));
    text(&command(photos.path(), &out, &["--weights", &hf()]));
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|it| it.to_le_bytes()).collect() };
    let expected = npy("<f4", "(4, 48)", &bytes(&reference.values));
    assert!(std::fs::read(&out).unwrap() == expected);
    let about = std::fs::read(photos.path().join("out.meta.json")).unwrap();
    let mut about: Value = serde_json::from_slice(&about).unwrap();
    let weights = about.as_object_mut().unwrap().remove("weights").unwrap();
    assert_eq!(weights.as_str().unwrap().len(), 64);
    let how = about.as_object_mut().unwrap().remove("read").unwrap();
    assert_eq!(how, how_read());
    let expected = serde_json::json!({
        "classes": ["bird", "cat"],
        "pool": "mean",
        "encoder": "context",
    });
    assert_eq!(about, expected);
    let labels = path_text(photos.path().join("out.labels.npy"));
    let bytes: Vec<u8> = reference
        .labels
        .iter()
        .flat_map(|it| it.to_le_bytes())
        .collect();
    assert!(std::fs::read(labels).unwrap() == npy("<i8", "(4,)", &bytes));
}

/// What files say of how their images were read.
fn how_read() -> Value {
    serde_json::json!({
        "image_size": [32, 32],
        "preprocess": "eval",
        "normalization": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "decoding": {"decode": "exact", "orientation": "ignore", "sixteen_bit": "high_byte"},
        "channels": 3,
    })
}

#[test]
fn files_name_their_classes() {
    let photos = photos();
    let facts = |flags: &[&str]| {
        let (features, _) = embed(photos.path(), flags);
        let bytes = std::fs::read(photos.path().join("out.safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let mut facts = header.metadata().clone().unwrap();
        assert_eq!(facts.remove("weights").unwrap().len(), 64);
        let read: Value = serde_json::from_str(&facts.remove("read").unwrap()).unwrap();
        assert_eq!(read, how_read());
        (features.shape, facts)
    };
    let (shape, found) = facts(&["--weights", &hf(), "--pool", "tokens"]);
    assert_eq!(shape, [4, 16, 48]);
    let expected = [
        ("classes", r#"["bird","cat"]"#),
        ("pool", "tokens"),
        ("encoder", "context"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(found, expected.into());

    let out = photos.path().join("out.parquet");
    text(&command(
        photos.path(),
        &path_text(&out),
        &["--weights", &hf()],
    ));
    let file = SerializedFileReader::new(std::fs::File::open(out).unwrap()).unwrap();
    let rows = file.get_row_iter(None).unwrap().map(Result::unwrap);
    let classes: Vec<String> = rows
        .map(|row| row.get_string(3).unwrap().to_owned())
        .collect();
    assert_eq!(classes, ["bird", "bird", "cat", "cat"]);
}

#[test]
fn features_that_are_not_finite_exit_with_4_and_name_the_first_image() {
    let photos = photos();
    let weights = photos.path().join("weights");
    std::fs::create_dir(&weights).unwrap();
    let from = |name: &str| std::fs::read(Path::new(&hf()).join(name)).unwrap();
    std::fs::write(weights.join("config.json"), from("config.json")).unwrap();
    let mut bytes = from("model.safetensors");
    let (header, file) = SafeTensors::read_metadata(&bytes).unwrap();
    let (at, _) = file.info("layernorm.bias").unwrap().data_offsets;
    bytes[8 + header + at..][..4].copy_from_slice(&f32::MAX.to_le_bytes());
    std::fs::write(weights.join("model.safetensors"), bytes).unwrap();
    let out = path_text(photos.path().join("out.npy"));
    let weights = path_text(weights);
    let run = ijepa(&command(
        photos.path(),
        &out,
        &["-q", "--weights", &weights],
    ));
    assert_eq!(run.code, Some(4), "{run:?}");
    let first = path_text(photos.path().join("photos/bird/0.png"));
    // The sum over the tokens.
    let message = format!("error: value 0 of `{first}` is inf; ");
    assert!(run.stderr.starts_with(&message), "{run:?}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_failed_run_leaves_the_old_file_and_nothing_else() {
    let photos = photos();
    let out = photos.path().join("out.safetensors");
    std::fs::write(&out, "precious").unwrap();
    let before = std::fs::read_dir(photos.path()).unwrap().count();
    // No image has this size, which shows only when they are read.
    let flags = ["--weights", &hf(), "--preprocess", "none"];
    let run = ijepa(&command(photos.path(), &path_text(&out), &flags));
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(
        run.stderr.contains("none of the 5 images can be read"),
        "{run:?}"
    );
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(photos.path()).unwrap().count(), before);
}
