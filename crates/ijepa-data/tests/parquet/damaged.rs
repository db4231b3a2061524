//! Files that are cut or damaged.

use std::fs;
use std::path::Path;

use ijepa_data::{DataError, ParquetSource, Source};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::{PLAIN, STRUCT, file, row};

/// Opens the file and reads every image; nothing may panic.
fn try_everything(path: &Path) -> Result<(), DataError> {
    let source = ParquetSource::open(path)?;
    (0..source.len()).try_for_each(|index| source.read(index).map(|_| ()))
}

#[test]
fn truncated_files_are_errors() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let bytes = file(STRUCT, &vec![vec![row(1, 0), row(2, 1)]], None);
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(
            try_everything(&path).is_err(),
            "cut to {length} of {} bytes",
            bytes.len()
        );
    }
    fs::write(&path, &bytes).unwrap();
    try_everything(&path).unwrap();
}

#[test]
fn a_page_cannot_ask_for_gigabytes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let rows = (0..100).map(|level| row(level, 0)).collect();
    let mut bytes = file(PLAIN, &vec![rows], None);
    // The first page header follows the magic number: type, then the two sizes. The size that
    // is announced becomes the largest number of as many bytes.
    assert_eq!(
        (&bytes[..4], bytes[4], bytes[6]),
        (b"PAR1".as_slice(), 0x15, 0x15)
    );
    let size = bytes[7..]
        .iter()
        .position(|&byte| byte & 0x80 == 0)
        .unwrap()
        + 1;
    bytes[7..6 + size].fill(0xff);
    bytes[7] = 0xfe;
    bytes[6 + size] = 0x7f;
    let announced = (1 << (7 * size - 1)) - 1;
    fs::write(&path, &bytes).unwrap();
    let source = ParquetSource::open(&path).unwrap();
    let error = source.read(0).unwrap_err();
    let DataError::Inconsistent { what, found, .. } = error.itself() else {
        panic!("{error}")
    };
    assert_eq!((*what, *found), ("the size of a page", announced));
}

#[test]
fn groups_that_share_their_bytes_are_no_more_rows_than_the_file_can_hold() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let rows = (0..100).map(|level| row(level, 0)).collect();
    let mut bytes = file(PLAIN, &vec![rows], None);
    let mut reader = ParquetMetaDataReader::new();
    reader
        .try_parse(&bytes::Bytes::from(bytes.clone()))
        .unwrap();
    let honest = reader.finish().unwrap();
    let group = honest.row_group(0).clone();
    let most = group.column(0).compressed_size() * 64;
    let group = group.into_builder().set_num_rows(most).build().unwrap();
    // Each claims more rows than its part of the footer could hold.
    let groups = vec![group; 1000];
    let forged = ParquetMetaData::new(honest.file_metadata().clone(), groups);
    ParquetMetaDataWriter::new(&mut bytes, &forged)
        .finish()
        .unwrap();
    fs::write(&path, &bytes).unwrap();
    let error = ParquetSource::open(&path).unwrap_err();
    let DataError::Inconsistent { what, found, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((what, found), ("the number of rows", 1000 * most));
}

#[test]
fn lists_longer_than_the_footer_are_refused_before_they_are_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    // An unknown field with a list of 2^31 - 1 booleans, ten thousand times.
    let list = [0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07];
    let mut bytes = file(PLAIN, &vec![vec![row(1, 0)]], None);
    let magic = bytes.split_off(bytes.len() - 4);
    let length = bytes.split_off(bytes.len() - 4);
    let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
    // Before the end of the structure that is the footer.
    assert_eq!(bytes.pop(), Some(0));
    let lists = list.repeat(10_000);
    bytes.extend(&lists);
    bytes.push(0);
    bytes.extend(((length + lists.len()) as u32).to_le_bytes());
    bytes.extend(magic);
    fs::write(&path, &bytes).unwrap();
    let error = ParquetSource::open(&path).unwrap_err();
    let DataError::Parquet { source, .. } = error.itself() else {
        panic!("{error}")
    };
    let source = source.to_string();
    assert!(source.ends_with("its footer ends too early"), "{source}");
}

#[test]
fn damaged_files_never_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let bytes = file(
        STRUCT,
        &vec![vec![row(1, 0), row(2, 1)], vec![row(3, 1)]],
        None,
    );
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut refused = 0;
    for _ in 0..1500 {
        let mut damaged = bytes.clone();
        for _ in 0..rng.random_range(1..4) {
            damaged[rng.random_range(0..bytes.len())] ^= 1 << rng.random_range(0..8);
        }
        fs::write(&path, &damaged).unwrap();
        refused += usize::from(try_everything(&path).is_err());
    }
    assert!(refused > 300, "only {refused} damaged files were noticed");
}
