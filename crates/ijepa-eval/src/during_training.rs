//! What is measured after each epoch of a training run.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use burn::tensor::Device;
use ijepa_data::{Fingerprint, Skipped, Source};
use ijepa_masking::MaskSampler;
use ijepa_model::VisionTransformer;
use ijepa_train::{
    EpochScores, Learner,
    run::{Columns, Observer, ObserverError, Position, files},
};
use serde_json::{Value, json};

use crate::{
    Error,
    baselines::{Baselines, Neighbours, PIXEL_SIDE},
    features::{ExtractConfig, Extracted, Features, extract, extract_pixels},
    knn::{KnnConfig, NEIGHBOURS, check_task, knn},
    probe::{Protocol, probe},
    rank::{lidar, rank_report},
    stop::{Stoppable, unless_stopped},
    subset::Subset,
    views::{alignment, masked_views, uniformity},
};

/// Images whose masked views are compared.
const VIEW_IMAGES: usize = 256;
/// Views of an image that alignment needs.
const ALIGNMENT_VIEWS: usize = 2;
/// Views of an image that LiDAR is measured with; its paper uses 50.
const LIDAR_VIEWS: usize = 10;

/// Measures the target encoder before the first step and after each epoch: rank, spread and
/// uniformity without labels, kNN and a quick linear probe with them, alignment and LiDAR of masked
/// views if it is told the masks.
pub struct EpochEvaluation {
    train: Arc<dyn Source>,
    test: Option<Arc<dyn Source>>,
    extract: ExtractConfig,
    device: Device,
    views: Option<Views>,
    seed: u64,
    /// Images that could not be read the last time.
    skipped: Vec<Skipped>,
}

/// Masks of the views of an image.
struct Views {
    sampler: Arc<dyn MaskSampler>,
    /// Whether LiDAR is measured, too.
    lidar: bool,
}

impl Views {
    /// Views of an image.
    fn count(&self) -> usize {
        match self.lidar {
            true => LIDAR_VIEWS,
            false => ALIGNMENT_VIEWS,
        }
    }
}

impl std::fmt::Debug for EpochEvaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EpochEvaluation")
            .field("extract", &self.extract)
            .field("views", &self.views.as_ref().map(Views::count))
            .finish_non_exhaustive()
    }
}

impl EpochEvaluation {
    /// Measures ranks on `train` and, if `test` is given, centred 20-NN of `test` against it and
    /// the quick linear probe. `extract` is [`ExtractConfig::of_recipe`] of what is trained.
    pub fn new(
        train: Arc<dyn Source>,
        test: Option<Arc<dyn Source>>,
        extract: ExtractConfig,
        device: &Device,
    ) -> Self {
        Self {
            train,
            test,
            extract,
            device: device.clone(),
            views: None,
            seed: 0,
            skipped: Vec::new(),
        }
    }

    /// Measures ranks on at most 2000 and at most `most` images of `source`, labelled or not, drawn
    /// by `seed`.
    pub fn of_sample(
        source: Arc<dyn Source>,
        most: usize,
        seed: u64,
        extract: ExtractConfig,
        device: &Device,
    ) -> Self {
        let source = Subset::sample(source, most.min(RANK_IMAGES), seed);
        Self {
            seed,
            ..Self::new(Arc::new(source), None, extract, device)
        }
    }

    /// The images that ranks of the run in `run` were measured on, if they were.
    pub fn sampled_before(run: &Path) -> Option<usize> {
        let known = fs::read(run.join(files::EVALUATION)).ok()?;
        let known: Value = serde_json::from_slice(&known).ok()?;
        let images = known["measured_on"][0]["train"]["images"].as_u64()?;
        usize::try_from(images).ok()
    }

    /// Measures the alignment of two views of an image under the masks of `sampler`, too, and
    /// with `lidar` the LiDAR of ten views, which costs five times as much.
    pub fn with_views(mut self, sampler: Arc<dyn MaskSampler>, lidar: bool) -> Self {
        self.views = Some(Views { sampler, lidar });
        self
    }

    /// Checks labels and numbers of images, before a run rather than after its first epoch.
    ///
    /// # Errors
    ///
    /// The [`Error`] that the first evaluation would return.
    pub fn check(&self) -> Result<(), Error> {
        match &self.test {
            Some(test) => check_task(self.train.as_ref(), test.as_ref()),
            None => Ok(()),
        }
    }

    /// Features of a trained encoder beside those of the same encoder with `random` weights and of
    /// pixels; none without test images, or once `stop` is set.
    ///
    /// # Errors
    ///
    /// An [`Error`] if images cannot be read or the labels do not fit together.
    pub fn baselines(
        &self,
        target: &VisionTransformer,
        random: &VisionTransformer,
        stop: &AtomicBool,
    ) -> Result<Option<Baselines>, Error> {
        let Some(test) = &self.test else {
            return Ok(None);
        };
        let mut images = [0; 2];
        let mut neighbours = |found: [Option<Features>; 2]| -> Result<Option<Neighbours>, Error> {
            let [Some(train), Some(test)] = found else {
                return Ok(None);
            };
            images = [train.images(), test.images()];
            Ok(unless_stopped(
                stop,
                Neighbours::of(&train, &test, &self.device),
            )?)
        };
        let sources = [self.train.as_ref(), test.as_ref()];
        let mut of_encoder = |encoder: &VisionTransformer| {
            let [train, test] = sources.map(|source| self.extracted(encoder, source, stop));
            let features = |found: Option<Extracted>| found.map(|found| found.features);
            neighbours([features(train?), features(test?)])
        };
        let found = [of_encoder(target)?, of_encoder(random)?];
        let [train, test] = sources.map(|source| self.pixels(source, stop));
        let pixels = neighbours([train?, test?])?;
        let [Some(target), Some(random)] = found else {
            return Ok(None);
        };
        Ok(pixels.map(|pixels| Baselines::new(images, [target, random, pixels])))
    }

    /// Features of a source; none once `stop` is set.
    fn extracted(
        &self,
        encoder: &VisionTransformer,
        source: &dyn Source,
        stop: &AtomicBool,
    ) -> Result<Option<Extracted>, Error> {
        let source = self.stoppable(source, stop);
        let found = extract(encoder, &source, &self.extract, &self.device);
        Ok(unless_stopped(stop, found)?)
    }

    /// Pixels of a source as [`Baselines`] compares them; none once `stop` is set.
    fn pixels(&self, source: &dyn Source, stop: &AtomicBool) -> Result<Option<Features>, Error> {
        let (source, size) = (self.stoppable(source, stop), [PIXEL_SIDE; 2]);
        let found = extract_pixels(&source, size, &self.extract, |_| ());
        Ok(unless_stopped(stop, found.map(|found| found.features))?)
    }

    fn stoppable<'a>(&self, source: &'a dyn Source, stop: &'a AtomicBool) -> Stoppable<'a> {
        Stoppable {
            source,
            stop,
            retry: self.extract.reading.retry,
        }
    }

    /// Scores of an encoder; none once `stop` is set.
    fn scores(
        &mut self,
        learner: &Learner,
        stop: &AtomicBool,
    ) -> Result<Option<EpochScores>, Error> {
        let encoder = learner.target.encoder();
        let Some(found) = self.extracted(encoder, self.train.as_ref(), stop)? else {
            return Ok(None);
        };
        let (train, mut skipped) = (found.features, found.skipped);
        let rank = rank_report(&train);
        let mut scores = EpochScores {
            rankme: Some(rank.rankme),
            rankme_centered: Some(rank.rankme_centered),
            feature_std: Some(rank.feature_std),
            uniformity: Some(uniformity(&train)),
            ..EpochScores::default()
        };
        if let Some(of_image) = &self.views {
            let (sampler, count) = (of_image.sampler.as_ref(), of_image.count());
            let images = Subset::sample(Arc::clone(&self.train), VIEW_IMAGES, self.seed);
            let images = self.stoppable(&images, stop);
            let (config, device) = (&self.extract, &self.device);
            let views = masked_views(encoder, &images, sampler, count, config, device);
            let Some(views) = unless_stopped(stop, views)? else {
                return Ok(None);
            };
            scores.alignment = Some(alignment(&views, count));
            let wanted = of_image.lidar && views.images() > 1;
            scores.lidar = wanted.then(|| lidar(&views, count));
        }
        if let Some(test) = &self.test {
            let Some(found) = self.extracted(encoder, test.as_ref(), stop)? else {
                return Ok(None);
            };
            let test = found.features;
            skipped.extend(found.skipped);
            let neighbours = knn(&train, &test, &KnnConfig::centered(), &self.device);
            let Some(neighbours) = unless_stopped(stop, neighbours)? else {
                return Ok(None);
            };
            scores.knn = Some(neighbours.k[&NEIGHBOURS].top1);
            let heads = probe(&train, &test, &Protocol::Quick.config(), &self.device)?;
            scores.probe = Some(heads.top1);
        }
        self.skipped = skipped;
        Ok(Some(scores))
    }
}

impl Observer<Learner> for EpochEvaluation {
    fn measure(
        &mut self,
        _: &Position,
        learner: &Learner,
        stop: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        let scores = self.scores(learner, stop)?;
        Ok(scores.map(Columns::from).unwrap_or_default())
    }

    fn skipped(&self) -> Vec<Skipped> {
        self.skipped.clone()
    }

    fn faults(&self) -> Vec<String> {
        let sources = [Some(&self.train), self.test.as_ref()]
            .into_iter()
            .flatten();
        sources.flat_map(|source| source.faults()).collect()
    }

    fn measured_on(&self) -> Option<Value> {
        let train = Fingerprint::of(self.train.as_ref());
        let test = self.test.as_deref().map(Fingerprint::of);
        let features = self.extract.described();
        Some(json!({ "train": train, "test": test, "features": features }))
    }
}

/// Enough images for a trend of RankMe at the width of small models, few enough for each epoch.
const RANK_IMAGES: usize = 2000;
