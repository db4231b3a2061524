//! A column chunk in memory.

use bytes::Bytes;
use bytes::buf::Reader;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Bytes of a file, which are asked for by their place in it.
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
    /// Bytes of its pages when they are decoded.
    pub(super) decoded: usize,
}

impl Chunk {
    /// The place in `bytes` of a place in the file.
    fn place(&self, start: u64) -> Result<u64> {
        let place = start.checked_sub(self.start);
        place.ok_or_else(|| ParquetError::EOF("a page before its column".to_owned()))
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.bytes.get_read(self.place(start)?)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.bytes.get_bytes(self.place(start)?, length)
    }
}
