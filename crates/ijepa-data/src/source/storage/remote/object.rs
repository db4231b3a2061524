//! One object, which is read by ranges.

use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::path::Path as Location;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{Remote, refusal, status};
use crate::error::DataError;
use crate::source::file::unreadable;
use crate::source::stamp::Stamp;
use crate::source::storage::{patiently, without_query};

/// Unit of what is read ahead.
const BLOCK: u64 = 1 << 20;
/// Reads that lie no further apart, so many times in a row, go through an object in order,
/// whichever threads make them. Those of a shuffled epoch do not, unless the object is of that
/// size.
const NEAR: u64 = 4 << 20;
const STREAK: u32 = 16;

/// An object behind a URL.
///
/// Every request is for a range, and its answer is compared with the stamp of the object before
/// its bytes are taken. Reads in order are answered from blocks, each of which is one request.
#[derive(Debug)]
pub(in crate::source) struct Object {
    remote: Arc<Remote>,
    number: u64,
    url: PathBuf,
    store: Arc<dyn ObjectStore>,
    location: Location,
    reads: Mutex<Reads>,
}

/// The reads so far.
#[derive(Debug, Default)]
struct Reads {
    /// Where the last one ended.
    end: u64,
    /// How many before it were near the one before them.
    streak: u32,
}

impl Reads {
    /// Counts one; whether it goes on in order.
    fn goes_on(&mut self, range: &Range<u64>) -> bool {
        let is_near = range.start.abs_diff(self.end) <= NEAR;
        self.streak = if is_near { self.streak + 1 } else { 0 }.min(STREAK);
        self.end = range.end;
        self.streak == STREAK
    }
}

impl Object {
    pub(super) fn new(
        remote: Arc<Remote>,
        number: u64,
        url: &Path,
        store: Arc<dyn ObjectStore>,
        location: Location,
    ) -> Self {
        Self {
            remote,
            number,
            url: url.to_owned(),
            store,
            location,
            reads: Mutex::default(),
        }
    }

    /// What it is by now.
    pub(in crate::source::storage) fn stamp(&self) -> Result<Stamp, DataError> {
        let ask = || self.remote.wait(self.store.head(&self.location));
        patiently(|| match ask() {
            Ok(meta) => Ok(stamp_of(meta)),
            Err(error) => Err(refusal(&self.url, error)),
        })
    }

    /// The bytes of `range`, by one request.
    pub(in crate::source::storage) fn read(
        &self,
        range: Range<u64>,
        stamp: &Stamp,
    ) -> Result<Bytes, DataError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let asked = range.end - range.start;
        let options = GetOptions::new().with_range(Some(range));
        let answer = self.remote.wait(async {
            let answer = self.store.get_opts(&self.location, options).await?;
            match stamp_of(answer.meta.clone()) == *stamp {
                true => answer.bytes().await.map(Some),
                false => Ok(None),
            }
        });
        let replaced = || DataError::Replaced {
            path: without_query(&self.url).to_owned(),
        };
        match answer {
            Ok(None) => Err(replaced()),
            Ok(Some(bytes)) if bytes.len() as u64 == asked => Ok(bytes),
            Ok(Some(bytes)) => {
                let words = format!("{asked} bytes were asked for, {} came", bytes.len());
                let cause = Error::new(ErrorKind::ConnectionAborted, words);
                Err(unreadable(without_query(&self.url), cause))
            }
            // It has no such range any more.
            Err(error) if status(&error) == Some(416) => Err(replaced()),
            Err(error) => Err(refusal(&self.url, error)),
        }
    }

    /// Fills `buffer` with the bytes from `start` on.
    pub(in crate::source::storage) fn read_into(
        &self,
        buffer: &mut [u8],
        start: u64,
        stamp: &Stamp,
    ) -> Result<(), DataError> {
        let range = start..start + buffer.len() as u64;
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = reads.goes_on(&range);
        drop(reads);
        if !goes_on {
            buffer.copy_from_slice(&self.read(range, stamp)?);
            return Ok(());
        }
        for number in range.start / BLOCK..range.end.div_ceil(BLOCK) {
            let (first, block) = (number * BLOCK, self.block(number, stamp)?);
            let part = range.start.max(first)..range.end.min(first + block.len() as u64);
            let of = |from: u64| (part.start - from) as usize..(part.end - from) as usize;
            buffer[of(range.start)].copy_from_slice(&block[of(first)]);
        }
        Ok(())
    }

    fn block(&self, number: u64, stamp: &Stamp) -> Result<Arc<Bytes>, DataError> {
        let start = number * BLOCK;
        self.remote.blocks.get((self.number, number), || {
            let bytes = self.read(start..stamp.bytes.min(start + BLOCK), stamp)?;
            let length = bytes.len();
            Ok((bytes, length))
        })
    }
}

fn stamp_of(meta: ObjectMeta) -> Stamp {
    let changed = meta.last_modified;
    Stamp::of_object(
        meta.size,
        changed.timestamp().try_into().unwrap_or_default(),
        changed.timestamp_subsec_nanos(),
        meta.e_tag,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_are_told_from_shuffled_ones() {
        let goes_on = |starts: &mut dyn Iterator<Item = u64>| {
            let mut reads = Reads::default();
            starts
                .map(|start| reads.goes_on(&(start..start + 100_000)))
                .filter(|&goes_on| goes_on)
                .count()
        };
        // As eight threads make them, in pairs of the wrong order.
        let in_order = &mut (0..1000_u64).map(|number| (number ^ 1) * 100_000);
        assert_eq!(goes_on(in_order), 1000 - STREAK as usize + 1);
        let order = crate::order::epoch_order(0, 0, 1000);
        let shuffled = &mut order.into_iter().map(|number| u64::from(number) * 100_000);
        assert_eq!(goes_on(shuffled), 0);
    }
}
