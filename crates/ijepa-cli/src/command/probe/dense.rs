//! `ijepa probe --protocol dense`: linear segmentation of frozen patches.

use std::time::Instant;

use ijepa_data::Preprocess;
use ijepa_eval::{DenseConfig, Error, Segmented, check_masks, dense};
use ijepa_model::Pooling;

use super::{FeatureCache, Look, Probe, StatusLine, found::Found, value_name};
use crate::{context::Context, error::CliError, report::Report};

impl Probe {
    /// Of the first of several processes, which extract features together.
    pub(super) fn dense(&self, context: &Context) -> Result<Report, CliError> {
        let images = self
            .pair
            .images(context, |train, test| Ok(check_masks(train, test)?))?;
        let Look::Encoder(frozen) = &images.look else {
            let protocol = value_name(self.protocol);
            return Err(CliError::NeedsTokens { protocol });
        };
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
        let whole = Some(Preprocess::Squash);
        let extraction = self
            .pair
            .extraction(&images.look, Pooling::Tokens, whole, context);
        let how = extraction.config.preprocess;
        if !matches!(how, Preprocess::Squash | Preprocess::None) {
            return Err(CliError::NeedsWholeImages);
        }
        let cache = self.cache.as_ref().map(FeatureCache::new);
        let of = |named| {
            let look = &images.look;
            self.pair
                .extract(look, named, &extraction, context, cache.as_ref())
        };
        let (Some(train), Some(test)) = (of(&images.train)?, of(&images.test)?) else {
            return Ok(Report::default());
        };
        let started = Instant::now();
        let [from, to] =
            [(&train, &images.train), (&test, &images.test)].map(|(extracted, named)| Segmented {
                extracted,
                source: named.source.as_ref(),
            });
        let watch = StatusLine::watch(context.quiet, "training heads");
        let device = &context.compute()?.device;
        let found = dense(from, to, &config, device, watch).map_err(Error::from)?;
        let found = Found {
            report: found,
            encoder: images.look.name(),
            augment: None,
            took: started.elapsed(),
            skipped: [train.skipped, test.skipped].concat(),
            resizing: Some(extraction.resizing),
        };
        Ok(found.of_pixels(&value_name(self.protocol)))
    }
}
