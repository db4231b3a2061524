//! TensorBoard event files: scalars in the two layers of framing that TensorBoard reads.
//!
//! A record is its length, a masked CRC-32C of the length, an `Event` message and a masked CRC-32C
//! of the message (`tensorflow/core/lib/io/record_writer.h`, `tensorflow/core/util/event.proto`).

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use ijepa_model::files::{FileError, cannot};

/// `SessionLog.START`.
const SESSION_START: u64 = 1;

/// An event file that is appended to.
#[derive(Debug)]
pub(super) struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file in `folder`; runs that resume add one file each, named after their first step. It
    /// begins a session, before which TensorBoard forgets that step and all later ones.
    pub(super) fn create(folder: &Path, step: u64) -> Result<Self, FileError> {
        let path = folder.join(format!("events.out.tfevents.{:.0}.{step}", now()));
        let file = File::create(&path).map_err(cannot("create", &path))?;
        let mut events = Self { file, path };
        let mut event = field_f64(1, now());
        event.extend(field_bytes(3, b"brain.Event:2"));
        events.record(&event)?;
        let mut event = field_f64(1, now());
        event.extend(field_varint(2, step));
        event.extend(field_bytes(7, &field_varint(1, SESSION_START)));
        events.record(&event)?;
        Ok(events)
    }

    /// Appends values of one step.
    pub(super) fn scalars(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (String, f64)>,
    ) -> Result<(), FileError> {
        let mut summary = Vec::new();
        for (name, value) in scalars {
            let mut entry = field_bytes(1, name.as_bytes());
            entry.extend(field_f32(2, value as f32));
            summary.extend(field_bytes(1, &entry));
        }
        let mut event = field_f64(1, now());
        event.extend(field_varint(2, step));
        event.extend(field_bytes(5, &summary));
        self.record(&event)
    }

    fn record(&mut self, event: &[u8]) -> Result<(), FileError> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(event);
        record.extend(masked_crc(event).to_le_bytes());
        let written = self.file.write_all(&record);
        written.map_err(cannot("write", &self.path))
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

/// Protocol-buffer fields: a key of number and wire type, then the value.
fn field_varint(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn field_f64(number: u64, value: f64) -> Vec<u8> {
    [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn field_bytes(number: u64, bytes: &[u8]) -> Vec<u8> {
    [
        varint(number << 3 | 2),
        varint(bytes.len() as u64),
        bytes.to_vec(),
    ]
    .concat()
}

fn field_f32(number: u64, value: f32) -> Vec<u8> {
    [varint(number << 3 | 5), value.to_le_bytes().to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: a few hundred bytes a logged step.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4 and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn messages_are_protocol_buffers() {
        assert_eq!(field_varint(2, 300), [0x10, 0xac, 0x02]);
        assert_eq!(field_bytes(1, b"ab"), [0x0a, 2, b'a', b'b']);
        assert_eq!(field_f32(2, 1.0), [0x15, 0, 0, 0x80, 0x3f]);
    }
}
