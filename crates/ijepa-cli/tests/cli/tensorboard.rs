//! TensorBoard's files, read as TensorBoard reads them: records of `tf_record.h`, messages of
//! `event.proto` and `summary.proto`, sessions as its event accumulator treats them.

use std::{collections::BTreeMap, fs, path::Path};

use crate::support::{json, path_text, tiny};

/// CRC-32C by a table of all bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let entry = |byte: u32| (0..8).fold(byte, |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)));
    let table: Vec<u32> = (0..256).map(entry).collect();
    let step = |crc: u32, byte: &u8| table[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

/// Takes bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// The payloads of a file of records, whose checksums must hold.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let checked = |bytes: &mut &[u8], payload: &[u8]| {
            let masked = u32::from_le_bytes(take(bytes, 4).try_into().unwrap());
            let crc = masked.wrapping_sub(0xa282_ead8).rotate_left(15);
            assert_eq!(crc, crc32c(payload));
        };
        let length = take(&mut bytes, 8);
        checked(&mut bytes, length);
        let length = u64::from_le_bytes(length.try_into().unwrap());
        let payload = take(&mut bytes, length as usize);
        checked(&mut bytes, payload);
        found.push(payload);
    }
    found
}

/// A value on the wire.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn number(self) -> u64 {
        match self {
            Self::Varint(number) => number,
            other => panic!("{other:?} is no number"),
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("{other:?} is no message"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// The fields of a message, by number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Wire::Varint(varint(&mut bytes)),
            1 => Wire::Fixed(take(&mut bytes, 8)),
            2 => {
                let length = varint(&mut bytes) as usize;
                Wire::Bytes(take(&mut bytes, length))
            }
            5 => Wire::Fixed(take(&mut bytes, 4)),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, value));
    }
    found
}

/// Points of every tag in the order in which TensorBoard draws them.
type Scalars = BTreeMap<String, Vec<(u64, f32)>>;

/// What TensorBoard shows of a run, and how many sessions it has.
fn shown(run: &Path) -> (Scalars, usize) {
    let entries = fs::read_dir(run)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries
        .filter(|path| path_text(path).contains("events.out.tfevents"))
        .collect();
    paths.sort();
    let (mut scalars, mut sessions) = (Scalars::new(), 0);
    for path in paths {
        let bytes = fs::read(path).unwrap();
        for (number, event) in records(&bytes).into_iter().enumerate() {
            let event = fields(event);
            let get = |field| event.iter().find(|(found, _)| *found == field);
            let step = get(2).map_or(0, |(_, step)| step.number());
            if number == 0 {
                assert_eq!(get(3).unwrap().1.bytes(), b"brain.Event:2");
            }
            if let Some((_, session)) = get(7) {
                let [(1, status)] = fields(session.bytes())[..] else {
                    panic!("a session has a status")
                };
                assert_eq!((number, status.number()), (1, 1), "it starts the file");
                sessions += 1;
                for points in scalars.values_mut() {
                    points.retain(|(found, _)| *found < step);
                }
            }
            for (_, value) in get(5)
                .iter()
                .flat_map(|(_, summary)| fields(summary.bytes()))
            {
                let value = fields(value.bytes());
                let tag = value.iter().find(|(field, _)| *field == 1).unwrap().1;
                let tag = String::from_utf8(tag.bytes().to_vec()).unwrap();
                let Some((_, Wire::Fixed(number))) = value.iter().find(|(field, _)| *field == 2)
                else {
                    panic!("`{tag}` is no simple value")
                };
                let number = f32::from_le_bytes((*number).try_into().unwrap());
                scalars.entry(tag).or_default().push((step, number));
            }
        }
    }
    (scalars, sessions)
}

/// The points of a column of a table.
fn column(run: &Path, table: &str, name: &str) -> Vec<(u64, f32)> {
    let text = fs::read_to_string(run.join(table)).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = |name| header.iter().position(|found| *found == name).unwrap();
    let point = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (
            cells[at("step")].parse().unwrap(),
            cells[at(name)].parse().unwrap(),
        )
    };
    lines.map(point).collect()
}

#[test]
fn it_shows_the_tables_of_a_run_that_went_back_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    json(&tiny(&run, "--max-steps 6 --set run.keep_last=9"));
    let (scalars, sessions) = shown(&run);
    assert_eq!(sessions, 1);
    assert_eq!(scalars["train/loss"], column(&run, "metrics.csv", "loss"));

    // It goes back from step 6 to the evaluated step 4, and later goes on from its end.
    let back = path_text(run.join("checkpoints/step-4"));
    json(&tiny(
        &run,
        &format!("--max-steps 5 --resume {back} --set optimizer.lr=1e-4"),
    ));
    json(&tiny(&run, "--max-steps 9 --set optimizer.lr=1e-4"));
    let (scalars, sessions) = shown(&run);
    assert_eq!(sessions, 3);
    for (tag, table, name) in [
        ("train/loss", "metrics.csv", "loss"),
        ("train/lr", "metrics.csv", "lr"),
        ("eval/rankme", "epochs.csv", "rankme"),
    ] {
        let expected = column(&run, table, name);
        assert!(expected.len() > 2, "{name}: {expected:?}");
        let kept = |(step, _): &(u64, f32)| expected.iter().any(|(found, _)| found == step);
        let points: Vec<_> = scalars[tag].iter().copied().filter(kept).collect();
        assert_eq!(points, expected, "{tag}");
    }
}
