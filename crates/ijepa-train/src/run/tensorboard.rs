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

use crc32c::crc32c;
use ijepa_model::files::{FileError, cannot};
use prost::Message;

/// What a record holds, with the field numbers of `event.proto`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    /// One of several kinds of values, so that 0 is written, too.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl SessionLog {
    const START: Self = Self { status: 1 };
}

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
        events.record(Event {
            file_version: Some("brain.Event:2".to_owned()),
            ..Event::at(0)
        })?;
        events.record(Event {
            session_log: Some(SessionLog::START),
            ..Event::at(step)
        })?;
        Ok(events)
    }

    /// Appends values of one step.
    pub(super) fn scalars(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (String, f64)>,
    ) -> Result<(), FileError> {
        let value = |(tag, value)| Scalar {
            tag,
            simple_value: Some(value as f32),
        };
        let value = scalars.into_iter().map(value).collect();
        self.record(Event {
            summary: Some(Summary { value }),
            ..Event::at(step)
        })
    }

    fn record(&mut self, event: Event) -> Result<(), FileError> {
        let event = event.encode_to_vec();
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(&event);
        record.extend(masked_crc(&event).to_le_bytes());
        let written = self.file.write_all(&record);
        written.map_err(cannot("write", &self.path))
    }
}

impl Event {
    /// Nothing, of now and after so many steps.
    fn at(step: u64) -> Self {
        Self {
            wall_time: now(),
            step: step as i64,
            ..Self::default()
        }
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}
