//! Shards that are cut or damaged, and what is no shard.

use ijepa_data::{DataError, FetchError, Source, TarSource};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::{archive, header, image, loader, open, samples, set_second, write};

#[test]
fn a_cut_shard_keeps_its_whole_images_and_is_named() {
    let folder = TempDir::new().unwrap();
    let whole = samples(0..5);
    // A header and a block of content each for class and image.
    let sample = 4 * 512;
    write(&folder, "0.tar", &samples(10..20));
    for length in
        (1..whole.len())
            .step_by(211)
            .chain([512, 1024, sample, 3 * sample - 511, 5 * sample])
    {
        let path = write(&folder, "1.tar", &whole[..length]);
        set_second(&path, length as u64);
        let source = open(&folder, "").unwrap_or_else(|error| {
            // Not a single image is left.
            assert!(length < 1536 + 59, "{error}");
            assert!(matches!(error, DataError::Tar { .. }), "{error}");
            open(&folder, "0.tar").unwrap()
        });
        // The content of an image has 59 bytes, and its last block may lack the rest.
        let good = (0..5)
            .filter(|sample_number| sample_number * sample + 1536 + 59 <= length)
            .count();
        for index in 0..10 + good {
            assert_eq!(
                source.label(index),
                Some([1, 0][usize::from(index >= 10)])
                    .map(|first| (first + (index % 10) as u32) % 3)
            );
            let level = if index < 10 { 10 + index } else { index - 10 };
            assert_eq!(source.read(index).unwrap().pixel(0, 0)[0], level as u8);
        }
        let cut: Vec<usize> = (10 + good..source.len()).collect();
        assert!(cut.len() <= 1, "{cut:?}");
        for &index in &cut {
            let error = source.fetch(index, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, FetchError::Corrupt(DataError::CutOff { .. })),
                "{error}"
            );
        }
        let is_whole = length >= 5 * sample + 512;
        let notes = source.faults();
        if source.len() > 10 {
            assert_eq!(notes.is_empty(), is_whole, "{length}: {notes:?}");
            assert!(
                notes
                    .iter()
                    .all(|note| note.contains("1.tar` stops early, after"))
            );
        }
        // Of the third image there is one byte.
        if length == 3 * sample - 511 {
            assert_eq!(cut.len(), 1);
            let mut loader = loader(source, 0.1);
            for batch in loader.by_ref().take(6) {
                assert_eq!(batch.unwrap().indices.len(), 4);
            }
            assert_eq!(loader.skipped().len(), 1);
            assert!(loader.skipped()[0].why.contains("is cut off"));
        }
    }
}

#[test]
fn what_is_no_image_is_left_out_and_named() {
    let folder = TempDir::new().unwrap();
    let mut members: Vec<(String, Vec<u8>)> = (0..30)
        .map(|level| (format!("{level:02}.jpg"), image(level)))
        .collect();
    members[3].1 = Vec::new();
    members[4].1 = b"<html>not found</html>".to_vec();
    members[5].1.truncate(30);
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, it)| (&name[..], &it[..]))
        .collect();
    write(&folder, "a.tar", &archive(&members));
    let mut loader = loader(open(&folder, "a.tar").unwrap(), 0.1);
    for batch in loader.by_ref().take(8) {
        assert_eq!(batch.unwrap().images.len(), 4 * 48);
    }
    let mut skipped: Vec<&str> = loader
        .skipped()
        .iter()
        .map(|it| it.path.rsplit('/').next().unwrap())
        .collect();
    skipped.sort_unstable();
    assert_eq!(skipped, ["03.jpg", "04.jpg", "05.jpg"]);
}

#[test]
fn what_is_no_tar_file_is_refused() {
    let folder = TempDir::new().unwrap();
    write(&folder, "good.tar", &samples(0..3));
    let refused = |bytes: &[u8]| {
        write(&folder, "bad.tar", bytes);
        let error = open(&folder, "").unwrap_err();
        let DataError::Tar { path, source } = error else {
            panic!("{error}")
        };
        assert!(path.ends_with("bad.tar"));
        source.to_string()
    };
    refused(b"");
    assert_eq!(refused(&[7; 2000]), "it does not begin like a tar file");
    let compressed = "it is compressed (gzip); shards are plain tar files";
    assert_eq!(refused(b"\x1f\x8b\x08\x00 compressed"), compressed);
    let none = *b"00000000000\0";
    let endless = [0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
    for length in [none, endless] {
        let mut sparse = Builder::new(Vec::new());
        let mut header = header(Header::new_gnu(), b"");
        header.set_entry_type(EntryType::GNUSparse);
        let fields = header.as_gnu_mut().unwrap();
        fields.realsize = length;
        (fields.sparse[0].offset, fields.sparse[0].numbytes) = (length, none);
        sparse.append_data(&mut header, "a.ppm", &[][..]).unwrap();
        assert_eq!(
            refused(&sparse.into_inner().unwrap()),
            "a member is a sparse file"
        );
    }
    let mut sparse = Builder::new(Vec::new());
    sparse
        .append_pax_extensions([("GNU.sparse.major", b"1".as_slice())])
        .unwrap();
    let mut header = header(Header::new_ustar(), &image(1));
    sparse
        .append_data(&mut header, "GNUSparseFile.0/a.ppm", &image(1)[..])
        .unwrap();
    assert_eq!(
        refused(&sparse.into_inner().unwrap()),
        "a member is a sparse file"
    );

    let nothing = TempDir::new().unwrap();
    write(&nothing, "a.tar", &archive(&[("a.txt", b"x")]));
    assert!(matches!(
        open(&nothing, "a.tar"),
        Err(DataError::NoImages { .. })
    ));
    assert!(matches!(
        open(&nothing, "b*.tar"),
        Err(DataError::NoMatch { .. })
    ));
}

#[test]
fn damaged_shards_never_panic_and_never_ask_for_more_than_they_hold() {
    let folder = TempDir::new().unwrap();
    let bytes = samples(0..4);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut refused = 0;
    for number in 0..200 {
        let mut damaged = bytes.clone();
        for _ in 0..rng.random_range(1..4) {
            // Headers are what matters.
            let block = rng.random_range(0..bytes.len() / 1024) * 1024;
            let at = block + [rng.random_range(0..160), rng.random_range(0..512)][number % 2];
            damaged[at] ^= 1 << rng.random_range(0..8);
            if number % 3 == 0 {
                let header = &mut damaged[block..block + 512];
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
                header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        let path = write(&folder, "a.tar", &damaged);
        set_second(&path, number as u64);
        match TarSource::open(&path, None) {
            Ok(source) => {
                let mut buffer = Vec::new();
                for index in 0..source.len() {
                    let _ = source.fetch(index, &mut buffer);
                    assert!(buffer.capacity() <= 2 * bytes.len());
                }
                refused += usize::from(!source.faults().is_empty());
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 80, "only {refused} damaged files were noticed");
}
