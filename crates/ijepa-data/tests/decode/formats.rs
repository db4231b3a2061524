//! Every format and kind of pixel.

use ijepa_data::{Decoding, SixteenBit, decode, decode_as};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma};
use image::{Rgb, Rgba, RgbaImage};

use crate::{FORMATS, encode, picture};

#[test]
fn every_format_is_decoded() {
    for format in FORMATS {
        let decoded = decode(&encode(picture(), format), "picture").unwrap();
        assert_eq!((decoded.width(), decoded.height()), (23, 17), "{format:?}");
        // A GIF has 256 colours.
        if !matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) {
            assert_eq!(
                decoded.pixels(),
                picture().as_raw().as_slice(),
                "{format:?}"
            );
        }
    }
}

#[test]
fn conversion_to_rgb_is_pillows() {
    let check = |image: DynamicImage, expected: [u8; 3]| {
        let decoded = decode(&encode(image, ImageFormat::Png), "pixel").unwrap();
        assert_eq!(decoded.pixel(0, 0), expected);
    };
    check(GrayImage::from_pixel(2, 2, Luma([77])).into(), [77; 3]);
    check(
        GrayAlphaImage::from_pixel(2, 2, image::LumaA([77, 3])).into(),
        [77; 3],
    );
    check(
        RgbaImage::from_pixel(2, 2, Rgba([10, 20, 30, 0])).into(),
        [10, 20, 30],
    );
    // 0x7fff rounds to 128 but its high byte, which Pillow keeps of colours, is 127. Of grey,
    // Pillow makes white of all that is above 255, which would be a white picture.
    check(
        DynamicImage::ImageLuma16(ImageBuffer::from_pixel(2, 2, Luma([0x7fff]))),
        [127; 3],
    );
    let wide = ImageBuffer::from_pixel(2, 2, Rgb([0x7fffu16, 0xffff, 0x01ff]));
    check(DynamicImage::ImageRgb16(wide), [127, 255, 1]);
    let wide = ImageBuffer::from_pixel(2, 2, Rgba([0x7fffu16, 0xffff, 0x01ff, 0]));
    check(DynamicImage::ImageRgba16(wide), [127, 255, 1]);
}

/// A TIFF file of two pixels of grey and alpha, of so many bits a sample, by pixel or by plane.
fn grey_and_alpha(bits: u16, planar: u16, samples: &[u8]) -> Vec<u8> {
    const SHORT: u16 = 3;
    let entries: [(u16, u32, [u16; 2]); 11] = [
        (256, 1, [2, 0]),
        (257, 1, [1, 0]),
        (258, 2, [bits; 2]),
        (259, 1, [1, 0]),
        (262, 1, [1, 0]),
        (273, 1, [0, 0]),
        (277, 1, [2, 0]),
        (278, 1, [1, 0]),
        (279, 1, [0, 0]),
        (284, 1, [planar, 0]),
        (338, 1, [2, 0]),
    ];
    let start = 8 + 2 + 12 * entries.len() as u16 + 4;
    let length = samples.len() as u16;
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, count, value) in entries {
        // By plane there is a strip for each of the two.
        let (count, value) = match (tag, planar) {
            (273, 1) => (1, [start, 0]),
            (273, _) => (2, [start, start + length / 2]),
            (279, 1) => (1, [length, 0]),
            (279, _) => (2, [length / 2; 2]),
            _ => (count, value),
        };
        [tag, SHORT]
            .iter()
            .for_each(|it| file.extend(it.to_le_bytes()));
        file.extend(count.to_le_bytes());
        value.iter().for_each(|it| file.extend(it.to_le_bytes()));
    }
    file.extend([0; 4]);
    file.extend(samples);
    file
}

#[test]
fn tiff_files_of_grey_and_alpha_lose_their_alpha() {
    for (name, file) in [
        ("pixels", grey_and_alpha(8, 1, &[77, 3, 200, 0])),
        ("planes", grey_and_alpha(8, 2, &[77, 200, 3, 0])),
        ("words", grey_and_alpha(16, 1, &[0, 77, 0, 3, 9, 200, 0, 0])),
    ] {
        let image = decode(&file, name).unwrap();
        let pixels = [0, 1].map(|column| image.pixel(column, 0));
        assert_eq!(pixels, [[77; 3], [200; 3]], "{name}");
    }
    let bits = grey_and_alpha(4, 1, &[0x73, 0x20]);
    let error = decode(&bits, "bits.tif").unwrap_err().to_string();
    assert!(error.contains("TIFF of grey and alpha"), "{error}");
}

#[test]
fn palettes_are_looked_up() {
    // A 1x1 BMP of 8 bits a pixel whose only palette entry is blue 7, green 8, red 9.
    let mut bmp = b"BM".to_vec();
    for word in [62u32, 0, 58, 40, 1, 1, 1 | 8 << 16, 0, 4, 0, 0, 1, 0] {
        bmp.extend(word.to_le_bytes());
    }
    bmp.extend([7, 8, 9, 0, 0, 0, 0, 0]);
    assert_eq!(decode(&bmp, "palette.bmp").unwrap().pixel(0, 0), [9, 8, 7]);
}

#[test]
fn twelve_bits_are_stretched_on_demand() {
    let image = ImageBuffer::from_fn(3, 1, |x, _| Luma([[0u16, 2048, 4095][x as usize]]));
    let png = encode(DynamicImage::ImageLuma16(image), ImageFormat::Png);
    let levels = |sixteen_bit| {
        let decoding = Decoding {
            sixteen_bit,
            ..Decoding::default()
        };
        let image = decode_as(&png, "twelve.png", decoding).unwrap();
        let image = image.into_rgb8().unwrap();
        [0, 1, 2].map(|x| image.pixel(x, 0)[0])
    };
    assert_eq!(levels(SixteenBit::HighByte), [0, 8, 15]);
    assert_eq!(levels(SixteenBit::Scale), [0, 128, 255]);
    // Alpha says nothing about the range.
    let clear = ImageBuffer::from_pixel(1, 1, Rgba([4095u16, 0, 2048, 65535]));
    let png = encode(DynamicImage::ImageRgba16(clear), ImageFormat::Png);
    let scaled = Decoding {
        sixteen_bit: SixteenBit::Scale,
        ..Decoding::default()
    };
    let clear = decode_as(&png, "clear.png", scaled).unwrap();
    let pixel = clear.into_rgb8().unwrap().pixel(0, 0);
    assert_eq!(pixel, [255, 0, 128]);
}
