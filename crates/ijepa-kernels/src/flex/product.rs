//! Matrix products on one thread and on all.

use std::{marker::PhantomData, mem::MaybeUninit};

use burn::tensor::FloatDType;
use gemm::Parallelism;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::{
    avx2,
    narrow::{self, Format},
};
use super::{
    matrix::Matrix,
    onto::Onto,
    pieces::{FEW, piece},
};

/// How a product takes its operands; it sums in f32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    /// As they are.
    Exact,
    /// Rounded to bf16 where the processor multiplies such numbers, else as they are.
    Bf16,
    /// Rounded to 8 bits, each row of the left and each column of the right one with a scale of its
    /// own, where the processor multiplies such numbers, else as they are.
    Int8,
}

impl Operands {
    /// Those of products in `dtype`.
    pub(super) fn of(dtype: Option<FloatDType>) -> Self {
        match dtype {
            Some(FloatDType::BF16) => Self::Bf16,
            _ => Self::Exact,
        }
    }

    /// What this processor rounds them to.
    #[cfg(target_arch = "x86_64")]
    fn format(self) -> Option<Format> {
        let format = match self {
            Self::Exact => return None,
            Self::Bf16 => Format::Bf16,
            Self::Int8 => Format::Int8,
        };
        format.is_supported().then_some(format)
    }
}

/// Whether this processor multiplies bf16 numbers: x86-64 with AVX512-BF16.
pub(crate) fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Format::Bf16.is_supported();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether this processor multiplies numbers of 8 bits: x86-64 with AVX512-VNNI.
pub(crate) fn multiplies_int8() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Format::Int8.is_supported();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether products in f32 are fastest by [`avx2`]; with wider vectors `gemm` is as fast.
#[cfg(target_arch = "x86_64")]
fn multiplies_by_avx2() -> bool {
    avx2::is_supported() && !is_x86_feature_detected!("avx512f")
}

/// Multiplications that are worth another thread.
const WORTHWHILE: usize = 1 << 19;

/// An output that several tasks write, each its own part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output<'a> {
    start: *mut f32,
    len: usize,
    values: PhantomData<&'a mut [f32]>,
}

// SAFETY: whoever writes vouches that no other task writes the same values.
unsafe impl Send for Output<'_> {}
// SAFETY: as above.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    pub(super) fn new(values: &'a mut [MaybeUninit<f32>]) -> Self {
        Self {
            start: values.as_mut_ptr().cast(),
            len: values.len(),
            values: PhantomData,
        }
    }

    fn of(values: &'a mut [f32]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            len: values.len(),
            values: PhantomData,
        }
    }

    /// Writes the product of two matrices on this thread: its first value is value `offset`, and rows
    /// are `stride` apart.
    ///
    /// # Panics
    ///
    /// Panics if the sizes do not fit each other or the output.
    ///
    /// # Safety
    ///
    /// Nothing else reads or writes these values meanwhile, and what is added to has been written
    /// before.
    pub(super) unsafe fn write(
        self,
        offset: usize,
        stride: usize,
        onto: Onto<'_>,
        [lhs, rhs]: [Matrix<'_>; 2],
        operands: Operands,
    ) {
        assert_eq!(lhs.cols, rhs.rows, "inner dimensions of a matrix product");
        self.check(offset, stride, [lhs.rows, rhs.cols]);
        if let Onto::Row(row) = onto {
            assert_eq!(row.len(), rhs.cols, "a row for all rows of a product");
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(format) = operands.format().filter(|_| lhs.cols > 0) {
            // SAFETY: the processor can, and the output has room and is ours.
            return unsafe {
                narrow::multiply(self.start.add(offset), stride, onto, [lhs, rhs], format);
            };
        }
        #[cfg(target_arch = "x86_64")]
        if multiplies_by_avx2() && lhs.cols > 0 && lhs.rows.min(rhs.cols) >= FEW {
            // SAFETY: as above, and no dimension is 0.
            return unsafe {
                avx2::multiply(self.start.add(offset), stride, onto, [lhs, rhs]);
            };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = operands;
        if let Onto::Row(row) = onto {
            for index in 0..lhs.rows {
                // SAFETY: the output has room and is ours.
                unsafe {
                    let place = self.start.add(offset + index * stride);
                    place.copy_from_nonoverlapping(row.as_ptr(), row.len());
                }
            }
        }
        let add = !matches!(onto, Onto::Nothing);
        // SAFETY: the output has room and is ours, as the caller vouches, and the elements of the
        // matrices lie in their slices, as was checked when they were made.
        unsafe {
            gemm::gemm(
                lhs.rows,
                rhs.cols,
                lhs.cols,
                self.start.add(offset),
                1,
                stride as isize,
                add,
                lhs.values.as_ptr().add(lhs.start),
                lhs.col_stride,
                lhs.row_stride,
                rhs.values.as_ptr().add(rhs.start),
                rhs.col_stride,
                rhs.row_stride,
                1.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }

    /// Zeroes `rows` rows of `cols` values, the first value `offset` and rows `stride` apart.
    ///
    /// # Panics
    ///
    /// Panics if they do not fit the output.
    ///
    /// # Safety
    ///
    /// Nothing else reads or writes these values meanwhile.
    pub(super) unsafe fn clear(self, offset: usize, stride: usize, [rows, cols]: [usize; 2]) {
        self.check(offset, stride, [rows, cols]);
        for row in 0..rows {
            // SAFETY: the output has room and is ours; zero bytes are a valid f32.
            unsafe {
                self.start.add(offset + row * stride).write_bytes(0, cols);
            }
        }
    }

    fn check(self, offset: usize, stride: usize, [rows, cols]: [usize; 2]) {
        assert!(rows <= 1 || stride >= cols, "rows of an output overlap");
        let end = offset + rows.saturating_sub(1) * stride + cols;
        assert!(end <= self.len, "a part ends outside of the output");
    }
}

/// `output = lhs rhs`, or `output += lhs rhs`, on this thread.
pub(super) fn product_here(
    output: &mut [f32],
    add: bool,
    [lhs, rhs]: [Matrix<'_>; 2],
    operands: Operands,
) {
    let (rows, cols) = (lhs.rows, rhs.cols);
    assert_eq!(output.len(), rows * cols, "output of a matrix product");
    // SAFETY: the values are initialised and borrowed by us alone.
    unsafe { Output::of(output).write(0, cols, Onto::output_if(add), [lhs, rhs], operands) }
}

/// `output = lhs rhs` on all cores, plus `bias` in every row if there is one; every value is
/// written.
pub(super) fn product_into(
    output: &mut [MaybeUninit<f32>],
    matrices: [Matrix<'_>; 2],
    bias: Option<&[f32]>,
    operands: Operands,
) {
    let onto = bias.map_or(Onto::Nothing, Onto::Row);
    // SAFETY: nothing is added to what may not have been written.
    unsafe { product_everywhere(Output::new(output), onto, matrices, operands) }
}

/// `output += lhs rhs` on all cores.
pub(super) fn add_product(output: &mut [f32], matrices: [Matrix<'_>; 2], operands: Operands) {
    // SAFETY: the values are initialised.
    unsafe { product_everywhere(Output::of(output), Onto::Output, matrices, operands) }
}

/// The product of two matrices on all cores.
///
/// Each computes a piece of the output as a product of its own. Sharing packed operands instead
/// has cores wait for each other: products of long inner dimensions take a tenth more time.
///
/// # Safety
///
/// Nothing else reads or writes the output meanwhile, and if it is added to, it has been written.
unsafe fn product_everywhere(
    output: Output<'_>,
    onto: Onto<'_>,
    [lhs, rhs]: [Matrix<'_>; 2],
    operands: Operands,
) {
    let (rows, cols) = (lhs.rows, rhs.cols);
    assert_eq!(output.len, rows * cols, "output of a matrix product");
    let cores = match rows * cols * lhs.cols {
        ..WORTHWHILE => 1,
        _ => rayon::current_num_threads(),
    };
    let [height, width] = if cores == 1 {
        [rows, cols]
    } else {
        piece(cores, rows, cols)
    };
    let across = cols.div_ceil(width);
    let write = |number: usize| {
        let (row, col) = (number / across * height, number % across * width);
        let parts = [lhs.some_rows(row, height), rhs.some_cols(col, width)];
        let onto = onto.some_cols(col, width);
        // SAFETY: pieces do not overlap, and the caller vouches for all of the output.
        unsafe { output.write(row * cols + col, cols, onto, parts, operands) }
    };
    match rows.div_ceil(height) * across {
        1 => write(0),
        pieces => (0..pieces).into_par_iter().for_each(write),
    }
}

#[cfg(test)]
mod tests;
