//! Which class every pixel of an image belongs to.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::error::DataError;

/// Pixels of a mask at most.
const MOST_PIXELS: u64 = 1 << 28;

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
pub struct Mask {
    size: [usize; 2],
    classes: Vec<u8>,
}

impl Mask {
    /// The value of pixels that belong to no class and count nowhere.
    pub const IGNORED: u8 = 255;

    /// A mask of `[height, width]`.
    ///
    /// # Panics
    ///
    /// Panics if there is not one class for each pixel or no pixel.
    pub fn new(size: [usize; 2], classes: Vec<u8>) -> Self {
        let pixels = size[0] * size[1];
        assert!(pixels > 0, "a mask has pixels");
        assert_eq!(classes.len(), pixels, "a mask has one class a pixel");
        Self { size, classes }
    }

    /// The samples of a PNG file as they are in the file: places in its palette or levels of grey,
    /// of at most 8 bits.
    ///
    /// # Errors
    ///
    /// [`DataError::Mask`] naming the file if it is none of those.
    pub fn of_png(file: &[u8], name: &str) -> Result<Self, DataError> {
        let bad = |found: String| DataError::Mask {
            name: name.to_owned(),
            found,
        };
        let broken = |error: png::DecodingError| bad(error.to_string());
        let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits::default());
        decoder.set_transformations(Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(broken)?;
        let info = reader.info();
        let (width, height) = (info.width as usize, info.height as usize);
        let indexed = matches!(info.color_type, ColorType::Indexed | ColorType::Grayscale);
        if !indexed || info.bit_depth == BitDepth::Sixteen {
            return Err(bad(format!("{:?} {:?}", info.color_type, info.bit_depth)));
        }
        if width as u64 * height as u64 > MOST_PIXELS {
            return Err(bad(format!("{width}x{height} pixels")));
        }
        let bits = info.bit_depth as usize;
        let mut packed = vec![0; reader.output_buffer_size().unwrap_or(0)];
        let frame = reader.next_frame(&mut packed).map_err(broken)?;
        let sample = |row: &[u8], column: usize| {
            let at = column * bits;
            row[at / 8] >> (8 - bits - at % 8) & (0xff_u8 >> (8 - bits))
        };
        let rows = packed.chunks_exact(frame.line_size).take(height);
        let classes = rows.flat_map(|row| (0..width).map(move |column| sample(row, column)));
        Ok(Self::new([height, width], classes.collect()))
    }

    /// `[height, width]`.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The classes of all pixels, row by row.
    pub fn classes(&self) -> &[u8] {
        &self.classes
    }

    /// The largest class; none if all pixels are ignored.
    pub fn last_class(&self) -> Option<u8> {
        let known = self.classes.iter().filter(|&&it| it != Self::IGNORED);
        known.max().copied()
    }

    /// The mask at `[height, width]`, of the pixels whose centres are nearest.
    pub fn resized(&self, size: [usize; 2]) -> Self {
        let nearest = |at: usize, axis: usize| (2 * at + 1) * self.size[axis] / (2 * size[axis]);
        let row = |row: usize| &self.classes[nearest(row, 0) * self.size[1]..];
        let pixels = (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| row(y)[nearest(x, 1)]));
        Self::new(size, pixels.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(depth: BitDepth, color: ColorType, [height, width]: [u32; 2], data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_depth(depth);
        encoder.set_color(color);
        if color == ColorType::Indexed {
            // All entries have the same colour: only their places tell them apart.
            encoder.set_palette(vec![7; 3 * 256]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        drop(writer);
        file
    }

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
        for end in 0..whole.len() - 12 {
            message(&whole[..end]);
        }
        message(b"no picture");
        // A header that promises a huge picture.
        let mut huge = whole.clone();
        huge[16..20].copy_from_slice(&0x7fff_0000_u32.to_be_bytes());
        message(&huge);
    }

    #[test]
    fn the_nearest_pixel_is_that_of_the_nearest_centre() {
        let mask = Mask::new([1, 4], vec![0, 1, 2, 3]);
        assert_eq!(mask.resized([1, 2]).classes(), [1, 3]);
        assert_eq!(mask.resized([2, 4]).classes(), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(mask.resized([1, 8]).classes(), [0, 0, 1, 1, 2, 2, 3, 3]);
    }
}
