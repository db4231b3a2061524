//! One value for every pixel of an image, and PNG files of such values.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::decode::MAX_PIXELS;

/// Values of all pixels, row by row from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PixelMap<T> {
    size: [usize; 2],
    values: Vec<T>,
}

impl<T: Copy> PixelMap<T> {
    /// A map of `[height, width]`.
    ///
    /// # Panics
    ///
    /// Panics if there is not one value for each pixel or no pixel.
    pub(crate) fn new(size: [usize; 2], values: Vec<T>) -> Self {
        let pixels = size[0] * size[1];
        assert!(pixels > 0, "a map has pixels");
        assert_eq!(values.len(), pixels, "a map has one value a pixel");
        Self { size, values }
    }

    /// A PNG file of one sample a pixel, of which `value(row, column, bits)` reads a value from the
    /// packed samples of a row as they are in the file.
    ///
    /// # Errors
    ///
    /// What the file is instead of a PNG that `accepts` takes, in words.
    pub(crate) fn of_png(
        file: &[u8],
        accepts: impl Fn(ColorType, BitDepth) -> bool,
        value: impl Fn(&[u8], usize, usize) -> T,
    ) -> Result<Self, String> {
        let broken = |error: png::DecodingError| error.to_string();
        let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits::default());
        decoder.set_transformations(Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(broken)?;
        let info = reader.info();
        let (width, height) = (info.width as usize, info.height as usize);
        if !accepts(info.color_type, info.bit_depth) {
            return Err(format!("{:?} {:?}", info.color_type, info.bit_depth));
        }
        if width as u64 * height as u64 > MAX_PIXELS {
            return Err(format!("{width}x{height} pixels"));
        }
        let bits = info.bit_depth as usize;
        let mut packed = vec![0; reader.output_buffer_size().unwrap_or(0)];
        let frame = reader.next_frame(&mut packed).map_err(broken)?;
        let rows = packed.chunks_exact(frame.line_size).take(height);
        let value = &value;
        let values = rows.flat_map(|row| (0..width).map(move |column| value(row, column, bits)));
        Ok(Self::new([height, width], values.collect()))
    }

    /// `[height, width]`.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.size
    }

    pub(crate) fn values(&self) -> &[T] {
        &self.values
    }

    /// The map at `[height, width]`, of the pixels whose centres are nearest.
    pub(crate) fn resized(&self, size: [usize; 2]) -> Self {
        let nearest = |at: usize, axis: usize| (2 * at + 1) * self.size[axis] / (2 * size[axis]);
        let row = |row: usize| &self.values[nearest(row, 0) * self.size[1]..];
        let pixels = (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| row(y)[nearest(x, 1)]));
        Self::new(size, pixels.collect())
    }
}

/// PNG files for tests.
#[cfg(test)]
pub(crate) fn png(
    depth: BitDepth,
    color: ColorType,
    [height, width]: [u32; 2],
    data: &[u8],
) -> Vec<u8> {
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

/// Checks that `message`, which panics at a file that is read, gets an error for every cut of
/// `whole` and for a header that promises a huge picture.
#[cfg(test)]
pub(crate) fn check_damage(whole: &[u8], message: impl Fn(&[u8]) -> String) {
    for end in 0..whole.len() - 12 {
        message(&whole[..end]);
    }
    message(b"no picture");
    let mut huge = whole.to_vec();
    huge[16..20].copy_from_slice(&0x7fff_0000_u32.to_be_bytes());
    message(&huge);
}
