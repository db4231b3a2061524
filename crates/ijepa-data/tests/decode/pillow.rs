//! Files as Pillow reads them.

use ijepa_data::{Decoding, Image, Orientation, RgbImage8, SixteenBit, decode, decode_as};
use safetensors::SafeTensors;

/// Files and what Pillow makes of them; `golden/files.py` says how.
const GOLDEN: &[u8] = include_bytes!("../golden/files.safetensors");

fn golden(name: &str) -> (Vec<usize>, Vec<u8>) {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let tensor = golden.tensor(name).unwrap();
    (tensor.shape().to_vec(), tensor.data().to_vec())
}

/// The largest difference of levels between a decoded file and what Pillow makes of it.
fn worst(found: &RgbImage8, expected: &str) -> u8 {
    let (shape, expected) = golden(expected);
    assert_eq!(shape, [found.height(), found.width(), 3]);
    let pairs = found.pixels().iter().zip(&expected);
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn files_become_pillows_pixels() {
    let mut found = String::new();
    let mut too_far = false;
    for (name, tolerance) in PILLOW {
        let (_, file) = golden(&format!("{name}|file"));
        let image = decode(&file, name).unwrap();
        let worst = worst(&image, &format!("{name}|rgb"));
        too_far |= worst > tolerance;
        found += &format!("{name}: {worst} of {tolerance}\n");
    }
    assert!(!too_far, "{found}");
}

/// Files, and the difference of levels that is allowed: none but where numbers are rounded.
const PILLOW: [(&str, u8); 27] = [
    ("jpeg_420", 3),
    ("jpeg_422", 3),
    ("jpeg_444", 2),
    ("jpeg_progressive", 3),
    ("jpeg_grey", 1),
    ("jpeg_cmyk", 1),
    ("jpeg_turned", 3),
    ("png_turned", 0),
    ("webp_turned", 0),
    ("png_palette", 0),
    ("gif", 0),
    ("gif_grey", 0),
    ("gif_small_frame", 0),
    ("gif_animated", 0),
    ("tiff_palette", 0),
    ("tiff_palette_lzw", 0),
    ("tiff_bit", 0),
    ("tiff_big", 0),
    ("tiff_big_palette", 0),
    ("tiff_zstd", 0),
    ("tiff_lzw", 0),
    ("tiff_deflate", 0),
    ("tiff_packbits", 0),
    ("tiff_jpeg", 3),
    ("tiff_ycbcr", 1),
    ("tiff_cmyk", 0),
    ("tiff_turned", 0),
];

#[test]
fn grey_of_sixteen_bits_keeps_its_high_byte_where_pillow_clips() {
    let (_, file) = golden("png_grey_16|file");
    let image = decode(&file, "grey.png").unwrap();
    let (_, clipped) = golden("png_grey_16|rgb");
    for (at, level) in clipped.into_iter().enumerate() {
        let (row, column) = (at / 3 / image.width(), at / 3 % image.width());
        let sample = row * 7000 + column * 331;
        assert_eq!(usize::from(level), sample.min(255));
        assert_eq!(usize::from(image.pixels()[at]), sample >> 8);
    }
}

#[test]
fn orientation_is_obeyed_on_demand() {
    let upright = Decoding {
        orientation: Orientation::Exif,
        ..Decoding::default()
    };
    for (name, tolerance) in [
        ("jpeg_turned", 3),
        ("png_turned", 0),
        ("webp_turned", 0),
        ("tiff_turned", 0),
    ] {
        let (_, file) = golden(&format!("{name}|file"));
        let image = decode_as(&file, name, upright).unwrap();
        let image = image.into_rgb8().unwrap();
        let worst = worst(&image, &format!("{name}|turned"));
        assert!(worst <= tolerance, "{name}: {worst}");
    }
}

#[test]
fn tiff_files_give_all_their_samples_as_they_are_stored() {
    let floats = |name: &str| {
        let kept = Decoding {
            sixteen_bit: SixteenBit::Keep,
            ..Decoding::default()
        };
        let (_, file) = golden(&format!("{name}|file"));
        match decode_as(&file, name, kept).unwrap() {
            Image::Float(image) => image,
            Image::Rgb8(_) => panic!("bytes of colours"),
        }
    };
    for name in [
        "tiff_big",
        "tiff_lzw",
        "tiff_deflate",
        "tiff_packbits",
        "tiff_zstd",
    ] {
        let (shape, levels) = golden(&format!("{name}|rgb"));
        let image = floats(name);
        assert_eq!([image.height(), image.width(), image.channels()], shape[..]);
        let expected: Vec<f32> = levels.iter().map(|&it| f32::from(it) / 255.0).collect();
        assert!(image.samples() == expected, "{name}");
    }
    // Bands lie as they are stored, whatever is above.
    let stored = floats("tiff_turned");
    let (upright, levels) = golden("tiff_turned|turned");
    assert_eq!([stored.width(), stored.height(), 3], upright[..]);
    for (x, y) in [(0, 0), (stored.width() - 1, 2)] {
        // Turned to the right.
        let at = (x * stored.height() + stored.height() - 1 - y) * 3;
        let expected = [0, 1, 2].map(|channel| f32::from(levels[at + channel]) / 255.0);
        assert_eq!(stored.pixel(x, y), expected);
    }
}

#[test]
fn a_large_flat_picture_in_a_small_file_is_read() {
    let (_, file) = golden("webp_flat|file");
    let image = decode(&file, "flat.webp").unwrap();
    assert_eq!((image.width(), image.height()), (2700, 2700));
    assert_eq!(image.pixel(2699, 2699), [7, 80, 200]);
}
