//! Antialiased resizing and cropping, equal to Pillow's within one grey level.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, U8x3};
use fast_image_resize::{FilterType, ImageView, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use crate::error::{DataError, ImageError};
use crate::image::{FloatImage, RgbImage8};
use crate::rect::{CropBox, CropRect};

/// The interpolation kernel; both widen when shrinking, so that no pixel is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A triangle, the choice of random crops.
    Bilinear,
    /// The cubic kernel with a = -0.5, the choice of evaluation.
    Bicubic,
}

impl Filter {
    fn kernel(self) -> FilterType {
        match self {
            Self::Bilinear => FilterType::Bilinear,
            Self::Bicubic => FilterType::CatmullRom,
        }
    }
}

/// Resizes `image`, or the part of it inside `crop`, to `width` columns and `height` rows.
///
/// Pillow's `image.resize((width, height), filter, box)`: with a crop box, pixels just outside
/// the box still contribute at its edges. Random crops want [`crop_resize`] instead.
///
/// # Errors
///
/// [`ImageError::OutputSize`] for an empty output, [`ImageError::CropBox`] if the box is empty or
/// leaves the image.
///
/// # Examples
///
/// ```
/// use ijepa_data::{Filter, RgbImage8, resize};
///
/// let image = RgbImage8::new(4, 4, vec![90; 48])?;
/// let half = resize(&image, 2, 2, Filter::Bicubic, None)?;
/// assert_eq!(half.pixels(), [90; 12]);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
pub fn resize(
    image: &RgbImage8,
    width: usize,
    height: usize,
    filter: Filter,
    crop: Option<CropBox>,
) -> Result<RgbImage8, DataError> {
    let all = CropRect {
        top: 0,
        left: 0,
        width: image.width(),
        height: image.height(),
    };
    let whole = all.as_box();
    let part = crop.unwrap_or(whole);
    let inside = part.left >= 0.0
        && part.top >= 0.0
        && part.width > 0.0
        && part.height > 0.0
        && part.left + part.width <= whole.width
        && part.top + part.height <= whole.height;
    if !inside {
        return Err(DataError::Image(ImageError::CropBox {
            left: part.left,
            top: part.top,
            crop_width: part.width,
            crop_height: part.height,
            width: image.width(),
            height: image.height(),
        }));
    }
    resize_part(image, all, part, [height, width], filter)
}

/// Cuts `rect` out of `image`, then resizes the cut to `width` columns and `height` rows.
///
/// Pillow's `image.crop(...).resize((width, height), filter)`, which is what torchvision's
/// resized crops do: pixels outside the rectangle have no influence.
///
/// # Errors
///
/// [`ImageError::OutputSize`] for an empty output, [`ImageError::CropBox`] if the rectangle is
/// empty or leaves the image.
pub fn crop_resize(
    image: &RgbImage8,
    rect: CropRect,
    width: usize,
    height: usize,
    filter: Filter,
) -> Result<RgbImage8, DataError> {
    rect.check(image.width(), image.height())?;
    resize_part(image, rect, rect.as_box(), [height, width], filter)
}

/// Resizes `part` of `image` to `[height, width]`, each channel by itself; results may lie beyond
/// the samples that they are made of, as the cubic kernel makes them.
pub(crate) fn resize_float(
    image: &FloatImage,
    part: CropBox,
    [height, width]: [usize; 2],
    filter: Filter,
) -> Result<FloatImage, DataError> {
    let size = sides(image.width(), image.height())?;
    let channels = image.channels();
    let [columns, rows] = sides(width, height)?;
    let mut samples = vec![0.0; width * height * channels];
    for channel in 0..channels {
        let plane: Vec<F32> = image.channel(channel).map(F32::new).collect();
        let mut resized = TypedImage::new(columns, rows);
        two_passes(&all_of(&plane, size), part, &mut resized, filter)?;
        let places = samples.iter_mut().skip(channel).step_by(channels);
        places
            .zip(resized.pixels())
            .for_each(|(place, sample)| *place = sample.0);
    }
    FloatImage::new([height, width], channels, samples)
}

/// What a resize reads; of one type, since the library's code is made anew for every type.
type Part<'a, P> = TypedCroppedImage<'a, TypedImageRef<'a, P>>;

/// All of an image of `[columns, rows]`.
fn all_of<P: PixelTrait>(pixels: &[P], [columns, rows]: [u32; 2]) -> Part<'_, P> {
    let image = TypedImageRef::new(columns, rows, pixels).expect("there are as many pixels");
    TypedCroppedImage::new(image, 0, 0, columns, rows).expect("it is all of the image")
}

/// Resizes `part` of what `rect` cuts out of `image` to `[height, width]`.
pub(crate) fn resize_part(
    image: &RgbImage8,
    rect: CropRect,
    part: CropBox,
    [height, width]: [usize; 2],
    filter: Filter,
) -> Result<RgbImage8, DataError> {
    const CHECKED: &str = "sizes and rectangle were checked";
    let [columns, rows] = sides(image.width(), image.height())?;
    let view = TypedImageRef::<U8x3>::from_buffer(columns, rows, image.pixels()).expect(CHECKED);
    let [left, top, crop_width, crop_height] =
        [rect.left, rect.top, rect.width, rect.height].map(|side| side as u32);
    let view = TypedCroppedImage::new(view, left, top, crop_width, crop_height).expect(CHECKED);
    let [columns, rows] = sides(width, height)?;
    let mut pixels = vec![0; width * height * 3];
    let mut output = TypedImage::from_buffer(columns, rows, &mut pixels).expect(CHECKED);
    two_passes(&view, part, &mut output, filter)?;
    RgbImage8::new(width, height, pixels)
}

/// Resizes columns first and rows second, rounding bytes to bytes in between, as Pillow does.
///
/// The library's own order is rows first; near sharp edges, where the cubic kernel overshoots
/// and is clamped, the two orders differ by many grey levels.
fn two_passes<P: PixelTrait>(
    source: &Part<'_, P>,
    part: CropBox,
    output: &mut TypedImage<'_, P>,
    filter: Filter,
) -> Result<(), DataError> {
    const CHECKED: &str = "the crop box was checked";
    let size = [output.width(), source.height()];
    sides(size[0] as usize, size[1] as usize)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter.kernel()));
    let mut resizer = Resizer::new();

    let mut narrow = TypedImage::new(size[0], size[1]);
    let horizontal = options.crop(part.left, 0.0, part.width, f64::from(size[1]));
    resizer
        .resize_typed(source, &mut narrow, &horizontal)
        .expect(CHECKED);

    let vertical = options.crop(0.0, part.top, f64::from(size[0]), part.height);
    resizer
        .resize_typed(&all_of(narrow.pixels(), size), output, &vertical)
        .expect(CHECKED);
    Ok(())
}

/// Rows or columns that an image is resized to at most.
pub(crate) const MAX_SIDE: usize = 1 << 20;

/// The sides as the resizing library takes them, none zero and their product addressable.
pub(crate) fn sides(width: usize, height: usize) -> Result<[u32; 2], DataError> {
    // No more than a file may have, which a part of a narrow image can exceed.
    const MAX_PIXELS: usize = crate::decode::MAX_PIXELS as usize;
    let fits = (1..=MAX_SIDE).contains(&width)
        && (1..=MAX_SIDE).contains(&height)
        && width * height <= MAX_PIXELS;
    if fits {
        Ok([width as u32, height as u32])
    } else {
        Err(DataError::Image(ImageError::OutputSize { width, height }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rect::crop;

    fn ramp(width: usize, height: usize) -> RgbImage8 {
        let pixels = (0..width * height * 3)
            .map(|i| (i * 7 % 251) as u8)
            .collect();
        RgbImage8::new(width, height, pixels).unwrap()
    }

    #[test]
    fn a_strip_is_not_blown_up() {
        assert!(sides(1 << 12, 1 << 12).is_ok());
        assert!(sides(256, 1 << 20).is_err());
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let image = ramp(9, 5);
        assert_eq!(resize(&image, 9, 5, Filter::Bicubic, None).unwrap(), image);
        let rect = CropRect {
            top: 1,
            left: 2,
            height: 3,
            width: 4,
        };
        let cut = crop(&image, rect).unwrap();
        assert_eq!(
            crop_resize(&image, rect, 4, 3, Filter::Bilinear).unwrap(),
            cut
        );
        assert_eq!(cut.pixel(0, 0), image.pixel(2, 1));
    }

    #[test]
    fn floats_are_resized_as_bytes_are_in_every_channel() {
        // Levels in the middle, since bytes end at 0 and 255.
        let mut image = ramp(13, 9);
        image
            .pixels_mut()
            .iter_mut()
            .for_each(|level| *level = 64 + *level / 2);
        let samples = |image: &RgbImage8| -> Vec<f32> {
            image.pixels().iter().map(|&byte| f32::from(byte)).collect()
        };
        // Five channels: those of the bytes, and two of them again.
        let pixels = samples(&image);
        let five = pixels.as_chunks::<3>().0.iter();
        let five = five.flat_map(|[r, g, b]| [*r, *g, *b, *r, 10.0 * *b]);
        let floats = FloatImage::new([9, 13], 5, five.collect()).unwrap();
        let rect = CropRect {
            top: 1,
            left: 2,
            height: 7,
            width: 9,
        };
        for (filter, width, height) in [
            (Filter::Bilinear, 4, 3),
            (Filter::Bilinear, 18, 15),
            (Filter::Bicubic, 5, 20),
        ] {
            let bytes = crop_resize(&image, rect, width, height, filter).unwrap();
            let part = floats.crop(rect).unwrap();
            let found = resize_float(&part, rect.as_box(), [height, width], filter).unwrap();
            for (place, expected) in samples(&bytes).into_iter().enumerate() {
                let pixel = &found.samples()[place / 3 * 5..][..5];
                // Bytes are rounded twice; a bicubic pass makes 1.25 of what it is given at most.
                let found = pixel[place % 3];
                assert!((found - expected).abs() <= 1.15, "{found} {expected}");
                assert_eq!(pixel[3], pixel[0]);
                assert!((pixel[4] - 10.0 * pixel[2]).abs() < 0.01);
            }
        }
    }

    #[test]
    fn a_crop_then_resize_ignores_what_lies_outside() {
        let mut image = ramp(12, 12);
        let rect = CropRect {
            top: 3,
            left: 3,
            height: 6,
            width: 6,
        };
        let before = crop_resize(&image, rect, 3, 3, Filter::Bilinear).unwrap();
        image.pixels_mut()[..12 * 3 * 3].fill(255);
        assert_eq!(
            crop_resize(&image, rect, 3, 3, Filter::Bilinear).unwrap(),
            before
        );
        let boxed = CropBox {
            left: 3.0,
            top: 3.0,
            width: 6.0,
            height: 6.0,
        };
        assert_ne!(
            resize(&image, 3, 3, Filter::Bilinear, Some(boxed)).unwrap(),
            before
        );
    }

    #[test]
    fn boxes_outside_the_image_and_empty_outputs_are_errors() {
        let image = ramp(8, 8);
        let rect = CropRect {
            top: 5,
            left: 0,
            height: 4,
            width: 2,
        };
        assert!(matches!(
            crop(&image, rect),
            Err(DataError::Image(ImageError::CropBox { .. }))
        ));
        let huge = CropRect {
            top: usize::MAX,
            ..rect
        };
        assert!(matches!(
            crop_resize(&image, huge, 2, 2, Filter::Bilinear),
            Err(DataError::Image(ImageError::CropBox { .. }))
        ));
        let boxed = CropBox {
            left: f64::NAN,
            top: 0.0,
            width: 1.0,
            height: 1.0,
        };
        assert!(resize(&image, 2, 2, Filter::Bilinear, Some(boxed)).is_err());
        let empty = resize(&image, 0, 2, Filter::Bilinear, None);
        assert!(matches!(
            empty,
            Err(DataError::Image(ImageError::OutputSize {
                width: 0,
                height: 2
            }))
        ));
        assert!(resize(&image, usize::MAX, 2, Filter::Bilinear, None).is_err());
    }
}
