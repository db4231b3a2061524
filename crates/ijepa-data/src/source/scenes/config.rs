//! The options of rendered images and their text form.

use std::fmt;
use std::str::FromStr;

use crate::error::DataError;
use crate::words::words;

/// Which images are rendered, and which of their labels counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SceneKind {
    /// Objects on a plane; the label is their number less one (8 classes).
    Count,
    /// Objects on a plane; the label is the nearest one's distance (6 classes).
    Distance,
    /// One large shape; the label is its silhouette (10 classes).
    Shape,
    /// One large shape; the label is its texture (5 classes).
    Texture,
}

words!(
    SceneKind, "kind of scenes", "count, distance, shape, texture",
    "count" => Count, "distance" => Distance, "shape" => Shape, "texture" => Texture
);

/// How colourful the background is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Nearly grey, as in CLEVR.
    Grey,
    /// A gradient between two random colours: a strong signal that predicts no label.
    Color,
}

words!(Background, "background", "grey, color", "grey" => Grey, "color" => Color);

/// A set of rendered images, written `kind=texture,n=20000,size=64,seed=0,background=grey`.
///
/// That text is also the default; any part of it may be left out. Sets of different seeds have
/// no image in common, so a test set takes another seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenesConfig {
    /// What is shown and labelled.
    pub kind: SceneKind,
    /// Number of images.
    pub n: usize,
    /// Pixels a side; from text, 8 to 1024.
    pub size: usize,
    /// Decides every image together with its index.
    pub seed: u64,
    /// How colourful the background is.
    pub background: Background,
}

impl Default for ScenesConfig {
    fn default() -> Self {
        Self {
            kind: SceneKind::Texture,
            n: 20_000,
            size: 64,
            seed: 0,
            background: Background::Grey,
        }
    }
}

impl FromStr for ScenesConfig {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let mut config = Self::default();
        for pair in text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = |key, least, most, expected| match value.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(number),
                _ => Err(DataError::bad_value(key, value, expected)),
            };
            match key {
                "kind" => config.kind = value.parse()?,
                "n" => {
                    let most = u64::from(u32::MAX);
                    config.n =
                        number("n", 1, most, "a whole number from 1 to 4294967295")? as usize;
                }
                "size" => {
                    config.size =
                        number("size", 8, 1024, "a whole number from 8 to 1024")? as usize;
                }
                "seed" => {
                    config.seed = number("seed", 0, u64::MAX, "a whole number from 0 to 2^64 - 1")?;
                }
                "background" => config.background = value.parse()?,
                _ => {
                    return Err(DataError::UnknownKey {
                        kind: "scenes",
                        key: key.to_owned(),
                        expected: "kind, n, size, seed, background",
                    });
                }
            }
        }
        Ok(config)
    }
}

impl fmt::Display for ScenesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            n,
            size,
            seed,
            background,
        } = self;
        write!(
            f,
            "kind={kind},n={n},size={size},seed={seed},background={background}"
        )
    }
}
