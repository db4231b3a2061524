//! Arrays of NumPy: `[height, width]` or `[height, width, channels]`.

use super::{Failure, check_size};

const MAGIC: &[u8] = b"\x93NUMPY";
const EXPECTED: &str = "expected `|u1`, `<u2`, `<f4` or `<f8`";

/// What the samples of an array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    U16,
    F32,
    F64,
}

/// An array whose header and length agree.
#[derive(Debug)]
pub(super) struct Array<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: usize,
    pub(super) kind: Kind,
    big_endian: bool,
    /// `[height, width, channels]`.
    data: &'a [u8],
}

pub(super) fn is_array(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl<'a> Array<'a> {
    /// Reads the header and compares it with the length of the file; nothing is allocated.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Failure> {
        let (header, data) = split(bytes).ok_or_else(|| broken("its header is cut off"))?;
        let header = std::str::from_utf8(header).map_err(|_| broken("its header is no text"))?;
        let no = |key: &'static str| move || broken(format!("its header has no usable `{key}`"));
        let descr = value(header, "descr").ok_or_else(no("descr"))?;
        let (kind, big_endian) = kind(descr)?;
        match value(header, "fortran_order").ok_or_else(no("fortran_order"))? {
            order if order.starts_with("False") => {}
            order if order.starts_with("True") => {
                return Err(Failure::Unread(
                    "a NumPy array in Fortran order (`numpy.ascontiguousarray` makes another)"
                        .to_owned(),
                ));
            }
            _ => return Err(no("fortran_order")()),
        }
        let shape = value(header, "shape").and_then(shape);
        let shape = shape.ok_or_else(no("shape"))?;
        let [height, width, channels] = match shape[..] {
            [height, width] => [height, width, 1],
            [height, width, channels] => [height, width, channels],
            _ => {
                return Err(Failure::Unread(format!(
                    "a NumPy array of shape {shape:?}, not [height, width] or [height, width, \
                     channels]"
                )));
            }
        };
        let needed = [height, width, channels, kind.bytes() as u64];
        let needed = needed
            .iter()
            .try_fold(1_u64, |all, &side| all.checked_mul(side));
        let found = data.len() as u64;
        if needed != Some(found) || found == 0 {
            return Err(broken(format!(
                "it has {found} bytes of samples, which is no {descr} array of shape {shape:?}",
                descr = descr.split(',').next().unwrap_or_default(),
            )));
        }
        let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        check_size(width, height)?;
        Ok(Self {
            width,
            height,
            channels: usize::try_from(channels).unwrap_or(usize::MAX),
            kind,
            big_endian,
            data,
        })
    }

    /// The samples, those of integers divided by their white.
    pub(super) fn samples(&self) -> Vec<f32> {
        match self.kind {
            Kind::U8 => self
                .data
                .iter()
                .map(|&byte| f32::from(byte) / 255.0)
                .collect(),
            Kind::U16 => {
                let words = self.words().into_iter();
                words.map(|word| f32::from(word) / 65_535.0).collect()
            }
            Kind::F32 => self.each(f32::from_le_bytes, f32::from_be_bytes),
            Kind::F64 => {
                let wide = self
                    .each(f64::from_le_bytes, f64::from_be_bytes)
                    .into_iter();
                wide.map(|sample| sample as f32).collect()
            }
        }
    }

    /// Samples of 8 bits.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.data
    }

    /// Samples of 16 bits.
    pub(super) fn words(&self) -> Vec<u16> {
        self.each(u16::from_le_bytes, u16::from_be_bytes)
    }

    fn each<T, const N: usize>(&self, little: fn([u8; N]) -> T, big: fn([u8; N]) -> T) -> Vec<T> {
        let of = if self.big_endian { big } else { little };
        let samples = self.data.as_chunks::<N>().0.iter();
        samples.map(|bytes| of(*bytes)).collect()
    }
}

impl Kind {
    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

fn broken(why: impl Into<String>) -> Failure {
    Failure::broken(format!("a NumPy array: {}", why.into()))
}

/// The text of the header, a literal of a Python dictionary, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (&[version, _], rest) = rest.split_first_chunk()?;
    let (length, rest) = match version {
        1 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        _ => {
            let (length, rest) = rest.split_first_chunk()?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
    };
    rest.split_at_checked(length)
}

/// What follows a key of the header.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, value) = header.split_once(&format!("'{key}':"))?;
    Some(value.trim_start())
}

/// The kind of samples and whether their first byte is the most significant.
fn kind(descr: &str) -> Result<(Kind, bool), Failure> {
    let unread = |name: &str| Failure::Unread(format!("a NumPy array of {name} ({EXPECTED})"));
    let name = descr
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once('\''));
    let (name, _) = name.ok_or_else(|| unread("structures"))?;
    let (order, letters) = name.split_at_checked(1).ok_or_else(|| unread("nothing"))?;
    let kind = match letters {
        "u1" => Kind::U8,
        "u2" => Kind::U16,
        "f4" => Kind::F32,
        "f8" => Kind::F64,
        _ => return Err(unread(&format!("`{name}`"))),
    };
    match order {
        "<" | "|" => Ok((kind, false)),
        ">" => Ok((kind, true)),
        _ => Err(unread(&format!("`{name}`"))),
    }
}

/// The numbers of a tuple.
fn shape(value: &str) -> Option<Vec<u64>> {
    let (sides, _) = value.strip_prefix('(')?.split_once(')')?;
    let sides = sides
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty());
    sides.map(|side| side.parse().ok()).collect()
}
