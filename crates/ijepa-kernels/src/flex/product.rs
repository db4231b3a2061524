//! Matrix products on one thread and on all.

use std::{marker::PhantomData, mem::MaybeUninit};

use burn::tensor::FloatDType;
use gemm::Parallelism;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::narrow::{self, Format};
use super::{matrix::Matrix, pieces::piece};

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

/// What a product is added to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Onto<'a> {
    /// Nothing: the output is overwritten.
    Nothing,
    /// What the output holds.
    Output,
    /// This row, for every row of the output.
    Row(&'a [f32]),
}

impl Onto<'_> {
    pub(super) fn output_if(add: bool) -> Self {
        if add { Self::Output } else { Self::Nothing }
    }

    /// The part for at most `count` columns from column `first` on.
    fn some_cols(self, first: usize, count: usize) -> Self {
        match self {
            Self::Row(row) => Self::Row(&row[first..row.len().min(first + count)]),
            other => other,
        }
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
mod tests {
    use super::*;

    /// Backwards, and with a step between columns.
    #[test]
    fn a_matrix_may_lie_anyhow() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let matrix = Matrix::new(&values, 5, [2, 2], [-3, -2]);
        let unit = [1.0, 0.0, 0.0, 1.0];
        let mut found = [0.0; 4];
        let matrices = [matrix, Matrix::of_rows(&unit, 2)];
        product_here(&mut found, false, matrices, Operands::Exact);
        assert_eq!(found, [6.0, 4.0, 3.0, 1.0]);
    }

    /// Pieces that end inside of the last unit, on either side.
    #[test]
    fn pieces_make_the_product_of_one_thread() {
        for (rows, inner, cols) in [(500, 70, 97), (49, 300, 500), (97, 1, 9000), (1, 9000, 97)] {
            let value = |at: usize| (at * 7919 % 1000) as f32 / 1000.0 - 0.5;
            let lhs: Vec<f32> = (0..rows * inner).map(value).collect();
            let rhs: Vec<f32> = (0..cols * inner).map(value).collect();
            let matrices = [Matrix::of_rows(&lhs, inner), Matrix::of_rows(&rhs, cols)];
            let mut expected = vec![1.0; rows * cols];
            let mut found = expected.clone();
            product_here(&mut expected, true, matrices, Operands::Exact);
            add_product(&mut found, matrices, Operands::Exact);
            ijepa_testkit::assert_close("sum", &found, &expected, 1e-6);
            product_here(&mut expected, false, matrices, Operands::Exact);
            let mut found = Vec::with_capacity(rows * cols);
            let room = &mut found.spare_capacity_mut()[..rows * cols];
            product_into(room, matrices, None, Operands::Exact);
            // SAFETY: every value has been written.
            unsafe { found.set_len(rows * cols) };
            ijepa_testkit::assert_close("product", &found, &expected, 1e-6);
        }
    }

    fn noise(len: usize) -> Vec<f32> {
        let value = |at: usize| (at * 7919 % 1009) as f32 / 1009.0 - 0.5;
        (0..len).map(value).collect()
    }

    /// All ways in which operands lie: transposed or not, and with a step between values.
    fn operands(rows: usize, cols: usize, values: &[f32]) -> [Matrix<'_>; 3] {
        let (row, col) = (rows as isize, cols as isize);
        [
            Matrix::new(values, 0, [rows, cols], [col, 1]),
            Matrix::new(values, 0, [rows, cols], [1, row]),
            Matrix::new(values, 1, [rows, cols], [2 * col, 2]),
        ]
    }

    #[test]
    fn products_in_bf16_are_close_and_the_same_for_any_number_of_threads() {
        check_narrow(Operands::Bf16, 1e-2, multiplies_bf16());
    }

    #[test]
    fn products_in_8_bits_are_close_and_the_same_for_any_number_of_threads() {
        check_narrow(Operands::Int8, 2e-2, multiplies_int8());
    }

    /// One thread, pieces of two and of three, for inner dimensions of one block and of several.
    fn check_narrow(narrow: Operands, tolerance: f64, rounds: bool) {
        for (rows, inner, cols) in [(1, 1, 1), (17, 33, 49), (150, 64, 150), (97, 3200, 65)] {
            let (left, right) = (noise(2 * rows * inner + 1), noise(2 * inner * cols + 1));
            for lhs in operands(rows, inner, &left) {
                for rhs in operands(inner, cols, &right) {
                    let mut exact = vec![1.0; rows * cols];
                    product_here(&mut exact, true, [lhs, rhs], Operands::Exact);
                    let mut expected = vec![1.0; rows * cols];
                    product_here(&mut expected, true, [lhs, rhs], narrow);
                    ijepa_testkit::assert_close("narrow", &expected, &exact, tolerance);
                    let mut onto_row = vec![0.0; rows * cols];
                    let room = Output::of(&mut onto_row);
                    let row = vec![1.0; cols];
                    // SAFETY: the values are initialised and ours alone.
                    unsafe { room.write(0, cols, Onto::Row(&row), [lhs, rhs], narrow) };
                    assert_eq!(onto_row, expected);
                    let rounded = expected != exact;
                    assert!(rows == 1 || rounded == rounds, "rounding shows");
                    for threads in 1..=3 {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                        let mut found = vec![1.0; rows * cols];
                        pool.build().unwrap().install(|| {
                            add_product(&mut found, [lhs, rhs], narrow);
                        });
                        match rounds {
                            true => assert_eq!(found, expected, "{threads} threads"),
                            // `gemm` cuts sums by the size of a piece.
                            false => ijepa_testkit::assert_close("sum", &found, &expected, 1e-5),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_that_are_not_finite_stay_so_in_8_bits() {
        for spoilt in [f32::NAN, f32::INFINITY] {
            for side in 0..2 {
                let mut operands = [vec![1.0; 3 * 70], vec![1.0; 70 * 20]];
                operands[side][5] = spoilt;
                let [lhs, rhs] = &operands;
                let mut found = vec![0.0; 3 * 20];
                let matrices = [Matrix::of_rows(lhs, 70), Matrix::of_rows(rhs, 20)];
                product_here(&mut found, false, matrices, Operands::Int8);
                let lost = found.iter().filter(|value| !value.is_finite()).count();
                assert_eq!(lost, [20, 3][side], "{spoilt}");
            }
        }
    }
}
