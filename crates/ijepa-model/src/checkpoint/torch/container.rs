//! The zip file around a checkpoint: which entries it has and how their bytes are read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zip::read::{ArchiveOffset, Config, ZipArchive, ZipReadOptions};
use zip::{CompressionMethod, result::ZipError};

use super::error::TorchErrorKind;

/// Entries that a checkpoint may have; the largest published one has a few thousand.
const MAX_ENTRIES: u64 = 1 << 20;
/// The end record of a zip file with the longest comment that may follow it.
const MAX_TAIL: u64 = 22 + 0xffff;

const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
const END_RECORD: &[u8] = b"PK\x05\x06";
const END64_RECORD: &[u8] = b"PK\x06\x06";
const END64_LOCATOR: &[u8] = b"PK\x06\x07";
/// Bytes of a zip64 locator, which stands right before the end record.
const END64_LOCATOR_SIZE: usize = 20;
/// Bytes of a zip64 end record without its extensible part.
const END64_RECORD_SIZE: u64 = 56;
/// Bytes of a local header without the name.
const LOCAL_HEADER_SIZE: u64 = 30;

/// The number that opens files of torch before 1.6, as a pickle spells it.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";

/// An open zip file.
#[derive(Debug)]
pub(super) struct Container {
    archive: Mutex<ZipArchive<BufReader<File>>>,
    length: u64,
}

/// An entry of a zip file whose bytes are stored as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    index: usize,
    /// Bytes of the entry.
    pub(super) size: u64,
    has_checksum: bool,
}

impl Container {
    /// Reads the directory of a zip file.
    pub(super) fn open(mut file: File) -> Result<Self, TorchErrorKind> {
        let open = |source| TorchErrorKind::Open { source };
        let length = file.seek(SeekFrom::End(0)).map_err(open)?;
        let head = read_at(&mut file, 0, length.min(32)).map_err(open)?;
        if !head.starts_with(LOCAL_HEADER) {
            let legacy = head
                .windows(LEGACY_MAGIC.len())
                .any(|window| window == LEGACY_MAGIC);
            return Err(match legacy {
                true => TorchErrorKind::Legacy,
                false => TorchErrorKind::NotZip {
                    found: head[..head.len().min(4)].to_vec(),
                },
            });
        }
        check_end_records(&mut file, length)?;

        // Torch writes no prefix, and looking for one would scan a damaged file as a whole.
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let archive = ZipArchive::with_config(config, BufReader::new(file)).map_err(zip_error)?;
        if archive.has_duplicate_names() {
            return Err(TorchErrorKind::DuplicateEntries);
        }
        Ok(Self {
            archive: Mutex::new(archive),
            length,
        })
    }

    /// The name before `/data.pkl`, once every entry below it is known to be readable.
    pub(super) fn stem(&self) -> Result<String, TorchErrorKind> {
        let archive = self.lock();
        let mut stem: Option<&str> = None;
        for name in archive.file_names_raw() {
            let Ok(name) = std::str::from_utf8(name) else {
                continue;
            };
            let Some(found) = name
                .strip_suffix("/data.pkl")
                .filter(|stem| !stem.contains('/'))
            else {
                continue;
            };
            if let Some(first) = stem.replace(found) {
                return Err(TorchErrorKind::SeveralPickles {
                    first: format!("{first}/data.pkl"),
                    second: format!("{found}/data.pkl"),
                });
            }
        }
        let stem = stem.ok_or(TorchErrorKind::NoPickle)?;
        let prefix = format!("{stem}/");
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(zip_error)?;
            if !entry.name_raw().starts_with(prefix.as_bytes()) {
                continue;
            }
            let name = || String::from_utf8_lossy(entry.name_raw()).into_owned();
            if entry.compression() != CompressionMethod::Stored
                || entry.encrypted()
                || entry.compressed_size() != entry.size()
            {
                return Err(TorchErrorKind::NotStored { entry: name() });
            }
            let start = entry.header_start().checked_add(LOCAL_HEADER_SIZE);
            let end = start.and_then(|start| start.checked_add(entry.size()));
            if end.is_none_or(|end| end > self.length) {
                return Err(TorchErrorKind::EntryOutside {
                    entry: name(),
                    size: entry.size(),
                    length: self.length,
                });
            }
        }
        Ok(stem.to_owned())
    }

    /// Looks an entry up by its whole name.
    pub(super) fn entry(&self, name: &str) -> Option<Entry> {
        let archive = self.lock();
        let index = archive.index_for_name_raw(name.as_bytes())?;
        let entry = archive.by_index_data(index).ok()?;
        // `torch.serialization.set_crc32_options(False)` leaves zero in place of every checksum.
        Some(Entry {
            index,
            size: entry.size(),
            has_checksum: entry.crc32() != 0,
        })
    }

    /// Reads an entry from end to end and compares its checksum.
    pub(super) fn read_whole(&self, entry: Entry) -> io::Result<Vec<u8>> {
        let mut archive = self.lock();
        let options = ZipReadOptions::new().ignore_crc32(!entry.has_checksum);
        let mut reader = archive.by_index_with_options(entry.index, options)?;
        let bytes = read_exactly(&mut reader, entry.size)?;
        // The checksum is compared when the reader meets the end, which it has to be asked for.
        match reader.read(&mut [0])? {
            0 => Ok(bytes),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Lets `read` move about in an entry.
    pub(super) fn read_part(
        &self,
        entry: Entry,
        read: impl FnOnce(&mut dyn ReadSeek) -> io::Result<Vec<u8>>,
    ) -> io::Result<Vec<u8>> {
        let mut archive = self.lock();
        let mut reader = archive.by_index_seek(entry.index)?;
        read(&mut reader)
    }

    /// A reader that panicked left at worst a moved file position, which every read sets anew.
    fn lock(&self) -> MutexGuard<'_, ZipArchive<BufReader<File>>> {
        self.archive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader with a position.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Reads `length` bytes, which the caller has found to be in the file.
///
/// Memory that cannot be had is an error and not an abort.
pub(super) fn read_exactly(reader: &mut (impl Read + ?Sized), length: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(size)
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    if reader.take(length).read_to_end(&mut bytes)? < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

fn read_at(file: &mut File, position: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(position))?;
    read_exactly(file, length)
}

fn zip_error(source: ZipError) -> TorchErrorKind {
    TorchErrorKind::Zip { source }
}

/// Checks what the end records declare, before the zip reader makes room for it.
///
/// A zip64 record may declare any number of entries and a private part of any length.
fn check_end_records(file: &mut File, length: u64) -> Result<(), TorchErrorKind> {
    let open = |source| TorchErrorKind::Open { source };
    let tail_length = length.min(MAX_TAIL + END64_LOCATOR_SIZE as u64);
    let tail = read_at(file, length - tail_length, tail_length).map_err(open)?;
    let mut found_end = false;
    for (position, window) in tail.windows(END_RECORD.len()).enumerate() {
        if window != END_RECORD {
            continue;
        }
        found_end = true;
        let Some(locator) = position
            .checked_sub(END64_LOCATOR_SIZE)
            .map(|start| &tail[start..])
        else {
            continue;
        };
        if !locator.starts_with(END64_LOCATOR) {
            continue;
        }
        let start = u64_at(locator, 8);
        if start
            .checked_add(END64_RECORD_SIZE)
            .is_none_or(|end| end > length)
        {
            continue;
        }
        let record = read_at(file, start, END64_RECORD_SIZE).map_err(open)?;
        if !record.starts_with(END64_RECORD) {
            continue;
        }
        let (private, entries) = (u64_at(&record, 4), u64_at(&record, 32));
        if entries > MAX_ENTRIES || private > MAX_TAIL {
            return Err(TorchErrorKind::TooManyEntries {
                found: entries,
                limit: MAX_ENTRIES,
            });
        }
    }
    match found_end {
        true => Ok(()),
        false => Err(TorchErrorKind::Truncated { length }),
    }
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(array)
}
