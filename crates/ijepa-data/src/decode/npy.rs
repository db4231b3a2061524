//! Arrays of NumPy as images: `[height, width]` or `[height, width, channels]`.

use super::{Failure, check_size};
use crate::npy::{NpyArray, NpyError};

/// What samples may be.
const KINDS: [&str; 4] = ["u1", "u2", "f4", "f8"];

/// An array of the shape of an image.
#[derive(Debug)]
pub(super) struct Array<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: usize,
    npy: NpyArray<'a>,
}

impl From<NpyError> for Failure {
    fn from(error: NpyError) -> Self {
        match error {
            NpyError::Broken(_) => Self::broken(error),
            NpyError::Other(_) => Self::Unread(error.to_string()),
        }
    }
}

impl<'a> Array<'a> {
    /// Reads the header and compares it with the length of the file; nothing is allocated.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Failure> {
        let npy = NpyArray::open(bytes, &KINDS)?;
        let [height, width, channels] = match *npy.shape() {
            [height, width] => [height, width, 1],
            [height, width, channels] => [height, width, channels],
            ref shape => {
                let other =
                    format!("of shape {shape:?}, not [height, width] or [height, width, channels]");
                return Err(NpyError::Other(other).into());
            }
        };
        if npy.data().is_empty() {
            return Err(npy.of_other_length().into());
        }
        let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        check_size(width, height)?;
        Ok(Self {
            width,
            height,
            channels,
            npy,
        })
    }

    /// The samples, those of integers divided by their white.
    pub(super) fn samples(&self) -> Vec<f32> {
        match (self.bytes(), self.words()) {
            (Some(bytes), _) => bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect(),
            (_, Some(words)) => {
                let words = words.into_iter();
                words.map(|word| f32::from(word) / 65_535.0).collect()
            }
            _ => self.npy.floats(),
        }
    }

    /// The samples, if they have 8 bits.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        (self.npy.kind() == "u1").then(|| self.npy.data())
    }

    /// The samples, if they have 16 bits.
    pub(super) fn words(&self) -> Option<Vec<u16>> {
        (self.npy.kind() == "u2").then(|| self.npy.words())
    }
}
