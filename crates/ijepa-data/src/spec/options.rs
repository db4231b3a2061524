//! What follows the path of a data set.

use std::fmt::{self, Display, Formatter};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::error::DataError;

/// The text before the options `,KEY=VALUE` at its end, and the value of each of the `keys`; of
/// one that is given twice, the first.
pub(super) fn split<'a, const N: usize>(
    text: &'a str,
    keys: [&str; N],
) -> (&'a str, [Option<&'a str>; N]) {
    let (mut rest, mut values) = (text, [None; N]);
    let last = |rest: &'a str| {
        let (before, option) = rest.rsplit_once(',')?;
        let (key, value) = option.split_once('=')?;
        let place = keys.iter().position(|known| *known == key)?;
        Some((before, place, value))
    };
    while let Some((before, place, value)) = last(rest) {
        (rest, values[place]) = (before, Some(value));
    }
    (rest, values)
}

pub(super) fn path(kind: &'static str, text: &str) -> Result<PathBuf, DataError> {
    match text.is_empty() {
        true => Err(DataError::MissingPath { kind }),
        false => Ok(text.into()),
    }
}

pub(super) fn window(text: &str) -> Result<NonZeroUsize, DataError> {
    text.parse()
        .map_err(|_| DataError::bad_value("window", text, "a whole number from 1"))
}

pub(super) fn field(text: &str) -> Result<String, DataError> {
    match text.is_empty() {
        true => Err(DataError::bad_value("label", "", "the name of a field")),
        false => Ok(text.to_owned()),
    }
}

/// Writes an option as it is read.
pub(super) fn write(f: &mut Formatter<'_>, key: &str, value: Option<&impl Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, ",{key}={value}"))
}
