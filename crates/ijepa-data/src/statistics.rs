//! What a data set is made of: sizes, kinds of files, labels, colours.

mod sheet;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::decode::extension;
use crate::error::DataError;
use crate::fetch::FetchError;
use crate::image::{Image, RgbImage8};
use crate::loader::Skipped;
use crate::order::sample;
use crate::reading::{ImageReader, Reading, in_order};
use crate::source::Source;
use crate::verify::ahead;
use sheet::{Sheet, thumbnail};

/// Images on a sheet.
const SHOWN: usize = 64;

/// Which images are measured, and how they are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatisticsConfig {
    /// At most so many, drawn by [`sample`] where there are more.
    pub most: usize,
    /// Decides which.
    pub seed: u64,
    /// How they are read.
    pub reading: Reading,
    /// Threads that read; 0 does it in the calling thread.
    pub workers: usize,
}

/// Least, middle, mean and largest of a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The upper one of two in the middle.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

/// What was measured, see [`Statistics::of`].
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Images of the source.
    pub images: usize,
    /// Images that were read, without the bad ones; everything below the labels is about these.
    pub measured: usize,
    /// Images of each class, by the number of the class; of all images.
    pub classes: BTreeMap<u32, usize>,
    /// Images without a label; of all images.
    pub unlabelled: usize,
    /// Columns.
    pub width: Spread,
    /// Rows.
    pub height: Spread,
    /// Columns divided by rows.
    pub aspect: Spread,
    /// Lengths of the files in bytes; none where images have no files.
    pub bytes: Option<Spread>,
    /// Files of each kind (`jpg`, `png`, ...); `pixels` are images that are no files.
    pub kinds: BTreeMap<&'static str, usize>,
    /// Images whose channels are equal everywhere.
    pub grey: usize,
    /// Mean of each channel, where white of 8 and of 16 bits is 1 and floats are what they are.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel on that scale.
    pub std: Vec<f64>,
    /// Images that could not be read.
    pub bad: Vec<Skipped>,
    /// The centres of up to 64 images, in rows; of those in full depth, the channels of
    /// [`Reading::shown`], stretched image by image.
    pub sheet: RgbImage8,
}

/// What is known of one image.
struct Measured {
    size: [usize; 2],
    kind: &'static str,
    bytes: Option<usize>,
    is_grey: bool,
    /// Mean and mean square of each channel.
    moments: Vec<[f64; 2]>,
    thumbnail: Option<RgbImage8>,
}

impl Statistics {
    /// Measures `source`; `progress` is told how many images are done.
    ///
    /// Every image has the same weight in means and deviations, as in batches of crops of one
    /// size. The result does not depend on the number of workers.
    ///
    /// # Errors
    ///
    /// [`DataError::NothingReadable`] if every image is bad, and what keeps an image from being
    /// had.
    ///
    /// # Examples
    ///
    /// ```
    /// use ijepa_data::{DataSpec, Reading, Statistics, StatisticsConfig};
    ///
    /// let source = "scenes:n=20,size=16".parse::<DataSpec>()?.open()?;
    /// let config = StatisticsConfig { most: 10, seed: 0, reading: Reading::default(), workers: 2 };
    /// let statistics = Statistics::of(source.as_ref(), config, |_| ())?;
    /// assert_eq!((statistics.measured, statistics.width.max), (10, 16.0));
    /// # Ok::<(), ijepa_data::DataError>(())
    /// ```
    pub fn of(
        source: &dyn Source,
        config: StatisticsConfig,
        mut progress: impl FnMut(usize),
    ) -> Result<Self, DataError> {
        let chosen = sample(config.seed, config.most, source.len());
        let shown = sample(config.seed, SHOWN, chosen.len());
        let reader = ImageReader::new(config.reading);
        let measure = |number: usize, stopped: &dyn Fn() -> bool| {
            let is_shown = shown.binary_search(&(number as u32)).is_ok();
            let shown = is_shown.then(|| config.reading.shown());
            let measure = |image: &Image, file: Option<&[u8]>| Measured::of(image, file, shown);
            reader.read_with_file(source, chosen[number] as usize, stopped, measure)
        };
        let (mut all, mut bad, mut sheet) = (Totals::default(), Vec::new(), Sheet::default());
        let add = |number, measured: Result<Measured, FetchError>| {
            match measured {
                Ok(measured) => {
                    measured.thumbnail.iter().for_each(|image| sheet.add(image));
                    all.add(&measured);
                }
                Err(error) => bad.push(error.skips(source, chosen[number] as usize)?),
            }
            progress(number + 1);
            Ok::<(), DataError>(())
        };
        let workers = config.workers;
        in_order(chosen.len(), workers, ahead(workers), measure, add)??;
        all.finish(source, bad, &sheet)
    }
}

impl Measured {
    /// A thumbnail shows three channels of it.
    fn of(
        image: &Image,
        file: Option<&[u8]>,
        shown: Option<[usize; 3]>,
    ) -> Result<Self, DataError> {
        let is_grey = match image {
            Image::Rgb8(image) => {
                let mut pixels = image.pixels().as_chunks::<3>().0.iter();
                pixels.all(|[red, green, blue]| red == green && green == blue)
            }
            Image::Float(image) => {
                let mut pixels = image.samples().chunks_exact(image.channels());
                pixels.all(|pixel| pixel.iter().all(|sample| *sample == pixel[0]))
            }
        };
        let thumbnail = shown.map(|shown| thumbnail(&image.to_picture(shown)));
        Ok(Self {
            size: [image.height(), image.width()],
            kind: file.map_or("pixels", |file| extension(file).unwrap_or("other")),
            bytes: file.map(<[u8]>::len),
            is_grey,
            moments: moments(image),
            thumbnail: thumbnail.transpose()?,
        })
    }
}

/// Mean and mean square of each channel.
fn moments(image: &Image) -> Vec<[f64; 2]> {
    let pixels = (image.width() * image.height()) as f64;
    match image {
        Image::Rgb8(image) => {
            let mut sums = [[0_u64; 2]; 3];
            for pixel in image.pixels().as_chunks::<3>().0 {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    let value = u64::from(value);
                    sum[0] += value;
                    sum[1] += value * value;
                }
            }
            let moments = |[first, second]: [u64; 2]| {
                [
                    first as f64 / pixels / 255.0,
                    second as f64 / pixels / 255.0 / 255.0,
                ]
            };
            sums.map(moments).into()
        }
        Image::Float(image) => {
            let moments = |channel| {
                let add = |[first, second]: [f64; 2], sample: f32| {
                    let sample = f64::from(sample);
                    [first + sample, second + sample * sample]
                };
                let sums = image.channel(channel).fold([0.0; 2], add);
                sums.map(|sum| sum / pixels)
            };
            (0..image.channels()).map(moments).collect()
        }
    }
}

/// Sums over the images so far.
#[derive(Default)]
struct Totals {
    widths: Vec<f64>,
    heights: Vec<f64>,
    aspects: Vec<f64>,
    bytes: Vec<f64>,
    kinds: BTreeMap<&'static str, usize>,
    grey: usize,
    moments: Vec<[f64; 2]>,
}

impl Totals {
    fn add(&mut self, image: &Measured) {
        let [height, width] = image.size.map(|side| side as f64);
        self.heights.push(height);
        self.widths.push(width);
        self.aspects.push(width / height);
        self.bytes.extend(image.bytes.map(|bytes| bytes as f64));
        *self.kinds.entry(image.kind).or_default() += 1;
        self.grey += usize::from(image.is_grey);
        self.moments.resize(image.moments.len(), [0.0; 2]);
        let sums = self.moments.as_flattened_mut().iter_mut();
        let more = image.moments.as_flattened();
        sums.zip(more).for_each(|(sum, moment)| *sum += moment);
    }

    fn finish(
        self,
        source: &dyn Source,
        bad: Vec<Skipped>,
        sheet: &Sheet,
    ) -> Result<Statistics, DataError> {
        let measured = self.widths.len();
        let nothing = || DataError::nothing_readable(&bad);
        let mean = |moments: &[f64; 2]| moments.map(|sum| sum / measured as f64);
        let moments: Vec<[f64; 2]> = self.moments.iter().map(mean).collect();
        let (mut classes, mut unlabelled) = (BTreeMap::new(), 0);
        for index in 0..source.len() {
            match source.label(index) {
                Some(label) => *classes.entry(label).or_default() += 1,
                None => unlabelled += 1,
            }
        }
        Ok(Statistics {
            images: source.len(),
            measured,
            classes,
            unlabelled,
            width: Spread::of(self.widths).ok_or_else(nothing)?,
            height: Spread::of(self.heights).ok_or_else(nothing)?,
            aspect: Spread::of(self.aspects).ok_or_else(nothing)?,
            bytes: Spread::of(self.bytes),
            kinds: self.kinds,
            grey: self.grey,
            mean: moments.iter().map(|[mean, _]| *mean).collect(),
            std: moments
                .iter()
                .map(|[mean, square]| (square - mean * mean).max(0.0).sqrt())
                .collect(),
            bad,
            sheet: sheet.draw()?,
        })
    }
}

impl Spread {
    /// That of `values`, unless there are none.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        Some(Self {
            min: *values.first()?,
            median: values[values.len() / 2],
            mean: values.iter().sum::<f64>() / values.len() as f64,
            max: *values.last()?,
        })
    }
}
