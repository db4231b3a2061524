//! Features on disk, found again by what they were computed from.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use blake3::Hasher;
use burn::tensor::Device;
use ijepa_data::{Skipped, Source};
use ijepa_model::{
    VisionTransformer,
    checkpoint::f32_bytes,
    files::{cannot, ensure_room, ensure_writable},
};

use super::{
    ExtractConfig, ExtractError, Extracted,
    digest::{add, add_weights},
    extract_with_progress, for_each_batch,
    store::{Facts, FeatureFile, RowShape, Rows, SafetensorsFile, read_safetensors},
};
use crate::{Error, progress::Progress};

/// Changes whenever features are computed or stored in another way.
const VERSION: u32 = 2;
/// Room for names and sizes, and bytes of an image beside its features.
const HEADER_BYTES: u64 = 1 << 20;
const ROW_BYTES: u64 = 16;

/// A folder of extracted features.
///
/// A file is named by a fingerprint of the encoder's weights, of the names, labels and files of
/// all images (path, length and time of change; of images without a file their pixels) and of
/// everything else that features depend on. So a file is taken only for the features that would be
/// computed again, and other features never replace it. Files are those of
/// [`embed`](crate::embed) with a checksum; one that is damaged is computed again.
#[derive(Debug, Clone)]
pub struct FeatureCache {
    folder: PathBuf,
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
    /// [`Error::Cache`] if the folder cannot be written or the disk has no room, both asked before
    /// anything is computed; or any error of the extraction.
    pub fn extract(
        &self,
        encoder: &VisionTransformer,
        source: &dyn Source,
        config: &ExtractConfig,
        device: &Device,
        progress: impl FnMut(Progress),
    ) -> Result<Extracted, Error> {
        config.check(encoder)?;
        let name = fingerprint(encoder, source, config)?;
        let path = self.folder.join(format!("{name}.safetensors"));
        if let Ok(kept) = read(&path) {
            return Ok(kept);
        }
        fs::create_dir_all(&self.folder).map_err(cannot("create", &self.folder))?;
        ensure_writable(&path)?;
        let row = 4 * config.dim(encoder) as u64 + ROW_BYTES;
        ensure_room(&path, HEADER_BYTES + source.len() as u64 * row)?;
        let extracted = extract_with_progress(encoder, source, config, device, progress)?;
        write(&path, &extracted).map_err(cannot("write", &path))?;
        Ok(extracted)
    }
}

/// A name for everything that features depend on.
fn fingerprint(
    encoder: &VisionTransformer,
    source: &dyn Source,
    config: &ExtractConfig,
) -> Result<String, ExtractError> {
    let mut hasher = Hasher::new();
    // The configuration names sizes and precision; batches and threads change no feature.
    let how = format!(
        "{VERSION} {:?} {} {:?}",
        encoder.config(),
        config.described(),
        encoder.compute()
    );
    add(&mut hasher, how.as_bytes());
    add_weights(&mut hasher, encoder);
    add_images(&mut hasher, encoder, source, config)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Adds names, labels and what tells whether an image has changed: the state of its file, or its
/// pixels if it has none.
fn add_images(
    hasher: &mut Hasher,
    encoder: &VisionTransformer,
    source: &dyn Source,
    config: &ExtractConfig,
) -> Result<(), ExtractError> {
    let mut all_have_files = true;
    let mut last: Option<(PathBuf, String)> = None;
    for image in 0..source.len() {
        let file = source.file(image);
        all_have_files &= file.is_some();
        // Many images may be in one file.
        if let Some(path) = file.filter(|path| last.as_ref().is_none_or(|(last, _)| last != path)) {
            let state = fs::metadata(&path).map_or_else(|error| error.to_string(), state);
            last = Some((path, state));
        }
        let state = last.as_ref().map(|(_, state)| state);
        let known = (source.name(image), source.label(image), state);
        add(hasher, format!("{known:?}").as_bytes());
    }
    if !all_have_files {
        for_each_batch(source, encoder.config().image_size, config, |batch| {
            let bytes = batch.pixels.len() / batch.indices.len();
            for (index, pixels) in batch.indices.iter().zip(batch.pixels.chunks(bytes)) {
                add(hasher, &index.to_le_bytes());
                add(hasher, pixels);
            }
            Ok::<_, ExtractError>(())
        })?;
    }
    Ok(())
}

/// Length and time of the last change.
fn state(file: Metadata) -> String {
    let modified = file.modified().unwrap_or(UNIX_EPOCH);
    format!("{} {:?}", file.len(), modified.duration_since(UNIX_EPOCH))
}

fn checksum(values: &[f32], labels: &[i64], skipped: &str) -> String {
    let mut hasher = Hasher::new();
    hasher.update(&f32_bytes(values));
    add(&mut hasher, format!("{labels:?} {skipped}").as_bytes());
    hasher.finalize().to_hex().to_string()
}

fn write(path: &Path, extracted: &Extracted) -> io::Result<()> {
    let features = &extracted.features;
    let labels = features.labels().iter();
    let labels: Vec<i64> = labels.map(|label| label.map_or(-1, i64::from)).collect();
    let skipped = extracted.skipped.iter();
    let skipped: Vec<(u32, &str, &str)> = skipped
        .map(|image| (image.index, image.path.as_str(), image.why.as_str()))
        .collect();
    let skipped = serde_json::to_string(&skipped)?;
    let facts = [
        ("checksum", checksum(features.values(), &labels, &skipped)),
        ("skipped", skipped),
    ];
    let facts: Facts = facts.map(|(key, value)| (key.to_owned(), value)).into();
    let shape = RowShape {
        vectors: [None; 2],
        dim: features.dim(),
    };
    let mut file = Box::new(SafetensorsFile::create(path, shape, labels.len(), &facts)?);
    file.push(Rows {
        features: features.values(),
        labels: &labels,
        names: &[],
    })?;
    file.finish()
}

fn read(path: &Path) -> Result<Extracted, String> {
    let (table, facts) = read_safetensors(path)?;
    let fact = |key: &str| facts.get(key).ok_or_else(|| format!("`{key}` is missing"));
    let skipped = fact("skipped")?;
    if *fact("checksum")? != checksum(&table.values, &table.labels, skipped) {
        return Err("its checksum is another".to_owned());
    }
    let skipped: Vec<(u32, String, String)> =
        serde_json::from_str(skipped).map_err(|error| error.to_string())?;
    let skipped = skipped.into_iter();
    let skipped: Vec<Skipped> = skipped
        .map(|(index, path, why)| Skipped { index, path, why })
        .collect();
    let mut left_out = skipped.iter().map(|image| image.index as usize).peekable();
    let images = table.labels.len() + skipped.len();
    let indices = (0..images).filter(|image| left_out.next_if_eq(image).is_none());
    Ok(Extracted {
        indices: indices.collect(),
        features: table.into_features()?,
        skipped,
    })
}
