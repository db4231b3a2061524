//! Classification by nearest neighbours in feature space.

mod candidates;
mod error;
mod products;
mod unit_rows;
mod vote;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use ijepa_data::Source;
use rayon::{iter::Either, prelude::*};
use serde::Serialize;

pub use error::KnnError;

use crate::Error;
use crate::accuracy::{Accuracy, Hits};
use crate::features::{Features, WidthError};
use crate::labels::{Split, all_known, check_labels};
use crate::whitening::Whitening;
use candidates::Candidates;
use products::Products;
use unit_rows::{Neighbour, UnitRows, keep_nearest};
use vote::Votes;

/// Similarity and index of the `count` rows of `index` that are most like the first row of `query`, the
/// nearest first; by cosine in f64, without a device.
pub(crate) fn most_similar(
    index: &Features,
    query: &Features,
    count: usize,
) -> Result<Vec<Neighbour>, KnnError> {
    WidthError::check(index.dim(), query.dim())?;
    let rows = UnitRows::new(index, None);
    let query = UnitRows::new(query, None).row(0);
    let similar = |buffer: &mut Vec<f64>, image| rows.neighbour(&query, image, buffer);
    let images = (0..index.images()).into_par_iter();
    let found = images.map_init(|| vec![0.0; index.dim()], similar);
    let mut found: Vec<Neighbour> = found.collect();
    keep_nearest(&mut found, count);
    Ok(found)
}

/// Neighbours that vote where runs are judged, during training and in sweeps.
pub(crate) const NEIGHBOURS: usize = 20;

/// Checks before anything is computed that runs can be judged by these images.
pub(crate) fn check_task(train: &dyn Source, test: &dyn Source) -> Result<(), Error> {
    check_labels(train, test)?;
    let (k, train_images) = (NEIGHBOURS, train.len());
    if train_images < k {
        return Err(KnnError::FewerThanVote { k, train_images }.into());
    }
    Ok(())
}

/// How test images are classified.
#[derive(Debug, Clone, PartialEq)]
pub struct KnnConfig {
    /// Numbers of neighbours; each gives its own accuracy, at the price of the largest.
    pub ks: Vec<usize>,
    /// Divides similarities before the exponential, above 0.
    pub temperature: f64,
    /// Whether the mean training feature is subtracted first; DINO does not.
    pub center: bool,
    /// Whether both sets are whitened with the training features first, which also centres them and
    /// takes more of these than they have values.
    pub whiten: bool,
    /// Test and training images compared at once; bounds the memory, changes nothing else.
    pub block: [usize; 2],
}

impl KnnConfig {
    /// Twenty neighbours of centred features: how runs are judged, during training and in sweeps.
    pub fn centered() -> Self {
        Self {
            ks: vec![NEIGHBOURS],
            center: true,
            ..Self::default()
        }
    }

    /// The default settings for `train_images`, of which no more can vote than there are: larger
    /// numbers of neighbours are left out.
    ///
    /// ```
    /// use ijepa_eval::KnnConfig;
    ///
    /// assert_eq!(KnnConfig::for_images(150).ks, [10, 20, 100]);
    /// assert_eq!(KnnConfig::for_images(4).ks, [4]);
    /// ```
    pub fn for_images(train_images: usize) -> Self {
        let mut config = Self::default();
        config.ks.retain(|&k| k <= train_images);
        if config.ks.is_empty() {
            config.ks.push(train_images);
        }
        config
    }

    /// Checks before anything is computed that `train_images` can vote.
    ///
    /// # Errors
    ///
    /// A [`KnnError`] if a setting is out of range or there are fewer images than neighbours.
    pub fn validate(&self, train_images: usize) -> Result<(), KnnError> {
        let most = *self.ks.iter().max().ok_or(KnnError::NoNeighbours)?;
        if u32::try_from(train_images).is_err() {
            return Err(KnnError::TooManyImages {
                found: train_images,
            });
        }
        if self.ks.contains(&0) {
            return Err(KnnError::ZeroNeighbours);
        }
        if most > train_images {
            return Err(KnnError::TooManyNeighbours {
                k: most,
                train_images,
            });
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(KnnError::Temperature {
                found: self.temperature,
            });
        }
        if self.block.contains(&0) {
            return Err(KnnError::Block { found: self.block });
        }
        Ok(())
    }
}

impl Default for KnnConfig {
    /// DINO's settings: 10, 20, 100 and 200 neighbours, temperature 0.07, no centring.
    fn default() -> Self {
        Self {
            ks: vec![10, 20, 100, 200],
            temperature: 0.07,
            center: false,
            whiten: false,
            block: [512, 8192],
        }
    }
}

/// Accuracies by number of neighbours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnnReport {
    /// Images that vote.
    pub train_images: usize,
    /// Images classified.
    pub test_images: usize,
    /// Accuracies by number of neighbours.
    pub k: BTreeMap<usize, Accuracy>,
}

/// Classifies test images by weighted votes of their nearest training images.
///
/// DINO's protocol (Caron et al. 2021, after Wu et al. 2018): features are L2-normalised,
/// similarity is their cosine `s`, and each of the `k` most similar training images votes for
/// its class with weight `exp(s / temperature)`. With `center`, the mean training feature is
/// subtracted from both sets before normalising, with `whiten` both go through a [`Whitening`].
/// A feature of norm 0 has similarity 0 to all.
///
/// Of equally similar images the one with the lower index is nearer, of classes with equal votes
/// the lower one wins. A class without a vote is never predicted.
///
/// The device multiplies blocks of both sets and selects a few more candidates than needed;
/// their similarities are computed again in f64. Where an image that was not selected could still
/// be nearer, given how far products may be off, all that could are looked at in f64, so neither
/// rounding on the device nor block sizes decide between neighbours. Beside the features the host
/// holds at most `test_images * (k + 160)` candidates of 8 bytes, a block of each set and their similarities:
/// about 200 MB for 50,000 images of width 384 against 1.28 million with 200 neighbours, where all
/// similarities would take 256 GB.
///
/// # Errors
///
/// A [`KnnError`] if the configuration is out of range, there are fewer training images than
/// neighbours or too few to whiten, an image has no label or the sets differ in width.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use ijepa_eval::{Features, KnnConfig, knn};
///
/// let train = Features::new(2, vec![1.0, 0.1, 2.0, -0.1, 0.0, 3.0], vec![Some(0), Some(0), Some(1)])?;
/// let test = Features::new(2, vec![5.0, 0.0, 0.1, 0.2], vec![Some(0), Some(1)])?;
/// let config = KnnConfig { ks: vec![1], ..KnnConfig::default() };
/// let report = knn(&train, &test, &config, &Device::flex())?;
/// assert_eq!(report.k[&1].top1, 100.0);
/// # Ok::<(), ijepa_eval::Error>(())
/// ```
pub fn knn(
    train: &Features,
    test: &Features,
    config: &KnnConfig,
    device: &Device,
) -> Result<KnnReport, KnnError> {
    config.validate(train.images())?;
    WidthError::check(train.dim(), test.dim())?;
    let classes = all_known(train.labels(), Split::Train)?;
    let wanted = all_known(test.labels(), Split::Test)?;

    let (train_images, dim) = (train.images(), train.dim());
    if config.whiten && train_images <= dim {
        return Err(KnnError::TooFewToWhiten { train_images, dim });
    }
    let whitening = config.whiten.then(|| Whitening::of(train));
    let whitened = |features| match &whitening {
        Some(whitening) => whitening.apply(features).map(Cow::Owned),
        None => Ok(Cow::Borrowed(features)),
    };
    let (train, test) = (&*whitened(train)?, &*whitened(test)?);
    let mean = config.center.then(|| train.mean());
    let train = UnitRows::new(train, mean.as_deref());
    let test = UnitRows::new(test, mean.as_deref());
    let products = Products::new(&train, device.clone().without_autodiff());

    let ks: BTreeSet<usize> = config.ks.iter().copied().collect();
    let hits_of = |image: usize, nearest: &[Neighbour]| -> Vec<Hits> {
        let mut votes = Votes::new(nearest, &classes, config.temperature);
        let hits = |&k: &usize| Hits::of(votes.count_to(k).place(wanted[image]));
        ks.iter().map(hits).collect()
    };
    let most = ks.last().copied().unwrap_or_default();
    let none = vec![Hits::default(); ks.len()];
    let hits = sum_of_hits(none, &products, &test, (most, config.block), hits_of);
    Ok(KnnReport {
        train_images: classes.len(),
        test_images: wanted.len(),
        k: ks
            .iter()
            .zip(hits)
            .map(|(&k, hits)| (k, hits.accuracy()))
            .collect(),
    })
}

/// `none` and all that `hits_of` makes of each test image and its `most` nearest training images.
fn sum_of_hits(
    none: Vec<Hits>,
    products: &Products<'_>,
    test: &UnitRows<'_>,
    (most, block): (usize, [usize; 2]),
    hits_of: impl Fn(usize, &[Neighbour]) -> Vec<Hits> + Sync,
) -> Vec<Hits> {
    let sum = |a: Vec<Hits>, b: Vec<Hits>| a.into_iter().zip(b).map(|(a, b)| a + b).collect();
    let candidates = candidates::select(products, test, most, block);
    let (verified, unsure): (Vec<_>, Vec<_>) = candidates
        .into_par_iter()
        .enumerate()
        .partition_map(|(image, candidates)| {
            match verified(products, &test.row(image), candidates, most) {
                Ok(nearest) => Either::Left(hits_of(image, &nearest)),
                Err(least) => Either::Right((image, least)),
            }
        });
    let mut hits = verified.into_iter().fold(none, sum);
    let (unsure, least): (Vec<usize>, Vec<f64>) = unsure.into_iter().unzip();
    let [test_block, train_block] = block;
    for block in unsure.chunks(test_block).zip(least.chunks(test_block)) {
        let nearest = candidates::rescan(products, test, block, most, train_block);
        let found = block.0.iter().zip(nearest);
        hits = found.fold(hits, |hits, (&image, nearest)| {
            sum(hits, hits_of(image, &nearest))
        });
    }
    hits
}

/// The `count` nearest training images of `row`, if they are certainly among the candidates; the
/// score that they have at least otherwise, less what the scores may be off.
fn verified(
    products: &Products<'_>,
    row: &[f64],
    candidates: Candidates,
    count: usize,
) -> Result<Vec<Neighbour>, f64> {
    let (candidates, of_others) = candidates.into_indices();
    let mut buffer = vec![0.0; row.len()];
    let exact = |index: u32| products.train().neighbour(row, index as usize, &mut buffer);
    let mut nearest: Vec<Neighbour> = candidates.into_iter().map(exact).collect();
    keep_nearest(&mut nearest, count);
    let (offset, error) = products.offset_and_error(row);
    let least = nearest[count - 1].0 - offset - error;
    match f64::from(of_others) < least {
        true => Ok(nearest),
        false => Err(least),
    }
}
