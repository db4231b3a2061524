//! Parts of JPEG files, which are decoded without the rest.

use ijepa_data::{
    CropRect, DataError, Decode, Decoding, FetchError, Fetched, Filter, ImageError, ImageReader,
    Reading, RgbImage8, Source, View, decode,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

/// JPEG files and what Pillow makes of parts of them; `golden/jpeg.py` says how.
const GOLDEN: &[u8] = include_bytes!("../golden/jpeg.safetensors");

/// One file.
#[derive(Debug)]
struct File<'a>(&'a [u8]);

impl Source for File<'_> {
    fn len(&self) -> usize {
        1
    }

    fn name(&self, _: usize) -> String {
        "file".to_owned()
    }

    fn fetch(&self, _: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        *buffer = self.0.to_vec();
        Ok(Fetched::File)
    }
}

fn read(bytes: &[u8], decode: Decode, view: View) -> Result<RgbImage8, FetchError> {
    let decoding = Decoding {
        decode,
        ..Decoding::default()
    };
    let reader = ImageReader::new(Reading {
        decoding,
        ..Reading::default()
    });
    let image = reader.read(&File(bytes), 0, &|| false, |_, _| Ok(view))?;
    Ok(image.into_rgb8().unwrap())
}

fn view(rect: [usize; 4], size: [usize; 2]) -> View {
    let [left, top, width, height] = rect;
    let part = CropRect {
        top,
        left,
        height,
        width,
    };
    View {
        part,
        size,
        filter: Filter::Bilinear,
        kept: None,
    }
}

#[test]
fn resized_parts_are_pillows_within_one_level() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let mut cases = 0;
    for (name, expected) in golden.tensors() {
        let Some((kind, rect)) = name.split_once('|') else {
            continue;
        };
        let rect: Vec<usize> = rect.split(',').map(|side| side.parse().unwrap()).collect();
        let file = golden.tensor(kind).unwrap();
        let view = view(
            rect.try_into().unwrap(),
            [expected.shape()[0], expected.shape()[1]],
        );
        let found = read(file.data(), Decode::Exact, view).unwrap();
        let pairs = found.pixels().iter().zip(expected.data());
        let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 1, "{name} differs by {worst}");
        cases += 1;
    }
    assert_eq!(cases, 30);
}

#[test]
fn parts_have_the_pixels_of_the_whole() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    for kind in ["444", "422", "420", "progressive", "restarts", "grey"] {
        let file = golden.tensor(kind).unwrap();
        let whole = decode(file.data(), kind).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..200 {
            let [left, top] = [149, 117].map(|side| rng.random_range(0..side));
            let [width, height] = [149 - left, 117 - top].map(|most| rng.random_range(1..=most));
            let view = view([left, top, width, height], [height, width]);
            let found = read(file.data(), Decode::Exact, view).unwrap();
            assert!(found == view.of(&whole).unwrap(), "{kind} {view:?}");
        }
    }
}

#[test]
fn fast_parts_are_near_the_exact_ones_and_exact_where_nothing_can_be_left_out() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    for (rect, size, scaled) in [
        ([8, 5, 120, 104], [26, 30], true),
        ([8, 5, 120, 104], [13, 15], true),
        ([33, 0, 116, 117], [9, 11], true),
        ([33, 1, 59, 70], [30, 30], false),
    ] {
        for kind in ["444", "422", "420", "progressive", "grey"] {
            let file = golden.tensor(kind).unwrap();
            let view = view(rect, size);
            let exact = read(file.data(), Decode::Exact, view).unwrap();
            let fast = read(file.data(), Decode::Fast, view).unwrap();
            let pairs = exact.pixels().iter().zip(fast.pixels());
            let sum: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            let mean = f64::from(sum) / exact.pixels().len() as f64;
            assert!(mean < 4.0, "{kind} {view:?}: {mean} levels");
            assert_eq!(exact != fast, scaled, "{kind} {view:?}");
        }
    }
}

#[test]
fn what_the_library_warns_of_is_judged_as_in_other_builds() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let mut file = golden.tensor("420").unwrap().data().to_vec();
    // Bytes that belong to nothing, before the end of the image.
    let end = file.len() - 2;
    file.splice(end..end, [0xff, 0xc7, 0x12, 0x34]);
    let view = view([0, 0, 149, 117], [20, 20]);
    assert!(read(&file, Decode::Exact, view).is_ok());
    let outside = self::view([140, 0, 10, 10], [4, 4]);
    assert!(matches!(
        read(&file, Decode::Exact, outside),
        Err(FetchError::Corrupt(DataError::Image(
            ImageError::CropBox { .. }
        )))
    ));
}
