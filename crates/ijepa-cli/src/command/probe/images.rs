//! `ijepa probe` on images, whose features are computed once or anew in every epoch.

use std::time::Instant;

use ijepa_data::{ClassifierAugment, DataSpec};
use ijepa_eval::{
    Error, FeatureCache, Pools, ProbeConfig, ProbeReport, check_labels, probe_augmented,
    with_classes_of,
};
use ijepa_model::{Pooling, VisionTransformer};

use super::{Augment, Heads, Probe, found::Found};
use crate::{
    args::Extraction,
    context::Context,
    error::CliError,
    features::{Images, Look},
    progress::StatusLine,
};

/// An encoder, the heads on it and what happens to their training images in every epoch.
type Augmented<'a> = (&'a VisionTransformer, &'a ProbeConfig, ClassifierAugment);

impl Probe {
    /// Of the first of several processes, which extract features together.
    pub(super) fn on_images(
        &self,
        context: &Context,
    ) -> Result<Option<Found<ProbeReport>>, CliError> {
        let images = self.pair.images(context, |train, test| {
            let test = with_classes_of(train, test)?;
            check_labels(train, test.as_ref())?;
            Ok(test)
        })?;
        let spec: DataSpec = images.train.spec.parse()?;
        let pools = self.pools(&images.look);
        let heads = self.heads(Some(&spec), pools, context)?;
        let pooling = match pools {
            Pools::Concat4 | Pools::Both => Pooling::Concat4,
            Pools::Given | Pools::Mean => Pooling::Mean,
            Pools::Attentive { .. } => Pooling::Tokens,
        };
        let needed = match heads {
            Heads::Trained(protocol, _) => protocol.preprocess(),
            Heads::Solved(_) => None,
        };
        let extraction = self.pair.extraction(&images.look, pooling, needed, context);
        let cache = self.cache.as_ref().map(FeatureCache::new);
        if let Some(augmented) = self.augmented(&images.look, &heads) {
            return self.on_augmented(&images, augmented, &extraction, cache.as_ref(), context);
        }
        let pair = self
            .pair
            .extract_both(&images, &extraction, context, cache.as_ref())?;
        let found = pair.map(|pair| self.on_features(pair, &heads, context));
        found.transpose()
    }

    /// What is augmented, if anything is.
    fn augmented<'a>(&self, look: &'a Look, heads: &'a Heads) -> Option<Augmented<'a>> {
        match (look, heads) {
            (Look::Encoder(frozen), Heads::Trained(protocol, config))
                if self.augment != Some(Augment::None) =>
            {
                let augment = protocol.augment(frozen.encoder.config().image_size)?;
                Some((&frozen.encoder, config, augment))
            }
            _ => None,
        }
    }

    /// Heads that see other crops of the training images in every epoch.
    fn on_augmented(
        &self,
        images: &Images,
        (encoder, config, augment): Augmented<'_>,
        extraction: &Extraction,
        cache: Option<&FeatureCache>,
        context: &Context,
    ) -> Result<Option<Found<ProbeReport>>, CliError> {
        context.alone("probe --augment protocol")?;
        let Images { train, test, look } = images;
        let test = self.pair.extract(look, test, extraction, context, cache)?;
        let Some(test) = test else {
            return Ok(None);
        };
        let started = Instant::now();
        let report = probe_augmented(
            encoder,
            train.source.clone(),
            augment,
            &test.features,
            (config, &extraction.config),
            &context.compute()?.device,
            StatusLine::watch(context.quiet, "training heads"),
        );
        let report = report.map_err(Error::from)?;
        Ok(Some(Found {
            encoder: look.name().into(),
            augment: Some("protocol"),
            took: started.elapsed(),
            skipped: [report.skipped.clone(), test.skipped].concat(),
            faults: images.faults(),
            report,
            resizing: Some(extraction.resizing),
        }))
    }
}
