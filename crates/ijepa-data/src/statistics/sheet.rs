//! Small pictures of images in rows.

use crate::error::DataError;
use crate::image::RgbImage8;
use crate::rect::CropRect;
use crate::resize::{Filter, crop_resize};

/// Pixels a side of a picture.
const SIDE: usize = 96;
/// White pixels between two pictures.
const GAP: usize = 4;

/// The square in the middle of `image`, made small.
pub(super) fn thumbnail(image: &RgbImage8) -> Result<RgbImage8, DataError> {
    let side = image.width().min(image.height());
    let middle = CropRect {
        top: (image.height() - side) / 2,
        left: (image.width() - side) / 2,
        height: side,
        width: side,
    };
    crop_resize(image, middle, SIDE, SIDE, Filter::Bilinear)
}

/// Pictures in the order in which they will be read.
#[derive(Debug, Default)]
pub(super) struct Sheet(Vec<RgbImage8>);

impl Sheet {
    pub(super) fn add(&mut self, thumbnail: &RgbImage8) {
        self.0.push(thumbnail.clone());
    }

    /// As many columns as rows, or one more.
    pub(super) fn draw(&self) -> Result<RgbImage8, DataError> {
        let columns = (1..).find(|columns| columns * columns >= self.0.len().max(1));
        let columns = columns.expect("squares grow");
        let rows = self.0.len().max(1).div_ceil(columns);
        let [width, height] = [columns, rows].map(|count| count * (SIDE + GAP) - GAP);
        let mut pixels = vec![255; width * height * 3];
        for (number, picture) in self.0.iter().enumerate() {
            let [left, top] = [number % columns, number / columns].map(|at| at * (SIDE + GAP));
            for (row, line) in picture.pixels().chunks_exact(SIDE * 3).enumerate() {
                let start = ((top + row) * width + left) * 3;
                pixels[start..start + line.len()].copy_from_slice(line);
            }
        }
        RgbImage8::new(width, height, pixels)
    }
}
