//! Which part of an image is shown, and how large.

use crate::error::DataError;
use crate::image::{FloatImage, Image, RgbImage8};
use crate::rect::{CropBox, CropRect, crop};
#[cfg(feature = "turbojpeg")]
use crate::resize::resize;
use crate::resize::{Filter, resize_float, resize_part};

/// The part of an image that is wanted and the size that it gets, which follow from the size of
/// the image alone: a decoder need not make the rest.
///
/// # Examples
///
/// ```
/// use ijepa_data::{CropRect, Filter, RgbImage8, View};
///
/// let image = RgbImage8::new(4, 2, vec![90; 24])?;
/// let view = View {
///     part: CropRect { top: 0, left: 2, height: 2, width: 2 },
///     size: [1, 1],
///     filter: Filter::Bilinear,
///     kept: None,
/// };
/// assert_eq!(view.of(&image)?.pixels(), [90; 3]);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// What is cut out of the image.
    pub part: CropRect,
    /// `[height, width]` to which that is resized.
    pub size: [usize; 2],
    /// Kernel of the resize.
    pub filter: Filter,
    /// What is cut out of the resized part; none keeps all.
    pub kept: Option<CropRect>,
}

impl View {
    /// All of an image of `width` columns and `height` rows, as it is.
    pub fn whole(width: usize, height: usize) -> Self {
        Self::resized(width, height, [height, width], Filter::Bilinear)
    }

    /// All of such an image, resized to `[height, width]`.
    pub fn resized(width: usize, height: usize, size: [usize; 2], filter: Filter) -> Self {
        let part = CropRect {
            top: 0,
            left: 0,
            height,
            width,
        };
        Self {
            part,
            size,
            filter,
            kept: None,
        }
    }

    /// Cuts it out of `image` and resizes it.
    ///
    /// # Errors
    ///
    /// [`ImageError::OutputSize`](crate::ImageError::OutputSize) for an empty size,
    /// [`ImageError::CropBox`](crate::ImageError::CropBox) if a part is empty or leaves the image.
    pub fn of(&self, image: &RgbImage8) -> Result<RgbImage8, DataError> {
        self.resize(image, Place::Whole(self.part))
    }

    /// As [`of`](Self::of), of floats too, which are resized by the same kernels, each channel by
    /// itself and without limits to its values.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn of_any(&self, image: &Image) -> Result<Image, DataError> {
        self.resize_any(image, Place::Whole(self.part))
    }

    fn resize_any(&self, image: &Image, place: Place) -> Result<Image, DataError> {
        Ok(match image {
            Image::Rgb8(image) => self.resize(image, place)?.into(),
            // Only JPEG files, which are bytes, are decoded in part.
            Image::Float(image) => self.resize_float(image)?.into(),
        })
    }

    fn resize_float(&self, image: &FloatImage) -> Result<FloatImage, DataError> {
        let part = image.crop(self.part)?;
        if self.keeps_size(self.part) {
            return match self.kept {
                Some(kept) => part.crop(kept),
                None => Ok(part),
            };
        }
        let (of, size) = self.shown(self.part.as_box(), [part.height(), part.width()])?;
        resize_float(&part, of, size, self.filter)
    }

    fn resize(&self, image: &RgbImage8, place: Place) -> Result<RgbImage8, DataError> {
        match place {
            Place::Whole(part) if self.keeps_size(part) => {
                let part = crop(image, part)?;
                match self.kept {
                    Some(kept) => crop(&part, kept),
                    None => Ok(part),
                }
            }
            Place::Whole(part) => {
                part.check(image.width(), image.height())?;
                let (of, size) = self.shown(part.as_box(), [part.height, part.width])?;
                resize_part(image, part, of, size, self.filter)
            }
            #[cfg(feature = "turbojpeg")]
            Place::Between(part) => {
                let (of, [height, width]) = self.shown(part, [image.height(), image.width()])?;
                resize(image, width, height, self.filter, Some(of))
            }
        }
    }

    /// Whether `part` is resized to the size that it has.
    fn keeps_size(&self, part: CropRect) -> bool {
        self.size == [part.height, part.width]
    }

    /// What of `part`, which lies in `[rows, columns]`, becomes what is shown, and the
    /// `[height, width]` of that: of a strip all of the resized part may have any size.
    fn shown(
        &self,
        part: CropBox,
        [rows, columns]: [usize; 2],
    ) -> Result<(CropBox, [usize; 2]), DataError> {
        let Some(kept) = self.kept else {
            return Ok((part, self.size));
        };
        let [height, width] = self.size;
        kept.check(width, height)?;
        let along = |start: f64, length: f64, (first, count): (usize, usize), of, end: usize| {
            if count == of {
                return (start, length);
            }
            let scale = length / of as f64;
            let start = start + first as f64 * scale;
            // What is rounded leaves no image.
            (start, (count as f64 * scale).min(end as f64 - start))
        };
        let (across, down) = ((kept.left, kept.width), (kept.top, kept.height));
        let (left, part_width) = along(part.left, part.width, across, width, columns);
        let (top, part_height) = along(part.top, part.height, down, height, rows);
        let of = CropBox {
            left,
            top,
            width: part_width,
            height: part_height,
        };
        Ok((of, [kept.height, kept.width]))
    }
}

/// Where the part of a view lies among pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// On whole pixels.
    Whole(CropRect),
    /// Anywhere, since the pixels are fewer than the image has.
    #[cfg(feature = "turbojpeg")]
    Between(CropBox),
}

/// The pixels that a view is made of, and what is held as long as they are in memory.
#[derive(Debug)]
pub(crate) struct Part<H> {
    pub(crate) image: Image,
    pub(crate) view: View,
    pub(crate) place: Place,
    pub(crate) _held: H,
}

impl<H> Part<H> {
    /// All pixels of an image for a view of it.
    pub(crate) fn whole(image: Image, view: View, held: H) -> Self {
        Self {
            image,
            view,
            place: Place::Whole(view.part),
            _held: held,
        }
    }

    /// Makes the view.
    pub(crate) fn shown(&self) -> Result<Image, DataError> {
        self.view.resize_any(&self.image, self.place)
    }
}
