//! Tensors as views of their storage: checks, and reading them in row-major order.

use std::io::{self, BufReader, Read, SeekFrom};

use super::container::{ReadSeek, read_exactly};
use super::error::TorchErrorKind;
use super::value::TensorMeta;

/// An axis of more than one element, with both strides in elements.
#[derive(Debug, Clone, Copy)]
struct Axis {
    size: usize,
    stored: usize,
    row_major: usize,
}

/// A tensor that is known to lie inside its storage.
#[derive(Debug)]
pub(super) struct View {
    axes: Vec<Axis>,
    element: usize,
    offset: usize,
    numel: usize,
}

impl View {
    /// Checks a tensor against the size in bytes of the entry that holds its storage.
    pub(super) fn new(meta: &TensorMeta, entry_size: u64) -> Result<Self, TorchErrorKind> {
        let element = meta.dtype.size();
        // A storage may end in a part of an element if it was made from bytes.
        let fits =
            usize::try_from(entry_size).is_ok_and(|size| size / element == meta.storage_numel);
        if !fits {
            return Err(TorchErrorKind::StorageSize {
                key: meta.storage_key.to_string(),
                found: entry_size,
                numel: meta.storage_numel,
                element,
            });
        }
        let numel = meta.numel().ok_or_else(|| outside(meta))?;
        let offset = meta.storage_offset;
        if numel == 0 {
            return Ok(Self {
                axes: Vec::new(),
                element,
                offset: 0,
                numel,
            });
        }

        let mut axes = Vec::new();
        let mut row_major = 1;
        let mut last = Some(offset);
        for (&size, &stored) in meta.shape.iter().zip(&meta.stride).rev() {
            if size == 1 {
                continue;
            }
            axes.push(Axis {
                size,
                stored,
                row_major,
            });
            // The product cannot overflow, because it divides the number of elements.
            row_major *= size;
            let reach = stored.checked_mul(size - 1);
            last = last
                .zip(reach)
                .and_then(|(last, reach)| last.checked_add(reach));
        }
        let last = last
            .filter(|&last| last < meta.storage_numel)
            .ok_or_else(|| outside(meta))?;
        // A view with more elements than the stretch it covers repeats some of them.
        // An honest one comes from `expand`; a hostile one would ask for more than the file holds.
        if axes.iter().any(|axis| axis.stored == 0) || numel > last - offset + 1 {
            return Err(TorchErrorKind::Expanded {
                key: meta.storage_key.to_string(),
                shape: meta.shape.clone(),
                stride: meta.stride.clone(),
            });
        }
        Ok(Self {
            axes,
            element,
            offset,
            numel,
        })
    }

    /// Bytes of the tensor.
    ///
    /// This cannot overflow, because the tensor is no larger than its storage.
    pub(super) fn byte_length(&self) -> usize {
        self.numel * self.element
    }

    /// Whether the elements lie in the storage as they will be returned.
    fn is_contiguous(&self) -> bool {
        self.axes.iter().all(|axis| axis.stored == axis.row_major)
    }

    /// Whether the tensor is just the whole entry of `entry_size` bytes.
    pub(super) fn is_whole(&self, entry_size: u64) -> bool {
        self.is_contiguous() && self.offset == 0 && self.byte_length() as u64 == entry_size
    }

    /// Reads the tensor in row-major order from its storage.
    pub(super) fn read(&self, storage: &mut dyn ReadSeek) -> io::Result<Vec<u8>> {
        if self.is_contiguous() {
            storage.seek(SeekFrom::Start((self.offset * self.element) as u64))?;
            return read_exactly(storage, self.byte_length() as u64);
        }
        self.gather(storage)
    }

    /// Walks the stored elements in rising order, so that the file is read forwards, and puts
    /// each where it belongs.
    fn gather(&self, storage: &mut dyn ReadSeek) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(self.byte_length())
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(self.byte_length(), 0);

        let mut axes = self.axes.clone();
        axes.sort_by_key(|axis| std::cmp::Reverse(axis.stored));
        // Neighbours along the innermost axis are read at once if they are neighbours in the file.
        let run = axes.pop_if(|axis| axis.stored == 1).unwrap_or(Axis {
            size: 1,
            stored: 1,
            row_major: 1,
        });
        let mut buffer = vec![0; run.size * self.element];
        let mut reader = BufReader::new(storage);
        let mut read_to = 0;
        let mut index = vec![0; axes.len()];
        loop {
            let place = |stride: fn(&Axis) -> usize| -> usize {
                axes.iter()
                    .zip(&index)
                    .map(|(axis, index)| stride(axis) * index)
                    .sum()
            };
            let source = (self.offset + place(|axis| axis.stored)) * self.element;
            let target = place(|axis| axis.row_major);
            reader.seek_relative(source as i64 - read_to as i64)?;
            reader.read_exact(&mut buffer)?;
            read_to = source + buffer.len();
            for (step, element) in buffer.chunks_exact(self.element).enumerate() {
                let start = (target + step * run.row_major) * self.element;
                bytes[start..start + self.element].copy_from_slice(element);
            }
            if !advance(&mut index, &axes) {
                return Ok(bytes);
            }
        }
    }
}

/// Counts `index` up, the last axis fastest; `false` after the last combination.
fn advance(index: &mut [usize], axes: &[Axis]) -> bool {
    for (index, axis) in index.iter_mut().zip(axes).rev() {
        *index += 1;
        if *index < axis.size {
            return true;
        }
        *index = 0;
    }
    false
}

fn outside(meta: &TensorMeta) -> TorchErrorKind {
    TorchErrorKind::TensorOutside {
        key: meta.storage_key.to_string(),
        shape: meta.shape.clone(),
        stride: meta.stride.clone(),
        offset: meta.storage_offset,
        numel: meta.storage_numel,
    }
}
