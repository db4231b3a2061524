//! Features on disk, found again by what they were computed from.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use ijepa_data::{Skipped, Source};
use ijepa_model::{Pooling, VisionTransformer};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::Error;
use crate::extract::{ExtractConfig, Extracted, extract_with_progress};
use crate::features::Features;

/// Changes whenever features are computed or stored in another way.
const VERSION: u32 = 1;
/// Images whose pixels go into a fingerprint, beside the names and labels of all.
const SAMPLES: usize = 16;
/// Room for names and sizes, and bytes of an image beside its features: label and index.
const HEADER_BYTES: u64 = 1 << 20;
const ROW_BYTES: u64 = 16;

/// A folder of extracted features.
///
/// A file is named by a fingerprint of the encoder's weights, of the names and labels of all
/// images and the pixels of some, and of everything else that features depend on. So a file is
/// taken only for the features that would be computed again, and other features never replace it.
/// Files are those of the `embed` command (`embedding`, `label`), with `index` and a checksum.
#[derive(Debug, Clone)]
pub struct FeatureCache {
    folder: PathBuf,
}

/// Features that cannot be kept or taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The file is not what was written.
    #[error("cached features `{}` are damaged ({why}); delete the file to compute them again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk cannot take the features.
    #[error("features need {needed} bytes in `{}`, which has {free} left", folder.display())]
    Room {
        /// The folder.
        folder: PathBuf,
        /// Bytes that the file will have.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A file that cannot be read or written.
    #[error("cannot keep features in `{}`", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl FeatureCache {
    /// A cache in `folder`, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The features of `source`: from the cache, or computed and kept there.
    ///
    /// As [`extract_with_progress`] otherwise.
    ///
    /// # Errors
    ///
    /// A [`CacheError`] if the file is damaged or the disk, asked before anything is computed,
    /// has no room for it; or any error of the extraction.
    pub fn extract(
        &self,
        encoder: &VisionTransformer,
        source: &dyn Source,
        config: &ExtractConfig,
        device: &Device,
        progress: impl FnMut(usize),
    ) -> Result<Extracted, Error> {
        let path = self.path(encoder, source, config);
        if path.exists() {
            return Ok(read(&path)?);
        }
        self.make(&path)?;
        let dim = match config.pooling {
            Pooling::Mean => encoder.embed_dim(),
            Pooling::Concat4 => 4 * encoder.embed_dim(),
        };
        let row = 4 * dim as u64 + ROW_BYTES;
        self.ensure_room(HEADER_BYTES + source.len() as u64 * row)?;
        let extracted = extract_with_progress(encoder, source, config, device, progress)?;
        write(&path, &extracted)?;
        Ok(extracted)
    }

    fn path(
        &self,
        encoder: &VisionTransformer,
        source: &dyn Source,
        config: &ExtractConfig,
    ) -> PathBuf {
        let name = format!("{:016x}.safetensors", fingerprint(encoder, source, config));
        self.folder.join(name)
    }

    fn make(&self, path: &Path) -> Result<(), CacheError> {
        fs::create_dir_all(&self.folder).map_err(|source| file(path, source))
    }

    /// Checks that the disk can take `needed` bytes.
    fn ensure_room(&self, needed: u64) -> Result<(), CacheError> {
        match free_bytes(&self.folder).map_err(|source| file(&self.folder, source))? {
            Some(free) if free < needed => Err(CacheError::Room {
                folder: self.folder.clone(),
                needed,
                free,
            }),
            _ => Ok(()),
        }
    }
}

/// Bytes that this user may still write below `folder`, where the system tells.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> io::Result<Option<u64>> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(Some(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Bytes that this user may still write below `folder`, where the system tells.
#[cfg(not(unix))]
fn free_bytes(_: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

/// A number for everything that features depend on.
fn fingerprint(encoder: &VisionTransformer, source: &dyn Source, config: &ExtractConfig) -> u64 {
    struct Weights<'a>(&'a mut DefaultHasher);
    impl ModuleVisitor for Weights<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            data.shape().as_slice().hash(self.0);
            self.0.write(data.as_bytes());
        }
    }
    let mut hasher = DefaultHasher::new();
    VERSION.hash(&mut hasher);
    // The configuration names sizes and precision; batches and threads change no feature.
    let how = (config.pooling, config.preprocess, config.normalization);
    format!("{:?} {how:?} {:?}", encoder.config(), encoder.compute()).hash(&mut hasher);
    encoder.visit(&mut Weights(&mut hasher));
    let images = source.len();
    for image in 0..images {
        (source.name(image), source.label(image)).hash(&mut hasher);
    }
    for sample in 0..SAMPLES.min(images) {
        if let Ok(image) = source.read(sample * images / SAMPLES.min(images)) {
            image.pixels().hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn file(path: &Path, source: io::Error) -> CacheError {
    CacheError::File {
        path: path.to_owned(),
        source,
    }
}

/// The bytes of a file's three tensors.
struct Stored {
    embedding: Vec<u8>,
    label: Vec<u8>,
    index: Vec<u8>,
}

impl Stored {
    fn checksum(&self) -> String {
        let mut hasher = DefaultHasher::new();
        for bytes in [&self.embedding, &self.label, &self.index] {
            bytes.hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }
}

/// Writes under another name first, so that a file is complete or missing.
fn write(path: &Path, extracted: &Extracted) -> Result<(), CacheError> {
    let features = &extracted.features;
    let label = |label: &Option<u32>| label.map_or(-1, i64::from);
    let labels = features.labels().iter().map(label);
    let stored = Stored {
        embedding: features
            .values()
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        label: labels.flat_map(i64::to_le_bytes).collect(),
        index: extracted
            .indices
            .iter()
            .flat_map(|&index| (index as i64).to_le_bytes())
            .collect(),
    };
    let (images, dim) = (features.images(), features.dim());
    let tensors = [
        (
            "embedding",
            Dtype::F32,
            vec![images, dim],
            &stored.embedding,
        ),
        ("label", Dtype::I64, vec![images], &stored.label),
        ("index", Dtype::I64, vec![images], &stored.index),
    ];
    let tensors = tensors.map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(dtype, shape, bytes).expect("the sizes are those of the bytes");
        (name, view)
    });
    let skipped = extracted.skipped.iter();
    let skipped: Vec<(u32, &str, &str)> = skipped
        .map(|image| (image.index, image.path.as_str(), image.why.as_str()))
        .collect();
    let skipped = serde_json::to_string(&skipped).expect("texts and numbers are JSON");
    let facts = [("checksum", stored.checksum()), ("skipped", skipped)];
    let facts: HashMap<String, String> = facts
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = safetensors::serialize_to_file(tensors, Some(facts), &part);
    let written = written.map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => source,
        other => io::Error::other(other),
    });
    let moved = written.and_then(|()| fs::rename(&part, path));
    moved.map_err(|source| {
        // What is left of the file is of no use; the error says more than a second one would.
        let _ = fs::remove_file(&part);
        file(path, source)
    })
}

fn read(path: &Path) -> Result<Extracted, CacheError> {
    let bytes = fs::read(path).map_err(|source| file(path, source))?;
    parse(&bytes).map_err(|why| CacheError::Damaged {
        path: path.to_owned(),
        why,
    })
}

fn parse(bytes: &[u8]) -> Result<Extracted, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| text(&error))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| text(&error))?;
    let tensor = |name: &str, dtype: Dtype| {
        let found = file.tensor(name).map_err(|error| text(&error))?;
        match found.dtype() == dtype {
            true => Ok((found.shape().to_vec(), found.data().to_vec())),
            false => Err(format!(
                "`{name}` is {:?}, expected {dtype:?}",
                found.dtype()
            )),
        }
    };
    let (shape, embedding) = tensor("embedding", Dtype::F32)?;
    let (_, label) = tensor("label", Dtype::I64)?;
    let (_, index) = tensor("index", Dtype::I64)?;
    let stored = Stored {
        embedding,
        label,
        index,
    };
    let facts = header.metadata().clone().unwrap_or_default();
    let fact = |key: &str| facts.get(key).ok_or_else(|| format!("`{key}` is missing"));
    if *fact("checksum")? != stored.checksum() {
        return Err("its checksum is another".to_owned());
    }
    let skipped: Vec<(u32, String, String)> =
        serde_json::from_str(fact("skipped")?).map_err(|error| text(&error))?;
    let dim = *shape.last().unwrap_or(&0);
    let values = stored.embedding.as_chunks().0.iter();
    let values = values.map(|&word| f32::from_le_bytes(word)).collect();
    let labels = stored.label.as_chunks().0.iter();
    let labels = labels.map(|&word| u32::try_from(i64::from_le_bytes(word)).ok());
    let indices = stored.index.as_chunks().0.iter();
    let indices = indices.map(|&word| i64::from_le_bytes(word) as usize);
    Ok(Extracted {
        features: Features::new(dim, values, labels.collect()).map_err(|error| text(&error))?,
        indices: indices.collect(),
        skipped: skipped
            .into_iter()
            .map(|(index, path, why)| Skipped { index, path, why })
            .collect(),
    })
}
