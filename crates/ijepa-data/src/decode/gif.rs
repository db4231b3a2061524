//! The first frame of a GIF file, as Pillow converts it to RGB.

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};
use image::RgbImage;

use super::{Failure, MAX_PIXELS, check_size};

/// A GIF file whose first frame is announced and not yet decoded.
struct First<'a> {
    reader: Decoder<&'a [u8]>,
    /// Place and columns of the frame.
    left: u32,
    top: u32,
    columns: u32,
    /// The palette's index of what is left free.
    free: u8,
    /// Columns and rows of the screen, and of a frame that leaves it.
    width: u32,
    height: u32,
}

impl<'a> First<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Failure> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        options.set_memory_limit(MemoryLimit::Bytes(MAX_PIXELS.try_into().expect("not zero")));
        let mut reader = options.read_info(bytes).map_err(Failure::from_gif)?;
        let screen = [reader.width(), reader.height()].map(u32::from);
        let frame = reader.next_frame_info().map_err(Failure::from_gif)?;
        let frame = frame.ok_or_else(|| Failure::broken("no frame in the GIF file"))?;
        let [left, top, columns, rows] =
            [frame.left, frame.top, frame.width, frame.height].map(u32::from);
        let free = frame.transparent.unwrap_or(0);
        let (width, height) = (screen[0].max(left + columns), screen[1].max(top + rows));
        Ok(Self {
            reader,
            left,
            top,
            columns,
            free,
            width,
            height,
        })
    }
}

/// Columns and rows of what is decoded, which are more than the screen's where the frame leaves it.
pub(super) fn size(bytes: &[u8]) -> Result<[u32; 2], Failure> {
    let First { width, height, .. } = First::open(bytes)?;
    Ok([width, height])
}

/// Decodes the first frame: transparent pixels show their palette colour, and what the frame
/// leaves free of the screen shows that of the transparent colour, else the first one.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, Failure> {
    let First {
        mut reader,
        left,
        top,
        columns,
        free,
        width,
        height,
    } = First::open(bytes)?;
    check_size(width, height)?;
    let mut indices = vec![0; reader.buffer_size()];
    reader
        .read_into_buffer(&mut indices)
        .map_err(Failure::from_gif)?;
    let palette = reader
        .palette()
        .map_err(Failure::from_gif)?
        .as_chunks::<3>()
        .0;
    // As in Pillow, colours that the file does not have are grey.
    let color = |index: u8| *palette.get(usize::from(index)).unwrap_or(&[index; 3]);
    let mut image = RgbImage::from_pixel(width, height, image::Rgb(color(free)));
    for (at, &index) in indices.iter().enumerate() {
        let (x, y) = (at as u32 % columns, at as u32 / columns);
        image.put_pixel(left + x, top + y, image::Rgb(color(index)));
    }
    Ok(image)
}

impl Failure {
    fn from_gif(cause: DecodingError) -> Self {
        Self::broken(cause)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::ImageFormat;

    use super::*;

    #[test]
    fn a_frame_that_leaves_the_screen_is_part_of_the_size() {
        let mut file = Cursor::new(Vec::new());
        let image = RgbImage::new(4, 3);
        image.write_to(&mut file, ImageFormat::Gif).unwrap();
        let mut file = file.into_inner();
        assert_eq!(file[6..10], [4, 0, 3, 0]);
        file[6..10].copy_from_slice(&[1, 0, 1, 0]);
        assert_eq!(super::super::size(&file), Some([4, 3]));
        assert_eq!(decode(&file).ok(), Some(image));
    }
}
