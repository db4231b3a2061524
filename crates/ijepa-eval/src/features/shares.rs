//! Features that several processes extract together.

use std::{path::Path, sync::Arc, time::Instant};

use burn::tensor::Device;
use ijepa_data::{Skipped, Source};
use ijepa_model::VisionTransformer;
use ijepa_train::{
    TrainError,
    ranks::{Ranks, share, told},
};
use serde::{Deserialize, Serialize};

use super::{
    Embedded, ExtractConfig, Extracted, Features,
    embed::{NewFeatures, embed},
    extract_with_progress,
};
use crate::{Error, progress::Progress, subset::Subset};

/// The features of `source`, of which every rank extracts a share, whole batches of it, with
/// `extract`; rank 0 gets all, the others nothing. All ranks call it together; one rank extracts
/// all. Where an image cannot be read, batches have other images than those of one rank, which
/// changes rounding; features have the same bits otherwise.
///
/// # Errors
///
/// Whatever `extract` returns, also that no image of a share can be read; on the other ranks an
/// [`Error::Ranks`].
pub fn extract_together(
    ranks: &dyn Ranks,
    source: &Arc<dyn Source>,
    batch_size: usize,
    extract: impl FnOnce(&dyn Source) -> Result<Extracted, Error>,
) -> Result<Option<Extracted>, Error> {
    if ranks.size() == 1 {
        return extract(source.as_ref()).map(Some);
    }
    let mut all = Rows::default();
    let take = |rows: Rows| {
        all.values.extend(rows.values);
        all.indices.extend(rows.indices);
        all.skipped.extend(rows.skipped);
        Ok(())
    };
    share_out(ranks, source, batch_size, extract, take)?;
    if ranks.rank() > 0 {
        return Ok(None);
    }
    let Rows {
        values,
        indices,
        skipped,
    } = all;
    let labels = indices.iter().map(|&index| source.label(index)).collect();
    Ok(Some(Extracted {
        features: Features::new(values.len() / indices.len(), values, labels)
            .map_err(super::ExtractError::from)?,
        indices,
        skipped,
    }))
}

/// As [`embed`](crate::embed), of which every rank extracts a share, which it holds in memory; rank 0
/// writes the file, byte for byte that of one process if all images can be read. All ranks call it
/// together; the others than 0 get nothing.
///
/// # Errors
///
/// As [`embed`](crate::embed) and [`extract_together`].
pub fn embed_together(
    ranks: &dyn Ranks,
    (encoder, which): (&VisionTransformer, &str),
    source: &Arc<dyn Source>,
    config: &ExtractConfig,
    device: &Device,
    out: &Path,
    progress: impl FnMut(Progress),
) -> Result<Option<Embedded>, Error> {
    if ranks.size() == 1 {
        let encoder = (encoder, which);
        return embed(encoder, source.as_ref(), config, device, out, progress).map(Some);
    }
    let started = Instant::now();
    let mut file = None;
    let mut begin = || {
        if ranks.rank() == 0 {
            let encoder = (encoder, which);
            file = Some(NewFeatures::create(encoder, source.as_ref(), config, out)?);
        }
        Ok(())
    };
    // What rank 0 cannot begin is said to the others with its share.
    let begun: Result<(), Error> = begin();
    let extract = |source: &dyn Source| {
        begun?;
        let extracted = extract_with_progress(encoder, source, config, device, progress);
        Ok(extracted?)
    };
    let (mut rest, dim) = (Rows::default(), config.dim(encoder));
    let take = |rows: Rows| {
        let Some(file) = &mut file else {
            return Ok(());
        };
        rest.values.extend(rows.values);
        rest.indices.extend(rows.indices);
        rest.skipped.extend(rows.skipped);
        // As many at once as one process would.
        let whole = rest.indices.len() / config.batch_size * config.batch_size;
        let values: Vec<f32> = rest.values.drain(..whole * dim).collect();
        let indices: Vec<usize> = rest.indices.drain(..whole).collect();
        file.push_batches(&values, &indices, config.batch_size)
    };
    share_out(ranks, source, config.batch_size, extract, take)?;
    let Some(mut file) = file else {
        return Ok(None);
    };
    file.push_batches(&rest.values, &rest.indices, config.batch_size)?;
    file.finish(rest.skipped, started.elapsed()).map(Some)
}

/// Features of neighbouring images.
#[derive(Default)]
struct Rows {
    values: Vec<f32>,
    /// Of the whole source, as those of `skipped`.
    indices: Vec<usize>,
    skipped: Vec<Skipped>,
}

/// What a rank says of its share before it sends the values.
#[derive(Default, Serialize, Deserialize)]
struct Said {
    failed: bool,
    values: usize,
    indices: Vec<usize>,
    skipped: Vec<Skipped>,
}

/// Has every rank extract its share and gives all shares, in their order, to rank 0's `take`.
fn share_out(
    ranks: &dyn Ranks,
    source: &Arc<dyn Source>,
    batch_size: usize,
    extract: impl FnOnce(&dyn Source) -> Result<Extracted, Error>,
    mut take: impl FnMut(Rows) -> Result<(), Error>,
) -> Result<(), Error> {
    let own = own_rows(ranks, source, batch_size, extract);
    let said = match &own {
        Ok(rows) => Said {
            failed: false,
            values: rows.values.len(),
            indices: rows.indices.clone(),
            skipped: rows.skipped.clone(),
        },
        Err(_) => Said {
            failed: true,
            ..Said::default()
        },
    };
    let all = told(ranks, &said);
    let own = own?;
    if let Some(rank) = all.iter().position(|said| said.failed) {
        return Err(Error::Ranks(TrainError::OtherRank { rank }));
    }
    if ranks.rank() > 0 {
        ranks.send(&own.values, 0);
        return Ok(());
    }
    let mut taken = take(own);
    for (rank, said) in all.into_iter().enumerate().skip(1) {
        // Whoever sends is not to wait for one who has failed.
        let mut values = vec![0.0; said.values];
        ranks.receive(&mut values, rank);
        let rows = Rows {
            values,
            indices: said.indices,
            skipped: said.skipped,
        };
        taken = taken.and_then(|()| take(rows));
    }
    taken
}

/// The features of this rank's share.
fn own_rows(
    ranks: &dyn Ranks,
    source: &Arc<dyn Source>,
    batch_size: usize,
    extract: impl FnOnce(&dyn Source) -> Result<Extracted, Error>,
) -> Result<Rows, Error> {
    let images = source.len();
    if batch_size == 0 || images == 0 || u32::try_from(images).is_err() {
        // Which says what is wrong.
        return extract(source.as_ref()).map(|_| Rows::default());
    }
    let batches = share(images.div_ceil(batch_size), ranks.size(), ranks.rank());
    let [first, end] = [batches.start, batches.end].map(|batch| (batch * batch_size).min(images));
    if first == end {
        return Ok(Rows::default());
    }
    let own = Subset::new(Arc::clone(source), (first as u32..end as u32).collect());
    let Extracted {
        features,
        indices,
        skipped,
    } = extract(&own)?;
    let skipped = skipped.into_iter().map(|skipped| Skipped {
        index: skipped.index + first as u32,
        ..skipped
    });
    Ok(Rows {
        values: features.values().to_vec(),
        indices: indices.iter().map(|index| index + first).collect(),
        skipped: skipped.collect(),
    })
}
