//! What is open about the pixels of a file.

use serde::{Deserialize, Serialize};

use crate::words::words;

/// How files become pixels where there is a choice; the default is what torchvision's folders do
/// with Pillow, but for 16-bit grey pictures, which Pillow clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Decoding {
    /// How many pixels of a file are made.
    pub decode: Decode,
    /// Whether pictures are turned upright as their EXIF data says.
    pub orientation: Orientation,
    /// How samples of 16 bits become 8.
    pub sixteen_bit: SixteenBit,
    /// Samples of a pixel, 1 to 16; all but 3 are decoded in full depth. Not among the settings,
    /// since whoever reads the files says it in another way.
    #[serde(skip)]
    pub channels: usize,
}

impl Default for Decoding {
    /// Bytes of red, green and blue.
    fn default() -> Self {
        Self {
            decode: Decode::default(),
            orientation: Orientation::default(),
            sixteen_bit: SixteenBit::default(),
            channels: 3,
        }
    }
}

impl Decoding {
    /// Whether samples are f32 in full depth instead of bytes of colours.
    pub fn is_float(self) -> bool {
        self.channels != 3 || self.sixteen_bit == SixteenBit::Keep
    }

    /// Bytes of a pixel of what is decoded.
    pub fn pixel_bytes(self) -> usize {
        match self.is_float() {
            true => self.channels * size_of::<f32>(),
            false => self.channels,
        }
    }
}

/// How many pixels of a file are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// All that a crop covers.
    #[default]
    Exact,
    /// Of JPEG files a half, a quarter or an eighth of the rows and columns where twice as many as
    /// the result has are left: some grey levels off, several times faster for large photographs.
    /// Needs the Cargo feature `turbojpeg` and is [`Exact`](Self::Exact) without.
    Fast,
}

impl Decode {
    /// Whether this build can do it.
    pub const fn is_built(self) -> bool {
        matches!(self, Self::Exact) || cfg!(feature = "turbojpeg")
    }
}

/// Whether pictures are turned upright as their EXIF data says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// Pixels as they are stored, as torchvision's loader of folders. (Orientation is part of the
    /// TIFF format, and Pillow obeys it there.)
    #[default]
    Ignore,
    /// Upright, as viewers show them.
    Exif,
}

/// How samples of 16 bits become 8, if they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SixteenBit {
    /// Their high byte, as Pillow does with colours.
    // DIFFERENCE(D-18): of grey, Pillow makes white of everything above 255.
    #[default]
    HighByte,
    /// `round(255 v / (2^b - 1))`, where `b` is the picture's number of bits, from 8 to 16.
    ///
    /// It is the smallest whose range holds the largest sample (alpha left out). A PNG file that
    /// names its significant bits in an `sBIT` chunk has at least as many.
    Scale,
    /// They stay what they are, and floats do: pixels are f32 ([`Decoding::is_float`]), where
    /// 65,535 is 1. Other numbers of channels than three are always kept so.
    Keep,
}

words!(Decode, "decoding", "exact, fast", "exact" => Exact, "fast" => Fast);
words!(Orientation, "orientation", "ignore, exif", "ignore" => Ignore, "exif" => Exif);
words!(
    SixteenBit, "conversion of 16-bit samples", "high_byte, scale, keep",
    "high_byte" => HighByte, "scale" => Scale, "keep" => Keep
);
