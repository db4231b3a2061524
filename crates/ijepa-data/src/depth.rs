//! How far every pixel of an image is.

use png::{BitDepth, ColorType};

use crate::error::{DataError, ImageError};
use crate::pixel_map::PixelMap;

/// Depth of every pixel in metres, row by row from the top.
///
/// ```
/// use ijepa_data::Depth;
///
/// let depth = Depth::new([1, 3], vec![1.5, Depth::UNKNOWN, 0.25]);
/// assert_eq!(depth.known().collect::<Vec<f32>>(), [1.5, 0.25]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Depth(PixelMap<f32>);

impl Depth {
    /// The value of pixels whose depth is not known and counts nowhere.
    pub const UNKNOWN: f32 = 0.0;

    /// Depths of `[height, width]` pixels.
    ///
    /// # Panics
    ///
    /// Panics if there is not one depth for each pixel, no pixel, or a depth that is negative or
    /// not finite.
    pub fn new(size: [usize; 2], metres: Vec<f32>) -> Self {
        let valid = metres.iter().all(|&it| it >= 0.0 && it.is_finite());
        assert!(valid, "depths are numbers of at least 0");
        Self(PixelMap::new(size, metres))
    }

    /// A PNG file of grey levels of 16 bits, each the depth of a pixel in millimetres; 0 is
    /// unknown.
    ///
    /// # Errors
    ///
    /// [`ImageError::Depth`] naming the file if it is none.
    pub fn of_png(file: &[u8], name: &str) -> Result<Self, DataError> {
        let accepts = |color, depth| color == ColorType::Grayscale && depth == BitDepth::Sixteen;
        let metres = |row: &[u8], column: usize, _| {
            let millimetres = u16::from_be_bytes([row[2 * column], row[2 * column + 1]]);
            f32::from(millimetres) / 1000.0
        };
        let map = PixelMap::of_png(file, accepts, metres);
        map.map(Self).map_err(|found| {
            DataError::Image(ImageError::Depth {
                name: name.to_owned(),
                found,
            })
        })
    }

    /// `[height, width]`.
    pub fn size(&self) -> [usize; 2] {
        self.0.size()
    }

    /// The depths of all pixels in metres, row by row.
    pub fn metres(&self) -> &[f32] {
        self.0.values()
    }

    /// The depths that are known, row by row.
    pub fn known(&self) -> impl Iterator<Item = f32> {
        let metres = self.metres().iter().copied();
        metres.filter(|&it| it != Self::UNKNOWN)
    }

    /// The depths at `[height, width]`, of the pixels whose centres are nearest.
    pub fn resized(&self, size: [usize; 2]) -> Self {
        Self(self.0.resized(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel_map::{check_damage, png};

    #[test]
    fn levels_of_16_bits_are_millimetres() {
        let bytes = [0, 0, 0, 1, 1, 0, 255, 255, 0x27, 0x10, 0, 7];
        let file = png(BitDepth::Sixteen, ColorType::Grayscale, [2, 3], &bytes);
        let depth = Depth::of_png(&file, "a").unwrap();
        assert_eq!(depth.size(), [2, 3]);
        assert_eq!(depth.metres(), [0.0, 0.001, 0.256, 65.535, 10.0, 0.007]);
        assert_eq!(depth.known().count(), 5);
        assert_eq!(depth.resized([2, 1]).metres(), [0.001, 10.0]);
    }

    #[test]
    fn what_is_no_map_of_depths_is_refused_by_name() {
        let message = |file: &[u8]| Depth::of_png(file, "a.png").unwrap_err().to_string();
        let narrow = png(BitDepth::Eight, ColorType::Grayscale, [1, 1], &[1]);
        let error = message(&narrow);
        assert!(error.contains("`a.png`: found Grayscale Eight"), "{error}");
        let colors = png(BitDepth::Sixteen, ColorType::Rgb, [1, 1], &[1; 6]);
        assert!(message(&colors).contains("Rgb"), "{}", message(&colors));
        let whole = png(BitDepth::Sixteen, ColorType::Grayscale, [9, 9], &[1; 162]);
        check_damage(&whole, message);
    }

    #[test]
    #[should_panic(expected = "at least 0")]
    fn depths_behind_the_camera_are_refused() {
        Depth::new([1, 2], vec![1.0, -1.0]);
    }
}
