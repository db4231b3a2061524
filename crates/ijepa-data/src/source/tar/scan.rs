//! One pass over the headers of a tar file, which finds its samples.

use std::io::{self, Read, Seek as _};
use std::path::Path;

use ijepa_files::one_line;
use serde_json::Value;
use tar::{Archive, Entry, EntryType};

use super::index::{About, Index, Member};
use crate::decode::{guard, unread_kind};
use crate::error::DataError;
use crate::source::folder::{is_array, is_image};
use crate::source::labels::Labels;
use crate::source::stamp::Stamp;
use crate::source::storage::{Blob, Scanner};

/// Bytes that a member with labels may have.
const MOST_LABEL_BYTES: u64 = 16 << 20;
/// Unit of a tar file: a header, and what members and the end are filled up to.
const BLOCK: u64 = 512;
const BELOW: &str = "a class below 4294967295";
const EXPECTED_NUMBER: &str = "an integer, as before it";
const EXPECTED_NAME: &str = "a name, as before it";
const EXPECTED_FIELD: &str = "a JSON object whose field is an integer, a string or a boolean";

/// A label as it is written.
enum Label {
    Number(i64),
    Word(String),
}

/// The members of one sample, as far as they are known.
#[derive(Default)]
struct Sample {
    key: Vec<u8>,
    /// The image, and how well its ending fits: `jpg` is 0, `left.jpg` 1, `npy` 2.
    image: Option<(Member, u8)>,
    label: Option<Label>,
}

/// The samples of a shard.
struct Samples<'a> {
    shard: &'a Path,
    /// The field of JSON members that holds the label; without, the label is a member `cls`.
    field: Option<&'a str>,
    current: Sample,
    members: Vec<Member>,
    labels: Labels,
    /// Whether labels are numbers, once there is one.
    are_numbers: Option<bool>,
}

/// Finds the samples of the tar file `shard`.
///
/// A file that stops early has the samples before that place, and an image that is cut is listed
/// with the length that it should have.
///
/// # Errors
///
/// [`DataError::Tar`] if there is no sample or a sparse member, [`DataError::BadEntry`] for a
/// label that is none, [`DataError::Read`],
/// [`ImageError::DecoderPanic`](crate::ImageError::DecoderPanic).
pub(super) fn scan(
    shard: &Path,
    blob: &Blob,
    stamp: Stamp,
    field: Option<&str>,
) -> Result<Index, DataError> {
    let mut samples = Samples {
        shard,
        field,
        current: Sample::default(),
        members: Vec::new(),
        labels: Labels::default(),
        are_numbers: None,
    };
    let name = shard.display().to_string();
    let scanner = Scanner::new(blob, &stamp);
    let walked = guard(&name, || walk(&mut samples, &scanner, stamp.bytes));
    // What cannot be read is no end.
    if let Some(failure) = scanner.failure() {
        return Err(failure);
    }
    let stop = walked??;
    samples.finish_sample(stop.is_some())?;
    if let (true, Some(why)) = (samples.members.is_empty(), &stop) {
        return Err(tar_error(shard, io::Error::other(why.clone())));
    }
    let (labels, words) = samples.labels.finish();
    let about = About {
        shard: stamp,
        field: field.map(str::to_owned),
        words,
        are_numbers: samples.are_numbers,
        stop,
        images: samples.members.len(),
    };
    Ok(Index::new(&samples.members, &labels, about))
}

/// Whether the first header is one of a tar file.
fn is_tar(scanner: &Scanner<'_>) -> bool {
    first_block(scanner).get(257..262) == Some(b"ustar")
}

/// The first block, or what can be read of it.
fn first_block(mut scanner: &Scanner<'_>) -> Vec<u8> {
    let mut head = Vec::new();
    let _ = scanner.rewind();
    let _ = scanner.take(BLOCK).read_to_end(&mut head);
    head
}

/// What a file is that does not begin like a tar file.
fn other_kind(scanner: &Scanner<'_>) -> String {
    match unread_kind(&first_block(scanner)) {
        Some(kind) => format!("it is {kind}; shards are plain tar files"),
        None => "it does not begin like a tar file".to_owned(),
    }
}

/// Adds all members of a shard, up to the place where it stops early; says why it does.
fn walk(
    samples: &mut Samples,
    scanner: &Scanner<'_>,
    bytes: u64,
) -> Result<Option<String>, DataError> {
    let shard = samples.shard;
    let broken = |cause| tar_error(shard, cause);
    let mut archive = Archive::new(scanner);
    let mut end = 0;
    for entry in archive.entries_with_seek().map_err(broken)? {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(_) if end == 0 && !is_tar(scanner) => {
                return Err(broken(io::Error::other(other_kind(scanner))));
            }
            Err(cause) => return Ok(Some(one_line(&cause.to_string()))),
        };
        // The length of such a member is not that of its bytes.
        if is_sparse(&mut entry).map_err(broken)? {
            return Err(broken(io::Error::other("a member is a sparse file")));
        }
        let last = entry.raw_file_position().saturating_add(entry.size());
        end = last.div_ceil(BLOCK).saturating_mul(BLOCK);
        let is_cut = last > bytes;
        if matches!(
            entry.header().entry_type(),
            EntryType::Regular | EntryType::Continuous
        ) {
            samples.add(&mut entry, is_cut)?;
        }
        if is_cut {
            return Ok(Some("its last member is cut off".to_owned()));
        }
    }
    Ok((end.saturating_add(BLOCK) > bytes).then(|| "it has no end".to_owned()))
}

/// Whether the bytes of the member are not those of the file.
fn is_sparse(entry: &mut Entry<impl Read>) -> io::Result<bool> {
    if entry.header().entry_type().is_gnu_sparse() {
        return Ok(true);
    }
    let Some(extensions) = entry.pax_extensions()? else {
        return Ok(false);
    };
    let mut extensions = extensions.flatten();
    Ok(extensions.any(|extension| extension.key_bytes().starts_with(b"GNU.sparse")))
}

impl Samples<'_> {
    fn add(&mut self, entry: &mut Entry<impl Read>, is_cut: bool) -> Result<(), DataError> {
        let name = entry.path_bytes().into_owned();
        let Some((key, ending)) = key_and_ending(&name) else {
            return Ok(());
        };
        if key != self.current.key {
            self.finish_sample(false)?;
            self.current.key = key.to_owned();
        }
        let ending = String::from_utf8_lossy(ending).to_lowercase();
        let is_label = match self.field {
            Some(_) => ending == "json",
            None => ending == "cls",
        };
        if is_label && !is_cut {
            self.current.label = self.label(entry, &name)?;
        } else if is_image(format!("x.{ending}").as_ref()) {
            let is_array = is_array(format!("x.{ending}").as_ref());
            let rank = u8::from(ending.contains('.')) + 2 * u8::from(is_array);
            if self
                .current
                .image
                .as_ref()
                .is_none_or(|(_, best)| rank < *best)
            {
                let (start, length) = (entry.raw_file_position(), entry.size());
                self.current.image = Some((
                    Member {
                        start,
                        length,
                        name,
                    },
                    rank,
                ));
            }
        }
        Ok(())
    }

    /// Keeps the sample, unless it has no image or, where the shard is `cut`, no label that others
    /// have.
    fn finish_sample(&mut self, cut: bool) -> Result<(), DataError> {
        let Sample { image, label, .. } = std::mem::take(&mut self.current);
        let Some((image, _)) = image else {
            return Ok(());
        };
        if cut && label.is_none() && self.are_numbers.is_some() {
            return Ok(());
        }
        let is_number = label
            .as_ref()
            .map(|label| matches!(label, Label::Number(_)));
        if let Some(is_number) = is_number
            && *self.are_numbers.get_or_insert(is_number) != is_number
        {
            let (found, expected) = match is_number {
                true => ("an integer", EXPECTED_NAME),
                false => ("a name", EXPECTED_NUMBER),
            };
            return Err(self.bad_label(&image.name, found.to_owned(), expected));
        }
        match label {
            None => self.labels.push_number(None),
            Some(Label::Word(word)) => self.labels.push_word(Some(word.as_bytes())),
            // A negative number means none, as in Parquet files.
            Some(Label::Number(..0)) => self.labels.push_number(None),
            Some(Label::Number(number)) => match u32::try_from(number) {
                Ok(class) if class < u32::MAX => self.labels.push_number(Some(class)),
                _ => return Err(self.bad_label(&image.name, number.to_string(), BELOW)),
            },
        }
        self.members.push(image);
        Ok(())
    }

    fn label(&self, entry: &mut Entry<impl Read>, name: &[u8]) -> Result<Option<Label>, DataError> {
        let mut bytes = Vec::new();
        let mut content = entry.take(MOST_LABEL_BYTES);
        content
            .read_to_end(&mut bytes)
            .map_err(|source| DataError::Read {
                path: self.shard.to_owned(),
                source,
            })?;
        let Some(field) = self.field else {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_start_matches('\u{feff}').trim();
            return Ok((!text.is_empty()).then(|| match text.parse() {
                Ok(number) => Label::Number(number),
                Err(_) => Label::Word(text.to_owned()),
            }));
        };
        let json: Option<Value> = serde_json::from_slice(&bytes).ok();
        let bad = |found: &Value| Err(self.bad_label(name, found.to_string(), EXPECTED_FIELD));
        match json {
            Some(Value::Object(fields)) => match fields.get(field) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(word)) => Ok(Some(Label::Word(word.clone()))),
                Some(Value::Bool(value)) => Ok(Some(Label::Word(value.to_string()))),
                Some(Value::Number(number)) if number.is_i64() => {
                    Ok(number.as_i64().map(Label::Number))
                }
                Some(other) => bad(other),
            },
            Some(other) => bad(&other),
            None => Err(self.bad_label(name, "no JSON".to_owned(), EXPECTED_FIELD)),
        }
    }

    fn bad_label(&self, name: &[u8], found: String, expected: &'static str) -> DataError {
        DataError::BadEntry {
            path: self.shard.to_owned(),
            entry: format!("member `{}`", String::from_utf8_lossy(name)),
            found,
            expected,
        }
    }
}

/// A member's path up to the first dot of its file name, and what follows the dot; nothing for
/// hidden files and those without a dot.
fn key_and_ending(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let dot = path[name..].iter().position(|&byte| byte == b'.')?;
    let (key, ending) = path.split_at(name + dot);
    (dot > 0).then_some((key, &ending[1..]))
}

fn tar_error(path: &Path, cause: io::Error) -> DataError {
    DataError::Tar {
        path: path.to_owned(),
        source: cause.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_dot_of_the_name() {
        let check = |path: &'static str, key: &'static str, ending: &'static str| {
            let expected = Some((key.as_bytes(), ending.as_bytes()));
            assert_eq!(key_and_ending(path.as_bytes()), expected, "{path}");
        };
        check("a.jpg", "a", "jpg");
        check("v1.2/a.left.jpg", "v1.2/a", "left.jpg");
        check("./a/b.c", "./a/b", "c");
        check("a.", "a", "");
        for path in ["a", "b.c/a", "._a.jpg", "d/.hidden", ""] {
            assert_eq!(key_and_ending(path.as_bytes()), None, "{path}");
        }
    }
}
