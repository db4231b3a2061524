//! Folders of our own: who may read them, and the same from memory.

use std::{collections::HashMap, fs, path::Path};

use ijepa_model::{
    Checkpoint,
    checkpoint::{Format, NATIVE_FILES, StateDict, TrainingState},
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

fn in_memory(path: &Path) -> HashMap<String, Vec<u8>> {
    let file = |name: &str| (name.to_owned(), fs::read(path.join(name)).unwrap());
    NATIVE_FILES.map(file).into()
}

#[test]
fn files_in_memory_are_read_as_those_on_a_disk() {
    let (_folder, path) = saved();
    let files = in_memory(&path);
    let on_disk = Checkpoint::open(&path).unwrap();
    let in_memory = Checkpoint::from_memory(files.clone()).unwrap();
    assert_eq!(in_memory.encoder_config, on_disk.encoder_config);
    assert_eq!(in_memory.predictor_config, on_disk.predictor_config);
    assert_eq!(in_memory.state, on_disk.state);
    let networks = |checkpoint: &Checkpoint| {
        let Checkpoint {
            context_encoder,
            target_encoder,
            predictor,
            ..
        } = checkpoint;
        [context_encoder, target_encoder, predictor].map(|dict| contents(dict.as_ref()))
    };
    assert_eq!(networks(&in_memory), networks(&on_disk));

    for name in NETWORKS {
        let mut cut = files.clone();
        cut.get_mut(name).unwrap().pop();
        let error = Checkpoint::from_memory(cut).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
    let mut newer = files;
    let state = br#"{"format_version": 99}"#;
    newer.insert(TrainingState::FILE.to_owned(), state.to_vec());
    let error = Checkpoint::from_memory(newer).unwrap_err().to_string();
    assert!(error.contains("99"), "{error}");
}
