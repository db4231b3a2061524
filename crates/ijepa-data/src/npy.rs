//! Arrays of NumPy.

const MAGIC: &[u8] = b"\x93NUMPY";

/// An array of NumPy in C order, of either byte order, whose header and length agree.
///
/// # Examples
///
/// ```
/// use ijepa_data::NpyArray;
///
/// let header = "{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }\n";
/// let length = (header.len() as u16).to_le_bytes();
/// let file = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &[0, 7, 1, 0]].concat();
/// let array = NpyArray::open(&file, &["i2", "i4"])?;
/// assert_eq!((array.shape(), array.integers()), (&[2][..], vec![7, 256]));
/// # Ok::<(), ijepa_data::NpyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NpyArray<'a> {
    kind: &'static str,
    big_endian: bool,
    shape: Vec<usize>,
    data: &'a [u8],
}

/// Bytes that are no array of the kinds that are read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// They do not follow NumPy's rules.
    #[error("a NumPy array: {0}")]
    Broken(String),
    /// An array of another kind.
    #[error("a NumPy array {0}")]
    Other(String),
}

/// Whether bytes begin as an array does.
pub(crate) fn is_array(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl<'a> NpyArray<'a> {
    /// Reads the header of a file and compares it with the length; nothing is allocated.
    ///
    /// `kinds` are those of numbers that are read, by letter and bytes: `u1 u2 u4 i1 i2 i4 i8 f4
    /// f8`.
    ///
    /// # Errors
    ///
    /// [`NpyError`].
    pub fn open(bytes: &'a [u8], kinds: &[&'static str]) -> Result<Self, NpyError> {
        let broken = |why: &str| NpyError::Broken(why.to_owned());
        if !is_array(bytes) {
            return Err(broken("it does not begin as one"));
        }
        let (header, data) = split(bytes).ok_or_else(|| broken("its header is cut off"))?;
        let header = std::str::from_utf8(header).map_err(|_| broken("its header is no text"))?;
        let no = |key: &str| broken(&format!("its header has no usable `{key}`"));
        let descr = value(header, "descr").ok_or_else(|| no("descr"))?;
        let (kind, big_endian) = kind(descr, kinds)?;
        match value(header, "fortran_order") {
            Some(order) if order.starts_with("False") => {}
            Some(order) if order.starts_with("True") => {
                return Err(NpyError::Other(
                    "in Fortran order (`numpy.ascontiguousarray` makes another)".to_owned(),
                ));
            }
            _ => return Err(no("fortran_order")),
        }
        let shape = value(header, "shape").and_then(shape);
        let array = Self {
            kind,
            big_endian,
            shape: shape.ok_or_else(|| no("shape"))?,
            data,
        };
        let mut sides = array.shape.iter();
        let needed = sides.try_fold(bytes_of(kind), |all, &side| all.checked_mul(side));
        match needed == Some(data.len()) {
            true => Ok(array),
            false => Err(array.of_other_length()),
        }
    }

    /// That the bytes behind the header are not those of so many numbers.
    pub(crate) fn of_other_length(&self) -> NpyError {
        let (found, order, shape) = (self.data.len(), self.order(), &self.shape);
        let kind = self.kind;
        NpyError::Broken(format!(
            "it has {found} bytes of samples, which is no '{order}{kind}' array of shape {shape:?}"
        ))
    }

    fn order(&self) -> char {
        match self.big_endian {
            true => '>',
            false => order_of(self.kind),
        }
    }

    /// Sides, the one that changes slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Letter and bytes of a number.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Bytes of all numbers, as they are in the file.
    pub(crate) fn data(&self) -> &'a [u8] {
        self.data
    }

    /// All numbers, where they are `u2`.
    pub(crate) fn words(&self) -> Vec<u16> {
        self.each(u16::from_le_bytes, u16::from_be_bytes)
    }

    /// All numbers, rounded to f32.
    pub fn floats(&self) -> Vec<f32> {
        match self.kind {
            "f4" => self.each(f32::from_le_bytes, f32::from_be_bytes),
            "f8" => {
                let wide = self.each(f64::from_le_bytes, f64::from_be_bytes);
                wide.into_iter().map(|value| value as f32).collect()
            }
            _ => self.integers().into_iter().map(|it| it as f32).collect(),
        }
    }

    /// All numbers, without what is behind the point.
    pub fn integers(&self) -> Vec<i64> {
        fn wide<T: Into<i64>>(values: Vec<T>) -> Vec<i64> {
            values.into_iter().map(T::into).collect()
        }
        match self.kind {
            "u1" => wide(self.data.to_vec()),
            "u2" => wide(self.words()),
            "u4" => wide(self.each(u32::from_le_bytes, u32::from_be_bytes)),
            "i1" => wide(self.each(i8::from_le_bytes, i8::from_be_bytes)),
            "i2" => wide(self.each(i16::from_le_bytes, i16::from_be_bytes)),
            "i4" => wide(self.each(i32::from_le_bytes, i32::from_be_bytes)),
            "i8" => self.each(i64::from_le_bytes, i64::from_be_bytes),
            _ => self.floats().into_iter().map(|it| it as i64).collect(),
        }
    }

    fn each<T, const N: usize>(&self, little: fn([u8; N]) -> T, big: fn([u8; N]) -> T) -> Vec<T> {
        let of = if self.big_endian { big } else { little };
        let numbers = self.data.as_chunks::<N>().0.iter();
        numbers.map(|bytes| of(*bytes)).collect()
    }
}

/// Bytes of a number of a kind.
fn bytes_of(kind: &str) -> usize {
    usize::from(kind.as_bytes()[1] - b'0')
}

/// How NumPy writes the order of the bytes of a number of a kind, the least significant first.
fn order_of(kind: &str) -> char {
    if bytes_of(kind) == 1 { '|' } else { '<' }
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

/// The one of `kinds` that the numbers are, and whether their first byte is the most significant.
fn kind(descr: &str, kinds: &[&'static str]) -> Result<(&'static str, bool), NpyError> {
    let other = |name: &str| {
        let names = kinds
            .iter()
            .map(|kind| format!("`{}{kind}`", order_of(kind)));
        let names: Vec<String> = names.collect();
        NpyError::Other(format!("of {name} (expected {})", names.join(", ")))
    };
    let name = descr
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once('\''));
    let (name, _) = name.ok_or_else(|| other("structures"))?;
    let (order, letters) = name.split_at_checked(1).ok_or_else(|| other("nothing"))?;
    let known = kinds.iter().find(|kind| **kind == letters);
    match (order, known) {
        ("<" | "|", Some(kind)) => Ok((kind, false)),
        (">", Some(kind)) => Ok((kind, true)),
        _ => Err(other(&format!("`{name}`"))),
    }
}

/// The numbers of a tuple.
fn shape(value: &str) -> Option<Vec<usize>> {
    let (sides, _) = value.strip_prefix('(')?.split_once(')')?;
    let sides = sides
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty());
    sides.map(|side| side.parse().ok()).collect()
}
