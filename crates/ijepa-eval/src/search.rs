//! Images of a file of features that are most like another one.

use std::path::{Path, PathBuf};

use ijepa_model::{Pooling, VisionTransformer};

use crate::{
    Error, ExtractConfig, FeatureFileError, Features, StoredFeatures,
    features::{HowRead, read_names, weights_digest},
    knn::most_similar,
    read_features,
};

/// A Parquet file of [`embed`](crate::embed) to search in.
#[derive(Debug)]
pub struct SearchIndex {
    path: PathBuf,
    stored: StoredFeatures,
    names: Vec<String>,
    pooling: Pooling,
    read: HowRead,
}

/// An image that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Similar<'a> {
    /// Path or id, as the file has it.
    pub name: &'a str,
    /// Class, if it is known.
    pub label: Option<u32>,
    /// Name of the class, if it has one.
    pub class: Option<&'a str>,
    /// Cosine of its features and those of the image asked for, in `[-1, 1]`.
    pub similarity: f64,
}

impl SearchIndex {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`FeatureFileError::Read`] if it is damaged, has no names of images, or does not say how it
    /// was made.
    pub fn open(path: &Path) -> Result<Self, FeatureFileError> {
        let names = read_names(path)?;
        let mut stored = read_features(path)?;
        let pooling = stored.pool.as_deref().and_then(Pooling::of_name);
        let pooling = pooling.filter(|it| matches!(it, Pooling::Mean | Pooling::Concat4));
        let bad = |why: &str| FeatureFileError::Read {
            path: path.to_owned(),
            why: why.to_owned(),
        };
        let unsaid = "it does not say which encoder made it and how; embed the images again";
        let pooling = pooling.ok_or_else(|| bad(unsaid))?;
        stored.weights.as_ref().ok_or_else(|| bad(unsaid))?;
        let read = stored.read.take().ok_or_else(|| bad(unsaid))?;
        if names.len() != stored.features.images() {
            return Err(bad("it has not as many paths as features"));
        }
        Ok(Self {
            path: path.to_owned(),
            stored,
            names,
            pooling,
            read,
        })
    }

    /// How tokens became its features.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// `[height, width]` of the images that its encoder took.
    pub fn image_size(&self) -> [usize; 2] {
        self.read.image_size
    }

    /// `config` with images read and pooled as those of the file were.
    ///
    /// # Errors
    ///
    /// [`FeatureFileError::Read`] if this build cannot read them so.
    pub fn extraction(&self, config: ExtractConfig) -> Result<ExtractConfig, FeatureFileError> {
        let (path, pooling) = (self.path.clone(), self.pooling);
        let config = self.read.apply(ExtractConfig { pooling, ..config });
        config.map_err(|why| FeatureFileError::Read { path, why })
    }

    /// Number of its images.
    pub fn images(&self) -> usize {
        self.names.len()
    }

    /// Checks that `encoder` made it.
    ///
    /// # Errors
    ///
    /// [`FeatureFileError::OtherWeights`].
    pub fn check(&self, encoder: &VisionTransformer) -> Result<(), FeatureFileError> {
        match self.stored.weights == Some(weights_digest(encoder)) {
            true => Ok(()),
            false => Err(FeatureFileError::OtherWeights {
                path: self.path.clone(),
            }),
        }
    }

    /// The `count` images that are most like the first one of `query`, the most similar first, of
    /// equally similar ones that which stands first; fewer if there are no more.
    ///
    /// # Errors
    ///
    /// A [`KnnError`](crate::KnnError) if its features have another length.
    pub fn search(&self, query: &Features, count: usize) -> Result<Vec<Similar<'_>>, Error> {
        let found = most_similar(&self.stored.features, query, count)?;
        let similar = |(similarity, image): (f64, usize)| {
            let label = self.stored.features.labels()[image];
            let class = label.and_then(|label| self.stored.classes.get(label as usize));
            Similar {
                name: &self.names[image],
                label,
                class: class.map(String::as_str),
                similarity,
            }
        };
        Ok(found.into_iter().map(similar).collect())
    }
}
