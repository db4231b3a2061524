//! Images in arrays.

use ijepa_data::{DataError, Decoding, FloatImage, Image, Preprocess, RgbImage8, SixteenBit};
use numpy::{PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods, ndarray::ArrayViewD};
use pyo3::{
    Bound, PyAny, PyResult, exceptions::PyTypeError, exceptions::PyValueError, types::PyAnyMethods,
};

/// Images in memory, `[images, height, width, channels]`.
pub(crate) struct Pixels<'a> {
    shape: [usize; 4],
    samples: Samples<'a>,
}

enum Samples<'a> {
    /// White is 255.
    Bytes(&'a [u8]),
    /// White is 1.
    Floats(&'a [f32]),
}

/// A number of an array of images.
trait Sample: Clone {
    fn all(samples: &[Self]) -> Samples<'_>;
}

impl Sample for u8 {
    fn all(samples: &[Self]) -> Samples<'_> {
        Samples::Bytes(samples)
    }
}

impl Sample for f32 {
    fn all(samples: &[Self]) -> Samples<'_> {
        Samples::Floats(samples)
    }
}

impl Pixels<'_> {
    /// What `compute` makes of the images of `array`; none if it is no array.
    pub(crate) fn of<T>(
        array: &Bound<'_, PyAny>,
        compute: impl FnOnce(Pixels<'_>) -> PyResult<T>,
    ) -> Option<PyResult<T>> {
        let array = array.cast::<PyUntypedArray>().ok()?;
        Some(aligned(array).and_then(|array| Self::of_aligned(&array, compute)))
    }

    fn of_aligned<T>(
        array: &Bound<'_, PyUntypedArray>,
        compute: impl FnOnce(Pixels<'_>) -> PyResult<T>,
    ) -> PyResult<T> {
        if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, u8>>() {
            return with(array.as_array(), compute);
        }
        if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, f32>>() {
            return with(array.as_array(), compute);
        }
        let found = array.dtype();
        let what = format!("images are uint8 or float32, the array is {found}");
        Err(PyTypeError::new_err(what))
    }

    /// How many there are.
    pub(crate) fn images(&self) -> usize {
        self.shape[0]
    }

    /// The first image with a value that is not finite.
    pub(crate) fn first_not_finite(&self) -> Option<usize> {
        let Samples::Floats(samples) = self.samples else {
            return None;
        };
        let place = samples.iter().position(|value| !value.is_finite())?;
        Some(place / self.shape[1..].iter().product::<usize>())
    }

    pub(crate) fn channels(&self) -> usize {
        self.shape[3]
    }

    /// How files would be decoded to images of these samples.
    pub(crate) fn decoding(&self, files: Decoding) -> Decoding {
        match self.samples {
            // Levels of 8 bits stay levels, of whatever the weights read in full depth.
            Samples::Bytes(_) if self.channels() == 3 => Decoding {
                sixteen_bit: SixteenBit::HighByte,
                ..files
            },
            Samples::Bytes(_) => files,
            Samples::Floats(_) => Decoding {
                sixteen_bit: SixteenBit::Keep,
                ..files
            },
        }
    }

    /// The bytes of image `index` in the size `[height, width]`, as [`Image::bytes`] has them.
    pub(crate) fn resized(
        &self,
        index: usize,
        preprocess: Preprocess,
        size: [usize; 2],
    ) -> Result<Vec<u8>, DataError> {
        let image = self.image(index)?;
        let view = preprocess.view(image.width(), image.height(), size)?;
        Ok(view.of_any(&image)?.bytes().into_owned())
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        let [_, height, width, channels] = self.shape;
        let length = height * width * channels;
        let part = index * length..(index + 1) * length;
        let floats = |samples| FloatImage::new([height, width], channels, samples);
        Ok(match self.samples {
            Samples::Bytes(bytes) if channels == 3 => {
                RgbImage8::new(width, height, bytes[part].to_vec())?.into()
            }
            Samples::Bytes(bytes) => {
                let samples = bytes[part].iter().map(|&level| f32::from(level) / 255.0);
                floats(samples.collect())?.into()
            }
            Samples::Floats(samples) => floats(samples[part].to_vec())?.into(),
        })
    }
}

/// The array, or a copy of one whose strides are no multiples of its samples, as views of it count
/// them.
fn aligned<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyUntypedArray>> {
    match array.getattr("flags")?.getattr("aligned")?.extract()? {
        true => Ok(array.clone()),
        false => Ok(array.call_method0("copy")?.cast_into()?),
    }
}

/// Calls `compute` with an array row by row, which is copied only if it lies otherwise.
fn with<S: Sample, T>(
    array: ArrayViewD<'_, S>,
    compute: impl FnOnce(Pixels<'_>) -> PyResult<T>,
) -> PyResult<T> {
    let shape = match *array.shape() {
        [height, width, channels] => [1, height, width, channels],
        [images, height, width, channels] => [images, height, width, channels],
        ref other => {
            let what = format!("images are [n, height, width, channels], the array is {other:?}");
            return Err(PyValueError::new_err(what));
        }
    };
    let rows = array.as_standard_layout();
    let rows = rows.as_slice().expect("the standard layout has no gaps");
    compute(Pixels {
        shape,
        samples: S::all(rows),
    })
}
