//! Folders of our own: who may read them, and the same from memory.

use std::fs;

use ijepa_model::{
    VisionTransformerConfig,
    checkpoint::{Format, ModuleFile, StateDict, TrainingState},
};
use ijepa_testkit::device;
use safetensors::SafeTensors;

use crate::support::{contents, official};

const NETWORKS: [&str; 3] = [
    "encoder.safetensors",
    "target_encoder.safetensors",
    "predictor.safetensors",
];

fn saved() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("native");
    let checkpoint = official();
    checkpoint.save(&path, Format::Native, &device()).unwrap();
    (folder, path)
}

#[cfg(unix)]
#[test]
fn weights_are_for_those_who_may_read_other_files() {
    use std::os::unix::fs::PermissionsExt;

    let (_folder, path) = saved();
    fs::write(path.join("plain"), "").unwrap();
    let mode = |name: &str| {
        let file = fs::metadata(path.join(name)).unwrap();
        file.permissions().mode()
    };
    for name in NETWORKS {
        assert_eq!(mode(name), mode("plain"), "{name}");
    }
}

#[test]
fn files_are_what_the_format_says() {
    let (_folder, path) = saved();
    for name in NETWORKS {
        let bytes = fs::read(path.join(name)).unwrap();
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        let ours = StateDict::open(path.join(name)).unwrap();
        assert_eq!(theirs.len(), ours.len());
        for (name, tensor) in ours.iter() {
            let found = theirs.tensor(name).unwrap();
            assert_eq!(found.shape(), tensor.shape());
            let values = tensor.read().unwrap();
            let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
            assert_eq!(found.data(), bytes, "{name}");
        }
    }
}

#[test]
fn a_file_in_memory_is_read_as_one_on_a_disk() {
    let (_folder, path) = saved();
    let bytes = fs::read(path.join(NETWORKS[0])).unwrap();
    let on_disk = ModuleFile::open(&path.join(NETWORKS[0])).unwrap();
    let in_memory = ModuleFile::from_bytes("theirs", bytes.clone()).unwrap();
    assert_eq!(in_memory.metadata, on_disk.metadata);
    let sizes = &in_memory.metadata["ijepa_encoder"];
    let sizes: VisionTransformerConfig = serde_json::from_str(sizes).unwrap();
    let loaded = [on_disk, in_memory].map(|file| {
        let encoder = file.load(sizes.init(&device()), "encoder").unwrap();
        contents(Some(&StateDict::of_module(&encoder)))
    });
    assert_eq!(loaded[0], loaded[1]);
    let cut = ModuleFile::from_bytes("theirs", bytes[..bytes.len() - 1].to_vec());
    let error = cut.unwrap_err().to_string();
    assert!(error.contains("`theirs`"), "{error}");

    let state = path.join(TrainingState::FILE);
    let read = TrainingState::from_bytes(&fs::read(&state).unwrap()).unwrap();
    assert_eq!(read, TrainingState::open(&state).unwrap());
    let newer = br#"{"format_version": 99}"#;
    let error = TrainingState::from_bytes(newer).unwrap_err().to_string();
    assert!(error.contains("99"), "{error}");
}
