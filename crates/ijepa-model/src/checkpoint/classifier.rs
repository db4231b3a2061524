//! Classifiers in safetensors files with timm's names.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use burn::{module::Module, tensor::Device};

use super::{
    Checkpoint, TrainingState,
    error::CheckpointError,
    infer, json, native,
    params::{self, named_shapes, named_tensors},
    run_folder,
    safetensors_file::SafetensorsFile,
    snapshot::TensorFile,
    state_dict::StateDict,
};
use crate::{Classifier, ClassifierConfig};

/// Metadata key under which a file carries everything but weights.
const CONFIG_METADATA: &str = "ijepa_classifier";

impl Classifier {
    /// Name of the file in a checkpoint folder.
    pub const FILE: &str = "classifier.safetensors";

    /// Name of the file of low-rank pairs in a checkpoint folder.
    pub const LORA_FILE: &str = "lora.safetensors";

    /// All weights and the configuration, as one safetensors file; low-rank pairs are added to
    /// the weights that they belong to.
    pub fn file(&self) -> TensorFile {
        let config = serde_json::to_string(&self.config()).expect("it is plain data");
        let metadata = HashMap::from([(CONFIG_METADATA.to_owned(), config)]);
        let mut file = TensorFile::of_module(Self::FILE, &self.clone().materialize(), metadata);
        for tensor in &mut file.tensors {
            tensor.name = name_in_file(&tensor.name);
        }
        file
    }

    /// The low-rank pairs and the weights beside them, from which training goes on, or none
    /// without pairs; see [`VisionTransformer::with_lora`](crate::VisionTransformer::with_lora).
    pub fn lora_file(&self) -> Option<TensorFile> {
        let adapted = self.adapted();
        let mut tensors = named_tensors(self);
        tensors.retain(|tensor| adapted.contains(&tensor.name));
        for tensor in &mut tensors {
            tensor.name = name_in_file(&tensor.name);
        }
        (!tensors.is_empty()).then(|| TensorFile {
            name: Self::LORA_FILE,
            tensors,
            metadata: HashMap::new(),
        })
    }

    /// The rank of the pairs of the checkpoint `folder`, 0 without pairs.
    ///
    /// # Errors
    ///
    /// A [`CheckpointError`] if the file cannot be read.
    pub fn lora_rank(folder: &Path) -> Result<usize, CheckpointError> {
        let path = folder.join(Self::LORA_FILE);
        if !path.is_file() {
            return Ok(0);
        }
        let dict = StateDict::open(&path)?;
        let pair = dict.iter().find(|(name, _)| name.ends_with(".lora.a"));
        let rank = pair.and_then(|(_, tensor)| tensor.shape().first().copied());
        Ok(rank.unwrap_or(0))
    }

    /// The same classifier with the pairs and weights of [`lora_file`](Self::lora_file) from the
    /// checkpoint `folder`; it has pairs of the same rank already.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Mismatch`] if they are others, other variants if the file cannot be read.
    pub fn load_lora(self, folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join(Self::LORA_FILE);
        let dict = StateDict::open(&path)?.renamed(|name| Some(name_in_module(name)));
        let adapted = self.adapted();
        let mut mismatch = Box::new(params::mismatch(&self, &dict));
        mismatch.missing.retain(|name| adapted.contains(name));
        let what = "low-rank pairs";
        match mismatch.is_empty() {
            true => params::read_into(self, dict.iter().collect(), params::finite(what, &path)),
            false => Err(CheckpointError::Mismatch {
                path,
                what,
                mismatch,
            }),
        }
    }

    /// Names of low-rank pairs and of the weights that they belong to.
    fn adapted(&self) -> HashSet<String> {
        let names = named_shapes(self).into_iter().map(|(name, _)| name);
        let pairs = names.filter_map(|name| Some([name.split_once(".lora.")?.0.to_owned(), name]));
        pairs.flatten().collect()
    }

    /// Writes [`file`](Self::file) to `path`, where it appears as a whole.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        self.file().write(path)
    }

    /// Loads a classifier from its file, a checkpoint folder or a run directory.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Absent`] if the file does not describe a classifier,
    /// [`CheckpointError::Mismatch`] if its weights are others, other variants if it cannot be read.
    pub fn from_pretrained(
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, CheckpointError> {
        let what = "classifier";
        let path = &run_folder::file(path.as_ref(), Self::FILE, what)?;
        let file = SafetensorsFile::open(path)?;
        let absent = || CheckpointError::Absent {
            path: path.into(),
            what,
        };
        let config = config_of(&file, path)?.ok_or_else(absent)?;
        let renamed = file.tensors.into_iter();
        let renamed = renamed.map(|(name, tensor)| (name_in_module(&name), tensor));
        let dict = StateDict::new(renamed.collect());
        params::load(Self::of_config(config, device), &dict, what, path)
    }
}

/// The file of a classifier in a checkpoint folder or a run directory.
pub(super) fn inside(folder: &Path) -> Option<PathBuf> {
    let found = run_folder::find(folder, |folder| folder.join(Classifier::FILE).is_file());
    found.map(|folder| folder.join(Classifier::FILE))
}

/// What a file says of the classifier that it holds, if it does.
pub(super) fn config_of(
    file: &SafetensorsFile,
    path: &Path,
) -> Result<Option<ClassifierConfig>, CheckpointError> {
    let Some(text) = file.metadata.get(CONFIG_METADATA) else {
        return Ok(None);
    };
    let config: ClassifierConfig = json::parse_json(path, text.as_bytes())?;
    infer::checked(config.encoder.clone(), path)?;
    Ok(Some(config))
}

/// The encoder of a classifier, with the norm that follows its mean.
///
/// # Errors
///
/// If `state.json` beside it cannot be read.
pub(super) fn encoder_of(
    config: ClassifierConfig,
    tensors: StateDict,
    path: &Path,
) -> Result<Checkpoint, CheckpointError> {
    let of_encoder = |name: &str| {
        let name = name_in_module(name);
        name.strip_prefix("encoder.").map(str::to_owned)
    };
    // Its recipe is not one of pretraining.
    let state = TrainingState {
        recipe: None,
        ..TrainingState::beside(path)?
    };
    let channels = config.encoder.in_chans;
    Ok(Checkpoint {
        context_encoder: Some(tensors.renamed(of_encoder)),
        normalization: Some(config.normalization).filter(|it| it.fits(channels)),
        warnings: vec![
            "a fine-tuned classifier norms the mean over the tokens; its encoder alone norms each \
             token"
                .to_owned(),
        ],
        ..native::described(path, config.encoder, state)
    })
}

fn name_in_file(name: &str) -> String {
    let name = name.strip_prefix("encoder.").unwrap_or(name);
    match name.strip_prefix("norm.") {
        Some(end) => format!("fc_norm.{end}"),
        None => name.to_owned(),
    }
}

fn name_in_module(name: &str) -> String {
    match name.strip_prefix("fc_norm.") {
        Some(end) => format!("encoder.norm.{end}"),
        None if name.starts_with("head.") => name.to_owned(),
        None => format!("encoder.{name}"),
    }
}
