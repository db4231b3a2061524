//! Which files of a repository of the hub make weights.

use std::path::Path;

use super::{
    folder::{CONFIG, PICKLED, README, SHARDS, WEIGHTS, shards},
    folder_config::PREPROCESSOR,
    native::{ENCODER, PREDICTOR, TARGET_ENCODER},
    state::TrainingState,
};

/// What lies beside weights and says how they are to be used, in the order of its download: a card,
/// sizes and preprocessing.
pub const BESIDE: [&str; 3] = [README, CONFIG, PREPROCESSOR];
/// Each of these is all the weights of its folder.
const WHOLE: [&str; 2] = [WEIGHTS, PICKLED];

/// What may be read of a repository of which `file` is asked for, or any weights.
pub(crate) fn usual(file: Option<&str>) -> impl Iterator<Item = String> {
    let folder = file.map(|file| folder_of(file).to_owned());
    let beside = BESIDE.map(|name| format!("{}{name}", folder.as_deref().unwrap_or_default()));
    let weights = [
        TrainingState::FILE,
        PREDICTOR,
        ENCODER,
        TARGET_ENCODER,
        WEIGHTS,
        SHARDS,
        PICKLED,
    ];
    let weights = weights.into_iter().filter(move |_| folder.is_none());
    let weights = weights.map(str::to_owned).chain(file.map(str::to_owned));
    beside.into_iter().chain(weights)
}

/// The folder of a file with a slash behind, or nothing.
fn folder_of(file: &str) -> &str {
    file.rfind('/').map_or("", |at| &file[..=at])
}

/// The files of a folder of weights among `files`, those last that make it one.
pub(crate) fn of_folder(files: &[String]) -> Option<Vec<String>> {
    let has = |name: &&str| files.iter().any(|file| file == name);
    let encoders = [ENCODER, TARGET_ENCODER];
    let weights: Vec<&str> = match encoders.iter().any(has) {
        true => [TrainingState::FILE, PREDICTOR]
            .into_iter()
            .chain(encoders)
            .filter(has)
            .collect(),
        false => [WEIGHTS, SHARDS, PICKLED]
            .into_iter()
            .find(has)
            .into_iter()
            .collect(),
    };
    let beside = BESIDE.into_iter().filter(has);
    let all = beside.chain(weights.iter().copied());
    (!weights.is_empty()).then(|| all.map(str::to_owned).collect())
}

/// The file `file` and what of `files` is read beside it.
pub(crate) fn of_file(file: &str, files: &[String]) -> Vec<String> {
    let folder = folder_of(file);
    let beside = BESIDE.into_iter().map(|name| format!("{folder}{name}"));
    let beside = beside.filter(|name| reads_beside(file) && files.contains(name));
    beside.chain([file.to_owned()]).collect()
}

/// Whether the file `file` of a repository is read with what lies beside it.
pub fn reads_beside(file: &str) -> bool {
    file.ends_with(".safetensors")
}

/// The files that the index among the `wanted` ones in `folder` names.
pub(crate) fn shards_of(folder: &Path, wanted: &[String]) -> Vec<String> {
    match wanted.iter().any(|file| file == SHARDS) {
        true => shards(&folder.join(SHARDS)).into_iter().flatten().collect(),
        false => Vec::new(),
    }
}

/// Whether `folder` has all files of a folder of weights.
pub(crate) fn are_in(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    let has_shards = || {
        let shards = shards(&folder.join(SHARDS));
        shards.is_ok_and(|shards| shards.iter().all(|shard| has(shard)))
    };
    WHOLE.into_iter().chain([ENCODER, TARGET_ENCODER]).any(has) || has_shards()
}
