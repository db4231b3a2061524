//! JPEG files by libjpeg-turbo: only the part that is wanted, on demand at a fraction of its size.

#![expect(unsafe_code, reason = "calls of a C library, each with its reason")]

use std::ffi::c_int;
use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::metadata::Orientation as Turn;
use image::{ImageDecoder, ImageFormat};
use turbojpeg_sys as tj;

use super::{Decode, Orientation};
use crate::image::RgbImage8;
use crate::rect::{CropBox, CropRect};
use crate::view::{Part, Place, View};

/// Columns of a block that is decoded at once, by the number of the subsampling.
const BLOCKS: [usize; 7] = [8, 16, 16, 8, 8, 32, 8];
/// Pixels beside a part whose colours have an influence on it.
const BESIDE: usize = 2;
/// Passes of a progressive file, far more than any camera or program makes.
const MOST_SCANS: c_int = 500;

/// A JPEG file whose header has been read.
#[derive(Debug)]
pub(super) struct Jpeg<'a> {
    decoder: Decoder,
    bytes: &'a [u8],
    /// Columns and rows.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Columns of a block.
    block: usize,
    progressive: bool,
}

/// Rows and columns that a fraction must have over those of the result: the filter that makes one
/// of the other sees enough of the image then (Pillow's `reducing_gap` of thumbnails).
const MARGIN: usize = 2;

/// A part of the image at `eighths` / 8 of its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    rect: CropRect,
    eighths: usize,
}

impl<'a> Jpeg<'a> {
    /// Reads the header; none if it is no JPEG file, broken, to be turned, or of a kind that is
    /// left to others (lossless, four colours, 12 bits, uncommon subsampling).
    pub(super) fn open(
        bytes: &'a [u8],
        format: ImageFormat,
        orientation: Orientation,
    ) -> Option<Self> {
        if format != ImageFormat::Jpeg || orientation == Orientation::Exif && is_turned(bytes) {
            return None;
        }
        let decoder = Decoder::new()?;
        // What libjpeg only warns of is judged by the decoder of all builds.
        decoder.set(tj::TJPARAM_TJPARAM_STOPONWARNING, 1)?;
        decoder.set(tj::TJPARAM_TJPARAM_SCANLIMIT, MOST_SCANS)?;
        decoder.read_header(bytes)?;
        let is = |what| decoder.get(what) == 1;
        let colors = decoder.get(tj::TJPARAM_TJPARAM_COLORSPACE);
        let common = [tj::TJCS_TJCS_RGB, tj::TJCS_TJCS_YCbCr, tj::TJCS_TJCS_GRAY];
        let uncommon = is(tj::TJPARAM_TJPARAM_LOSSLESS)
            || decoder.get(tj::TJPARAM_TJPARAM_PRECISION) != 8
            || !common.map(|colors| colors as c_int).contains(&colors);
        if uncommon {
            return None;
        }
        let number = |what| usize::try_from(decoder.get(what)).ok();
        let subsampling = number(tj::TJPARAM_TJPARAM_SUBSAMP)?;
        Some(Self {
            bytes,
            width: number(tj::TJPARAM_TJPARAM_JPEGWIDTH)?,
            height: number(tj::TJPARAM_TJPARAM_JPEGHEIGHT)?,
            block: *BLOCKS.get(subsampling)?,
            progressive: is(tj::TJPARAM_TJPARAM_PROGRESSIVE),
            decoder,
        })
    }

    /// The pixels for `view`, at the smallest size that is not below the view's if `decode` allows
    /// it; none if the view is not inside the image or the file is damaged.
    pub(super) fn decode<H>(
        &self,
        view: View,
        decode: Decode,
        hold: impl Fn(u64) -> H,
    ) -> Option<Part<H>> {
        let region = self.region(&view, decode)?;
        let rect = region.rect;
        let held = hold(self.pixels(region));
        let mut pixels = vec![0; rect.width * rect.height * 3];
        self.decoder.decode(self.bytes, region, &mut pixels)?;
        Some(Part {
            image: RgbImage8::new(rect.width, rect.height, pixels).ok()?.into(),
            view,
            place: region.place(view.part),
            _held: held,
        })
    }

    fn region(&self, view: &View, decode: Decode) -> Option<Region> {
        view.part.check(self.width, self.height).ok()?;
        let CropRect {
            top,
            left,
            height,
            width,
        } = view.part;
        let enough = |eighths: usize| {
            height * eighths >= MARGIN * view.size[0] * 8
                && width * eighths >= MARGIN * view.size[1] * 8
        };
        let fraction = [1, 2, 4].into_iter().find(|&eighths| enough(eighths));
        let eighths = fraction.filter(|_| decode == Decode::Fast).unwrap_or(8);
        let scaled = |side: usize| (side * eighths).div_ceil(8);
        let range = |start: usize, length: usize, side: usize| {
            let first = (start * eighths / 8).saturating_sub(BESIDE);
            let end = scaled(start + length) + BESIDE;
            (first, end.min(scaled(side)))
        };
        let (first_row, last_row) = range(top, height, self.height);
        let (first_column, last_column) = range(left, width, self.width);
        // Columns begin with a block.
        let first_column = first_column - first_column % scaled(self.block);
        let rect = CropRect {
            top: first_row,
            left: first_column,
            height: last_row - first_row,
            width: last_column - first_column,
        };
        Some(Region { rect, eighths })
    }

    /// Pixels that are in memory while `region` is decoded.
    fn pixels(&self, Region { rect, .. }: Region) -> u64 {
        let coefficients = match self.progressive {
            true => self.width * self.height,
            false => 0,
        };
        (coefficients + rect.width * rect.height) as u64
    }
}

impl Region {
    /// Where `part` of the image lies in it.
    fn place(self, part: CropRect) -> Place {
        let Self { rect, eighths } = self;
        if eighths == 8 {
            return Place::Whole(CropRect {
                top: part.top - rect.top,
                left: part.left - rect.left,
                ..part
            });
        }
        let scaled = |side: usize| side as f64 * eighths as f64 / 8.0;
        Place::Between(CropBox {
            left: scaled(part.left) - rect.left as f64,
            top: scaled(part.top) - rect.top as f64,
            width: scaled(part.width),
            height: scaled(part.height),
        })
    }
}

/// Whether a file's EXIF data asks for more than its pixels as they are.
fn is_turned(bytes: &[u8]) -> bool {
    let decoder = JpegDecoder::new(Cursor::new(bytes));
    let turn = decoder.and_then(|mut decoder| decoder.orientation());
    turn.is_ok_and(|turn| turn != Turn::NoTransforms)
}

/// The library's state for one file.
#[derive(Debug)]
struct Decoder(tj::tjhandle);

impl Decoder {
    fn new() -> Option<Self> {
        // SAFETY: it takes a number and returns null or a state that is ours alone.
        let state = unsafe { tj::tj3Init(tj::TJINIT_TJINIT_DECOMPRESS as c_int) };
        (!state.is_null()).then_some(Self(state))
    }

    fn set(&self, what: tj::TJPARAM, value: c_int) -> Option<()> {
        // SAFETY: the state is valid until it is dropped, and unknown numbers are refused.
        done(unsafe { tj::tj3Set(self.0, what as c_int, value) })
    }

    fn get(&self, what: tj::TJPARAM) -> c_int {
        // SAFETY: as in `set`.
        unsafe { tj::tj3Get(self.0, what as c_int) }
    }

    fn read_header(&self, bytes: &[u8]) -> Option<()> {
        // SAFETY: the library reads `len` bytes from the pointer and keeps neither.
        done(unsafe { tj::tj3DecompressHeader(self.0, bytes.as_ptr(), bytes.len() as _) })
    }

    /// Decodes `region` of the file whose header was read into `pixels`, three bytes a pixel.
    fn decode(
        &self,
        bytes: &[u8],
        Region { rect, eighths }: Region,
        pixels: &mut [u8],
    ) -> Option<()> {
        assert_eq!(pixels.len(), rect.width * rect.height * 3);
        let number = |side: usize| c_int::try_from(side).ok();
        // The library knows fractions in lowest terms.
        let scale = tj::tjscalingfactor {
            num: 1,
            denom: number(8 / eighths)?,
        };
        let crop = tj::tjregion {
            x: number(rect.left)?,
            y: number(rect.top)?,
            w: number(rect.width)?,
            h: number(rect.height)?,
        };
        let pitch = number(rect.width * 3)?;
        // SAFETY: the state is valid, and a region that is not inside the image is refused.
        done(unsafe { tj::tj3SetScalingFactor(self.0, scale) })?;
        // SAFETY: as above.
        done(unsafe { tj::tj3SetCroppingRegion(self.0, crop) })?;
        // SAFETY: the library reads `len` bytes of the file and writes `h` rows of `pitch` bytes,
        // which is what `pixels` has; its errors jump within it only.
        done(unsafe {
            tj::tj3Decompress8(
                self.0,
                bytes.as_ptr(),
                bytes.len() as _,
                pixels.as_mut_ptr(),
                pitch,
                tj::TJPF_TJPF_RGB,
            )
        })
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the state is ours and used no more.
        unsafe { tj::tj3Destroy(self.0) }
    }
}

/// The library returns 0 for success.
fn done(code: c_int) -> Option<()> {
    (code == 0).then_some(())
}
