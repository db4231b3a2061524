//! The first frame of a GIF file, as Pillow converts it to RGB.

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use image::RgbImage;

use super::{Failure, MAX_PIXELS, check_size};

/// Decodes the first frame: transparent pixels show their palette colour, and what the frame
/// leaves free of the screen shows that of the transparent colour, else the first one.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, Failure> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(MAX_PIXELS.try_into().expect("not zero")));
    let mut reader = options.read_info(bytes).map_err(Failure::from_gif)?;
    let screen = [reader.width(), reader.height()];
    let frame = reader.next_frame_info().map_err(Failure::from_gif)?;
    let frame = frame.ok_or_else(|| Failure::broken("no frame in the GIF file"))?;
    let [left, top, columns, rows] =
        [frame.left, frame.top, frame.width, frame.height].map(u32::from);
    let width = u32::from(screen[0]).max(left + columns);
    let height = u32::from(screen[1]).max(top + rows);
    check_size(width, height)?;
    let free = frame.transparent.unwrap_or(0);

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
