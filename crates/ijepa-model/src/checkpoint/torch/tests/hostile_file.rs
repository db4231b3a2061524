//! Damaged and malicious files: an error or inert data, never a panic or a large allocation.

use super::super::{TensorMeta, TorchArchive};
use super::{Folder, float_tensor, golden, message, open_error, pickle, random, zip_bytes};

/// Opens a file, reads every tensor in it, and ignores all errors.
fn read_all(path: &std::path::Path) {
    let Ok(archive) = TorchArchive::open(path) else {
        return;
    };
    let mut pending = vec![archive.root()];
    let mut seen = std::collections::HashSet::new();
    while let Some(node) = pending.pop() {
        if seen.insert(node.id()) {
            if let Some(tensor) = node.as_tensor() {
                let _ = archive.read_tensor(tensor);
            }
            pending.extend(node.items());
            pending.extend(node.entries().flat_map(|(key, value)| [key, value]));
        }
    }
}

#[test]
fn flipped_bytes_in_a_file_never_panic() {
    let folder = Folder::new();
    let good = std::fs::read(golden("views.pt")).unwrap();
    let mut state = 3;
    for round in 0..2_000 {
        let mut bytes = good.clone();
        for _ in 0..=random(&mut state) % 8 {
            let place = random(&mut state) as usize;
            // Half of the rounds aim at the directory at the end.
            let range = if round % 2 == 0 {
                bytes.len()
            } else {
                bytes.len() / 4
            };
            let place = bytes.len() - 1 - place % range;
            bytes[place] = random(&mut state) as u8;
        }
        read_all(&folder.write(&bytes));
    }
}

#[test]
fn every_truncated_file_is_an_error() {
    let folder = Folder::new();
    let bytes = std::fs::read(golden("views.pt")).unwrap();
    for length in (0..bytes.len())
        .step_by(37)
        .chain(bytes.len() - 100..bytes.len())
    {
        TorchArchive::open(folder.write(&bytes[..length])).unwrap_err();
    }
    assert_eq!(
        open_error(&folder.write(&bytes[..5_000])),
        "truncated: the zip directory is missing at the end of its 5000 bytes"
    );
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let folder = Folder::new();
    let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let read = |numel, offset, shape: &[i32], stride: &[i32]| {
        let program = pickle(&[&float_tensor(numel, offset, shape, stride)]);
        let archive = TorchArchive::open(folder.checkpoint(&program, &values)).unwrap();
        let tensor = archive.root().as_tensor().unwrap().clone();
        archive
            .read_tensor(&tensor)
            .map(|bytes| super::floats(&bytes))
            .map_err(message)
    };
    assert_eq!(read(6, 0, &[2, 3], &[3, 1]).unwrap(), values);
    assert_eq!(read(6, 1, &[2, 2], &[1, 2]).unwrap(), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(read(6, 5, &[], &[]).unwrap(), [5.0]);
    assert_eq!(
        read(6, 1, &[2, 3], &[3, 1]).unwrap_err(),
        "tensor of shape [2, 3], strides [3, 1], offset 1 reaches outside storage \"0\" of 6 \
         elements"
    );
    for (offset, shape, stride) in [
        (6, &[][..], &[][..]),
        (0, &[7], &[1]),
        (0, &[2], &[i32::MAX]),
        (i32::MAX, &[1], &[1]),
        (0, &[i32::MAX; 9], &[i32::MAX; 9]),
    ] {
        assert!(
            read(6, offset, shape, stride)
                .unwrap_err()
                .contains("reaches outside")
        );
    }
    for (shape, stride) in [(&[1_000_000, 6][..], &[0, 1][..]), (&[3, 3], &[1, 1])] {
        assert!(
            read(6, 0, shape, stride)
                .unwrap_err()
                .contains("repeats elements")
        );
    }
    assert_eq!(
        read(1_000_000_000, 0, &[1_000_000_000], &[1]).unwrap_err(),
        "storage \"0\" has 24 bytes, expected 1000000000 elements of 4 bytes"
    );
    assert_eq!(read(6, 0, &[0, 9], &[1, 1]).unwrap(), [0.0; 0]);
}

#[test]
fn a_missing_or_damaged_storage_is_an_error() {
    let folder = Folder::new();
    let program = pickle(&[&float_tensor(2, 0, &[2], &[1])]);
    let archive = TorchArchive::open(folder.zip(&[("a/data.pkl", &program)])).unwrap();
    let meta: &TensorMeta = archive.root().as_tensor().unwrap();
    assert_eq!(
        message(archive.read_tensor(meta).unwrap_err()),
        "storage \"0\" is missing"
    );

    let mut bytes = zip_bytes(&[("a/data.pkl", &program), ("a/data/0", b"storages")]);
    let place = bytes
        .windows(8)
        .position(|window| window == b"storages")
        .unwrap();
    bytes[place] ^= 1;
    let archive = TorchArchive::open(folder.write(&bytes)).unwrap();
    let meta = archive.root().as_tensor().unwrap();
    assert_eq!(
        message(archive.read_tensor(meta).unwrap_err()),
        "cannot read entry \"a/data/0\""
    );
}

#[test]
fn other_files_are_told_apart() {
    let folder = Folder::new();
    assert_eq!(
        open_error(&folder.path("missing.pt")),
        "cannot open the file"
    );
    assert_eq!(
        open_error(&folder.write(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")),
        "legacy torch format (before 1.6), load it and save it again with a newer torch"
    );
    assert_eq!(
        open_error(&folder.write(b"hello")),
        "not a torch checkpoint: it starts with bytes [68, 65, 6c, 6c], expected a zip archive as torch.save writes"
    );
    assert_eq!(
        open_error(&folder.write(b"")),
        "not a torch checkpoint: it starts with bytes [], expected a zip archive as torch.save writes"
    );
    assert_eq!(
        open_error(&folder.zip(&[("a/b/data.pkl", b"N."), ("data.pkl", b"N.")])),
        "a zip file, but not a torch checkpoint: it has no `<stem>/data.pkl`"
    );
    assert_eq!(
        open_error(&folder.zip(&[("a/data.pkl", b"N."), ("b/data.pkl", b"N.")])),
        "both \"a/data.pkl\" and \"b/data.pkl\" could be the checkpoint"
    );
    assert_eq!(
        open_error(&folder.zip(&[("a/data.pkl", b"N."), ("a/byteorder", b"big")])),
        "byte order is \"big\", expected `little`"
    );
    assert_eq!(
        open_error(&folder.zip(&[("a/data.pkl", b"N")])),
        "bad data.pkl: 1 bytes wanted, 0 left at byte 1"
    );
}

/// Changes a field of every directory entry of a zip file.
fn patch_directory(bytes: &mut [u8], field: usize, value: &[u8]) {
    let places: Vec<usize> = bytes
        .windows(4)
        .enumerate()
        .filter_map(|(place, window)| (window == b"PK\x01\x02").then_some(place))
        .collect();
    for place in places {
        bytes[place + field..][..value.len()].copy_from_slice(value);
    }
}

#[test]
fn compressed_entries_and_false_sizes_are_refused() {
    let folder = Folder::new();
    let good = zip_bytes(&[("a/data.pkl", b"N.")]);
    let patched = |field, value: &[u8]| {
        let mut bytes = good.clone();
        patch_directory(&mut bytes, field, value);
        open_error(&folder.write(&bytes))
    };
    let stored = "entry \"a/data.pkl\" is compressed or encrypted, expected a stored entry";
    assert_eq!(patched(10, &8u16.to_le_bytes()), stored);
    assert_eq!(patched(24, &1_000_000_000u32.to_le_bytes()), stored);
    let huge = 1_000_000_000u32.to_le_bytes();
    assert_eq!(
        patched(20, &[huge, huge].concat()),
        format!(
            "entry \"a/data.pkl\" claims 1000000000 bytes, but the file has {}",
            good.len()
        )
    );
}

#[test]
fn a_zip64_record_cannot_declare_billions_of_entries() {
    let folder = Folder::new();
    let mut bytes = zip_bytes(&[("a/data.pkl", b"N.")]);
    let end = bytes.len() - 22;
    let tail = bytes.split_off(end);
    let directory = u32::from_le_bytes([tail[16], tail[17], tail[18], tail[19]]);
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(1_000_000_000u64.to_le_bytes().repeat(2));
    bytes.extend(u64::MAX.to_le_bytes());
    bytes.extend(u64::from(directory).to_le_bytes());
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend((end as u64).to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([0xff; 12]);
    bytes.extend([0, 0]);
    assert_eq!(
        open_error(&folder.write(&bytes)),
        "the zip directory declares 1000000000 entries, at most 1048576 are read"
    );
}
