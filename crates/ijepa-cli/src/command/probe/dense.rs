//! `ijepa probe --protocol dense` and `depth`: what frozen patches say about every pixel.

use std::time::Instant;

use burn::tensor::Device;
use ijepa_data::{Preprocess, Source};
use ijepa_eval::{
    DenseConfig, DenseError, DenseSet, Error, FeatureCache, Progress, check_depths, check_masks,
    dense, depth,
};
use ijepa_model::Pooling;

use super::{Probe, found::Found};
use crate::{
    args::value_name,
    context::Context,
    error::CliError,
    features::{LoadedEncoder, Look},
    progress::StatusLine,
    report::Report,
};

/// Told after each step.
type Watch = Box<dyn FnMut(Progress) + Send>;

impl Probe {
    pub(super) fn dense(&self, context: &Context) -> Result<Report, CliError> {
        let found = self.on_pixels(context, check_masks, dense)?;
        let report = found.map(|found| found.of_masks(&value_name(self.protocol)));
        Ok(report.unwrap_or_default())
    }

    pub(super) fn depth(&self, context: &Context) -> Result<Report, CliError> {
        let found = self.on_pixels(context, check_depths, depth)?;
        let report = found.map(|found| found.of_depths(&value_name(self.protocol)));
        Ok(report.unwrap_or_default())
    }

    /// How heads on the patches of an encoder learn.
    fn dense_config(
        &self,
        frozen: &LoadedEncoder,
        context: &Context,
    ) -> Result<DenseConfig, CliError> {
        let defaults = DenseConfig::of(&frozen.encoder);
        let config = DenseConfig {
            lrs: self.lr.clone().unwrap_or(defaults.lrs),
            weight_decays: self.weight_decay.clone().unwrap_or(defaults.weight_decays),
            batch_size: self.head_batch.unwrap_or(defaults.batch_size),
            epochs: self.epochs.unwrap_or(defaults.epochs),
            seed: context.seed.unwrap_or(0),
            ..defaults
        };
        config.validate().map_err(Error::from)?;
        Ok(config)
    }

    /// What `heads` report on training and test images that `check` lets pass. Of the first of
    /// several processes, which extract features together.
    fn on_pixels<R>(
        &self,
        context: &Context,
        check: impl Fn(&dyn Source, &dyn Source) -> Result<(), DenseError>,
        heads: impl Fn(
            DenseSet<'_>,
            DenseSet<'_>,
            &DenseConfig,
            &Device,
            Watch,
        ) -> Result<R, DenseError>,
    ) -> Result<Option<Found<R>>, CliError> {
        let images = self.pair.images(context, |train, test| {
            check(train, test.as_ref())?;
            Ok(test)
        })?;
        let Look::Encoder(frozen) = &images.look else {
            let protocol = value_name(self.protocol);
            return Err(CliError::NeedsTokens { protocol });
        };
        let config = self.dense_config(frozen, context)?;
        let whole = Some(Preprocess::Squash);
        let extraction = self
            .pair
            .extraction(&images.look, Pooling::Tokens, whole, context);
        let how = extraction.config.preprocess;
        if !matches!(how, Preprocess::Squash | Preprocess::None) {
            let protocol = value_name(self.protocol);
            return Err(CliError::NeedsWholeImages { protocol });
        }
        let cache = self.cache.as_ref().map(FeatureCache::new);
        let of = |named| {
            let look = &images.look;
            self.pair
                .extract(look, named, &extraction, context, cache.as_ref())
        };
        let (Some(train), Some(test)) = (of(&images.train)?, of(&images.test)?) else {
            return Ok(None);
        };
        let started = Instant::now();
        let [from, to] =
            [(&train, &images.train), (&test, &images.test)].map(|(extracted, named)| DenseSet {
                extracted,
                source: named.source.as_ref(),
            });
        let watch = Box::new(StatusLine::watch(context.quiet, "training heads"));
        let device = &context.compute()?.device;
        let report = heads(from, to, &config, device, watch).map_err(Error::from)?;
        Ok(Some(Found {
            report,
            encoder: images.look.name().into(),
            augment: None,
            took: started.elapsed(),
            skipped: [train.skipped, test.skipped].concat(),
            faults: images.faults(),
            resizing: Some(extraction.resizing),
        }))
    }
}
