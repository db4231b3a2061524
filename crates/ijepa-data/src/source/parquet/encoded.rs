//! The encoded images of a row group in memory.

use std::collections::HashSet;

use parquet::data_type::ByteArray;

/// The encoded images of one row group, in the pages that hold them: rows that name one image of a
/// dictionary share it.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// `None` for a row without an image.
    rows: Vec<Option<ByteArray>>,
    /// Bytes of different images, which are told apart by their addresses.
    bytes: usize,
    seen: HashSet<usize>,
}

impl Encoded {
    /// Bytes held in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + size_of_val(self.rows.as_slice())
    }

    /// The encoded image of a row, if it has one.
    pub(super) fn image(&self, row: usize) -> Option<&[u8]> {
        self.rows[row].as_ref().map(ByteArray::data)
    }

    pub(super) fn push(&mut self, image: Option<&ByteArray>) {
        if let Some(image) = image
            && self.seen.insert(image.data().as_ptr().addr())
        {
            self.bytes += image.len();
        }
        self.rows.push(image.cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_share_the_images_of_a_dictionary() {
        let image = ByteArray::from(vec![7; 1000]);
        let mut encoded = Encoded::default();
        encoded.push(None);
        (0..500).for_each(|_| encoded.push(Some(&image)));
        assert_eq!(encoded.image(0), None);
        assert_eq!(encoded.image(500), Some(image.data()));
        let rows = encoded.bytes() - 1000;
        assert!(rows < 501 * 100, "{rows} bytes of rows");
    }
}
