//! Which class every pixel of an image belongs to.

use png::{BitDepth, ColorType};

use crate::error::{DataError, ImageError};
use crate::pixel_map::PixelMap;

/// Class of every pixel, row by row from the top.
///
/// ```
/// use ijepa_data::Mask;
///
/// let mask = Mask::new([2, 3], vec![0, 1, 1, 0, 0, Mask::IGNORED]);
/// // The nearest pixel of every pixel of another size.
/// let wide = mask.resized([2, 6]);
/// assert_eq!(wide.classes()[..6], [0, 0, 1, 1, 1, 1]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(PixelMap<u8>);

impl Mask {
    /// The value of pixels that belong to no class and count nowhere.
    pub const IGNORED: u8 = 255;

    /// A mask of `[height, width]`.
    ///
    /// # Panics
    ///
    /// Panics if there is not one class for each pixel or no pixel.
    pub fn new(size: [usize; 2], classes: Vec<u8>) -> Self {
        Self(PixelMap::new(size, classes))
    }

    /// The samples of a PNG file as they are in the file: places in its palette or levels of grey,
    /// of at most 8 bits.
    ///
    /// # Errors
    ///
    /// [`ImageError::Mask`] naming the file if it is none of those.
    pub fn of_png(file: &[u8], name: &str) -> Result<Self, DataError> {
        let accepts = |color, depth| {
            let indexed = matches!(color, ColorType::Indexed | ColorType::Grayscale);
            indexed && depth != BitDepth::Sixteen
        };
        let sample = |row: &[u8], column: usize, bits: usize| {
            let at = column * bits;
            row[at / 8] >> (8 - bits - at % 8) & (0xff_u8 >> (8 - bits))
        };
        let map = PixelMap::of_png(file, accepts, sample);
        map.map(Self).map_err(|found| {
            DataError::Image(ImageError::Mask {
                name: name.to_owned(),
                found,
            })
        })
    }

    /// `[height, width]`.
    pub fn size(&self) -> [usize; 2] {
        self.0.size()
    }

    /// The classes of all pixels, row by row.
    pub fn classes(&self) -> &[u8] {
        self.0.values()
    }

    /// The largest class; none if all pixels are ignored.
    pub fn last_class(&self) -> Option<u8> {
        let known = self.classes().iter().filter(|&&it| it != Self::IGNORED);
        known.max().copied()
    }

    /// The mask at `[height, width]`, of the pixels whose centres are nearest.
    pub fn resized(&self, size: [usize; 2]) -> Self {
        Self(self.0.resized(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel_map::{check_damage, png};

    #[test]
    fn places_in_a_palette_of_any_depth_are_classes() {
        let bytes = [0, 21, 255, 3, 1, 0];
        for color in [ColorType::Indexed, ColorType::Grayscale] {
            let file = png(BitDepth::Eight, color, [2, 3], &bytes);
            let mask = Mask::of_png(&file, "a").unwrap();
            assert_eq!((mask.size(), mask.classes()), ([2, 3], &bytes[..]));
            assert_eq!(mask.last_class(), Some(21));
        }
        // Rows of three samples of two bits fill a byte each.
        let file = png(
            BitDepth::Two,
            ColorType::Grayscale,
            [2, 3],
            &[0b00_01_10_00, 0b11_00_01_00],
        );
        let mask = Mask::of_png(&file, "a").unwrap();
        assert_eq!(mask.classes(), [0, 1, 2, 3, 0, 1]);
        let all_ignored = Mask::new([1, 2], vec![Mask::IGNORED; 2]);
        assert_eq!(all_ignored.last_class(), None);
    }

    #[test]
    fn what_is_no_index_mask_is_refused_by_name() {
        let message = |file: &[u8]| Mask::of_png(file, "a.png").unwrap_err().to_string();
        let colors = png(BitDepth::Eight, ColorType::Rgb, [1, 1], &[1, 2, 3]);
        assert!(message(&colors).contains("`a.png`"), "{}", message(&colors));
        assert!(message(&colors).contains("Rgb"), "{}", message(&colors));
        let deep = png(BitDepth::Sixteen, ColorType::Grayscale, [1, 1], &[1, 2]);
        assert!(message(&deep).contains("Sixteen"), "{}", message(&deep));
        let whole = png(BitDepth::Eight, ColorType::Grayscale, [9, 9], &[1; 81]);
        check_damage(&whole, message);
    }

    #[test]
    fn the_nearest_pixel_is_that_of_the_nearest_centre() {
        let mask = Mask::new([1, 4], vec![0, 1, 2, 3]);
        assert_eq!(mask.resized([1, 2]).classes(), [1, 3]);
        assert_eq!(mask.resized([2, 4]).classes(), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(mask.resized([1, 8]).classes(), [0, 0, 1, 1, 2, 2, 3, 3]);
    }
}
