//! The encoded images of a row group in memory.

use parquet::data_type::ByteArray;

/// The encoded images of one row group, in the pages that hold them: rows that name one image of a
/// dictionary share it.
#[derive(Debug)]
pub(super) struct Encoded {
    /// `None` for a row without an image.
    rows: Vec<Option<ByteArray>>,
    /// Bytes of the pages and of the rows.
    bytes: usize,
}

impl Encoded {
    /// Bytes that a row takes beside its image.
    pub(super) const ROW: usize = size_of::<Option<ByteArray>>();

    /// The images of `rows` in pages that take, with the rows, `bytes`.
    pub(super) fn new(rows: Vec<Option<ByteArray>>, bytes: usize) -> Self {
        Self { rows, bytes }
    }

    /// Bytes held in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The encoded image of a row, if it has one.
    pub(super) fn image(&self, row: usize) -> Option<&[u8]> {
        self.rows[row].as_ref().map(ByteArray::data)
    }
}
