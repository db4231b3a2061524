//! Files of any number of channels, and files that lie about them.

use std::io::Cursor;

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb};

use crate::decode::{Decoding, SixteenBit, decode_as, extension, size};
use crate::error::{DataError, ImageError};
use crate::image::{FloatImage, Image};

fn of(channels: usize) -> Decoding {
    Decoding {
        channels,
        ..Decoding::default()
    }
}

fn floats(bytes: &[u8], channels: usize) -> FloatImage {
    match decode_as(bytes, "it", of(channels)).unwrap() {
        Image::Float(image) => image,
        Image::Rgb8(_) => panic!("bytes of colours"),
    }
}

fn message(bytes: &[u8], channels: usize) -> String {
    let error = decode_as(bytes, "it", of(channels)).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    [Some(error.to_string()), cause]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(": ")
}

/// An array as `numpy.save` of NumPy 2.4 writes it: a header of 128 bytes, spaces up to its end.
fn numpy(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
    let start = b"\x93NUMPY\x01\x00v\x00".as_slice();
    [start, format!("{header:<117}\n").as_bytes(), data].concat()
}

fn bytes<const N: usize, T: Copy>(values: &[T], to_bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| to_bytes(value)).collect()
}

#[test]
fn arrays_of_all_kinds_are_read() {
    let shape = "(1, 2, 2)";
    let grey = floats(
        &numpy("'|u1'", "False", "(2, 3)", &[0, 51, 255, 0, 0, 0]),
        1,
    );
    assert_eq!((grey.height(), grey.width(), grey.channels()), (2, 3, 1));
    assert_eq!(grey.samples()[..3], [0.0, 0.2, 1.0]);

    let words = [0_u16, 13_107, 65_535, 0];
    let expected = [0.0, 0.2, 1.0, 0.0];
    let little = numpy("'<u2'", "False", shape, &bytes(&words, u16::to_le_bytes));
    let big = numpy("'>u2'", "False", shape, &bytes(&words, u16::to_be_bytes));
    assert_eq!(floats(&little, 2).samples(), expected);
    assert_eq!(floats(&big, 2).samples(), expected);

    let narrow = [1e4_f32, -2.5, 0.0, 1e-9];
    let file = numpy("'<f4'", "False", shape, &bytes(&narrow, f32::to_le_bytes));
    assert_eq!(floats(&file, 2).samples(), narrow);
    let wide = narrow.map(f64::from);
    let file = numpy("'<f8'", "False", shape, &bytes(&wide, f64::to_le_bytes));
    assert_eq!(floats(&file, 2).samples(), narrow);
    assert_eq!((extension(&file), size(&file)), (Some("npy"), Some([2, 1])));
}

/// The other versions of the format, which NumPy writes for long headers and names that are not
/// Latin.
#[test]
fn longer_headers_are_read() {
    let first = numpy("'|u1'", "False", "(1, 2)", &[0, 255]);
    for version in [2, 3] {
        let file = [b"\x93NUMPY", &[version, 0, 118, 0, 0, 0][..], &first[10..]].concat();
        assert_eq!(floats(&file, 1).samples(), [0.0, 1.0]);
    }
}

#[test]
fn three_channels_of_an_array_are_colours() {
    let file = numpy("'|u1'", "False", "(1, 2, 3)", &[1, 2, 3, 4, 5, 6]);
    let image = decode_as(&file, "it", of(3)).unwrap().into_rgb8().unwrap();
    assert_eq!(image.pixels(), [1, 2, 3, 4, 5, 6]);
    let words = bytes(&[0x1234_u16, 0, 0xff00], u16::to_le_bytes);
    let file = numpy("'<u2'", "False", "(1, 1, 3)", &words);
    let image = decode_as(&file, "it", of(3)).unwrap().into_rgb8().unwrap();
    assert_eq!(image.pixels(), [0x12, 0, 0xff]);
    let kept = Decoding {
        sixteen_bit: SixteenBit::Keep,
        ..of(3)
    };
    let image = decode_as(&file, "it", kept).unwrap();
    let samples = [f32::from(0x1234_u16) / 65_535.0, 0.0, 65_280.0 / 65_535.0];
    assert_eq!(
        image,
        FloatImage::new([1, 1], 3, samples.into()).unwrap().into()
    );
    let floats = numpy("'<f4'", "False", "(1, 1, 3)", &[0; 12]);
    let refused = message(&floats, 3);
    assert!(
        refused.contains("floats") && refused.contains("keep"),
        "{refused}"
    );
}

#[test]
fn arrays_that_are_no_images_say_why() {
    let array = |descr: &str, shape: &str| numpy(descr, "False", shape, &[0; 12]);
    for (file, expected) in [
        (array("'<i2'", "(2, 3)"), "a NumPy array of `<i2`"),
        (array("'<f2'", "(2, 3)"), "a NumPy array of `<f2`"),
        (array("'|b1'", "(2, 3, 2)"), "a NumPy array of `|b1`"),
        (
            array("[('a', '|u1')]", "(2, 3)"),
            "a NumPy array of structures",
        ),
        (array("''", "(2, 3)"), "a NumPy array of nothing"),
        (array("'é1'", "(2, 3)"), "a NumPy array of"),
        (
            numpy("'|u1'", "True", "(3, 4)", &[0; 12]),
            "in Fortran order",
        ),
        (array("'|u1'", "(12,)"), "of shape [12]"),
        (array("'|u1'", "(1, 1, 3, 4)"), "of shape [1, 1, 3, 4]"),
        (array("'|u1'", "(2, 3, -2)"), "no usable `shape`"),
        (array("'|u1'", "2, 3"), "no usable `shape`"),
        // Shapes that lie.
        (array("'|u1'", "(4, 4)"), "it has 12 bytes of samples"),
        (array("'|u1'", "(3, 3)"), "it has 12 bytes of samples"),
        (array("'<f8'", "(3, 4)"), "it has 12 bytes of samples"),
        (array("'|u1'", "(0, 12)"), "it has 12 bytes of samples"),
        (
            array("'|u1'", "(4294967296, 4294967296, 4294967296)"),
            "it has 12 bytes of samples",
        ),
        (
            array("'|u1'", "(99999999999999999999, 1)"),
            "no usable `shape`",
        ),
        (array("'|u1'", "(1, 1, 12)"), "has 12 channels, expected 1"),
    ] {
        let found = message(&file, 1);
        assert!(found.contains(expected), "{found}, expected {expected}");
    }
    let many = array("'|u1'", "(1, 4, 3)");
    assert!(message(&many, 1).starts_with("image `it` has 3 channels, expected 1 "));
    let one = array("'|u1'", "(3, 4)");
    assert!(message(&one, 2).starts_with("image `it` has 1 channel, expected 2 "));
    let nan = bytes(&[1.0, f32::NAN, 0.0, f32::INFINITY], f32::to_le_bytes);
    let file = numpy("'<f4'", "False", "(1, 2, 2)", &nan);
    assert!(message(&file, 2).ends_with("channel 1 of row 0, column 0 is NaN"));
}

#[test]
fn damaged_arrays_are_errors_wherever_they_are_damaged() {
    let words = bytes(&[7_u16; 30], u16::to_le_bytes);
    let whole = numpy("'<u2'", "False", "(2, 3, 5)", &words);
    assert!(decode_as(&whole, "it", of(5)).is_ok());
    for length in 0..whole.len() {
        assert!(
            decode_as(&whole[..length], "it", of(5)).is_err(),
            "{length}"
        );
        assert_eq!(size(&whole[..length]), None);
    }
    for at in 0..70 {
        for byte in [0, b'(', b'9', 0xff] {
            let mut other = whole.clone();
            other[at] = byte;
            let _ = decode_as(&other, "it", of(5));
        }
    }
}

fn png(image: DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn grey_files_keep_all_bits_and_others_are_no_grey() {
    let deep = ImageBuffer::from_fn(2, 1, |x, _| Luma([[0_u16, 13_107][x as usize]]));
    assert_eq!(floats(&png(deep.into()), 1).samples(), [0.0, 0.2]);
    let shallow = ImageBuffer::from_pixel(1, 1, Luma([51_u8]));
    assert_eq!(floats(&png(shallow.into()), 1).samples(), [0.2]);
    // Alpha is a channel for who asks for two.
    let clear = png(ImageBuffer::from_pixel(1, 1, LumaA([255_u8, 51])).into());
    assert_eq!(floats(&clear, 1).samples(), [1.0]);
    assert_eq!(floats(&clear, 2).samples(), [1.0, 0.2]);
    let colors = png(ImageBuffer::from_pixel(1, 1, Rgb([1_u8, 2, 3])).into());
    assert!(message(&colors, 1).starts_with("image `it` has 3 channels, expected 1"));
}

#[test]
fn grey_files_are_colours_in_full_depth_too() {
    let kept = Decoding {
        sixteen_bit: SixteenBit::Keep,
        ..of(3)
    };
    let deep = ImageBuffer::from_fn(2, 1, |x, _| Luma([[0_u16, 13_107][x as usize]]));
    let words = bytes(&[0_u16, 13_107], u16::to_le_bytes);
    let array = numpy("'<u2'", "False", "(1, 2)", &words);
    let four = bytes(&[0_u16, 13_107, 0, 0], u16::to_le_bytes);
    for file in [
        png(deep.into()),
        array.clone(),
        tiff(16, UINT, 1, &[&four], GREY),
    ] {
        let image = decode_as(&file, "it", kept).unwrap();
        let Image::Float(image) = image else {
            panic!("bytes of colours")
        };
        assert_eq!(image.channels(), 3);
        assert_eq!(image.samples()[..6], [0.0, 0.0, 0.0, 0.2, 0.2, 0.2]);
    }
    let clear = png(ImageBuffer::from_pixel(1, 1, LumaA([51_u8, 9])).into());
    let expected = FloatImage::new([1, 1], 3, vec![0.2; 3]).unwrap();
    assert_eq!(decode_as(&clear, "it", kept).unwrap(), expected.into());
    let narrow = decode_as(&array, "it", of(3)).unwrap().into_rgb8().unwrap();
    assert_eq!(narrow.pixels(), [0, 0, 0, 51, 51, 51]);
}

/// An uncompressed TIFF file of 2 x 2 pixels; each plane is a strip.
fn tiff(bits: u16, format: u16, bands: u16, planes: &[&[u8]], color: u16) -> Vec<u8> {
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let strips: Vec<[u32; 2]> = planes
        .iter()
        .map(|plane| {
            let at = file.len() as u32;
            file.extend(*plane);
            [at, plane.len() as u32]
        })
        .collect();
    let mut entries: Vec<[u32; 4]> = Vec::new();
    let (short, long) = (3, 4);
    let mut list = |tag: u32, kind: u32, values: Vec<u32>| {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes()[..if kind == 3 { 2 } else { 4 }].to_vec())
            .collect();
        let value = match bytes.len() {
            0..=4 => {
                let mut value = [0; 4];
                value[..bytes.len()].copy_from_slice(&bytes);
                u32::from_le_bytes(value)
            }
            _ => {
                let at = file.len() as u32;
                file.extend(bytes);
                at
            }
        };
        entries.push([tag, kind, values.len() as u32, value]);
    };
    let each = |value: u16| vec![u32::from(value); usize::from(bands)];
    list(256, long, vec![2]);
    list(257, long, vec![2]);
    list(258, short, each(bits));
    list(259, short, vec![1]);
    list(262, short, vec![color.into()]);
    list(273, long, strips.iter().map(|strip| strip[0]).collect());
    list(277, short, vec![bands.into()]);
    list(278, long, vec![2]);
    list(279, long, strips.iter().map(|strip| strip[1]).collect());
    list(284, short, vec![if planes.len() > 1 { 2 } else { 1 }]);
    list(339, short, each(format));
    let directory = file.len() as u32;
    file[4..8].copy_from_slice(&directory.to_le_bytes());
    file.extend((entries.len() as u16).to_le_bytes());
    for [tag, kind, count, value] in entries {
        file.extend((tag as u16).to_le_bytes());
        file.extend((kind as u16).to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}

const GREY: u16 = 1;
const RGB: u16 = 2;
const PALETTE: u16 = 3;
const UINT: u16 = 1;
const INT: u16 = 2;
const FLOAT: u16 = 3;

#[test]
fn tiff_files_of_many_samples_are_read_in_both_layouts() {
    let values: Vec<u16> = (0..20).map(|value| value * 3000).collect();
    let expected: Vec<f32> = values.iter().map(|&it| f32::from(it) / 65_535.0).collect();
    let pixels = bytes(&values, u16::to_le_bytes);
    let planes: Vec<Vec<u8>> = (0..5)
        .map(|band| {
            let of_band: Vec<u16> = values.iter().skip(band).step_by(5).copied().collect();
            bytes(&of_band, u16::to_le_bytes)
        })
        .collect();
    let planes: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
    for color in [GREY, RGB] {
        let by_pixel = tiff(16, UINT, 5, &[&pixels], color);
        assert_eq!(floats(&by_pixel, 5).samples(), expected, "{color}");
        assert!(message(&by_pixel, 3).starts_with("image `it` has 5 channels, expected 3"));
        let by_plane = tiff(16, UINT, 5, &planes, color);
        assert_eq!(floats(&by_plane, 5).samples(), expected, "{color}");
    }
    let heights = [-1.5_f32, 2.0, 8848.0, 0.0];
    let one = tiff(32, FLOAT, 1, &[&bytes(&heights, f32::to_le_bytes)], GREY);
    assert_eq!(floats(&one, 1).samples(), heights);
    let wide = bytes(&heights.map(f64::from), f64::to_le_bytes);
    assert_eq!(
        floats(&tiff(64, FLOAT, 1, &[&wide], GREY), 1).samples(),
        heights
    );
    let two = tiff(8, UINT, 2, &[&[0, 255, 51, 0, 0, 0, 0, 0]], GREY);
    assert_eq!(floats(&two, 2).samples()[..3], [0.0, 1.0, 0.2]);
}

#[test]
fn tiff_files_that_are_no_channels_say_why_and_never_panic() {
    let signed = tiff(16, INT, 1, &[&[0; 8]], GREY);
    assert!(message(&signed, 1).contains("other samples than u8, u16, f32 or f64"));
    let palette = tiff(8, UINT, 1, &[&[0; 4]], PALETTE);
    assert!(message(&palette, 1).contains("palette"));
    let many = tiff(8, UINT, 17, &[&[0; 68]], GREY);
    assert!(message(&many, 5).starts_with("image `it` has 17 channels, expected 5"));
    let whole = tiff(16, UINT, 5, &[&[0; 40]], GREY);
    for length in 0..whole.len() {
        let _ = decode_as(&whole[..length], "it", of(5));
    }
    for at in 0..whole.len() {
        let mut other = whole.clone();
        other[at] = 0xff;
        let _ = decode_as(&other, "it", of(5));
    }
    // A size that no strip can fill.
    let mut vast = whole.clone();
    let directory = u32::from_le_bytes(*whole[4..].first_chunk().unwrap()) as usize + 2;
    const WIDTH_HEIGHT_AND_ROWS_OF_A_STRIP: [usize; 3] = [0, 1, 7];
    for entry in WIDTH_HEIGHT_AND_ROWS_OF_A_STRIP {
        vast[directory + 12 * entry + 8..][..4].copy_from_slice(&60_000_u32.to_le_bytes());
    }
    let error = decode_as(&vast, "it", of(5)).unwrap_err();
    let refused = matches!(
        error,
        DataError::Image(ImageError::TooManyPixels { .. })
            | DataError::Image(ImageError::TooManySamples { .. })
    );
    assert!(refused, "{error}");
}
