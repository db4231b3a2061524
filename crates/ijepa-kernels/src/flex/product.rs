//! Matrix products on one thread and on all.

use std::{marker::PhantomData, mem::MaybeUninit};

use burn::backend::flex::FlexTensor;
use gemm::Parallelism;
use rayon::prelude::*;

/// Multiplications that are worth another thread.
const WORTHWHILE: usize = 1 << 19;

/// Rows and columns of a piece are multiples of this, and so of every kernel's registers.
const UNIT: usize = 48;

/// A matrix whose values lie anyhow in a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    /// Index of the first element.
    start: usize,
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
}

impl<'a> Matrix<'a> {
    /// Elements of `values` from index `start` on, `strides` apart. They may be used repeatedly.
    ///
    /// # Panics
    ///
    /// Panics if an element lies outside of `values`.
    pub(super) fn new(
        values: &'a [f32],
        start: usize,
        [rows, cols]: [usize; 2],
        [row_stride, col_stride]: [isize; 2],
    ) -> Self {
        if rows > 0 && cols > 0 {
            let reach = [(rows, row_stride), (cols, col_stride)]
                .map(|(count, stride)| (count - 1) as isize * stride);
            let lowest = start as isize + reach.iter().map(|&reach| reach.min(0)).sum::<isize>();
            let highest = start as isize + reach.iter().map(|&reach| reach.max(0)).sum::<isize>();
            let inside = lowest >= 0 && highest < values.len() as isize;
            assert!(inside, "a matrix ends outside of its values");
        }
        Self {
            values,
            start,
            rows,
            cols,
            row_stride,
            col_stride,
        }
    }

    /// Rows of `cols` values one after another.
    pub(super) fn of_rows(values: &'a [f32], cols: usize) -> Self {
        let rows = values.len() / cols.max(1);
        Self::new(values, 0, [rows, cols], [cols as isize, 1])
    }

    /// A tensor of two dimensions, however it lies.
    pub(super) fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let strides = [layout.strides()[0], layout.strides()[1]];
        let shape = layout.shape().dims::<2>();
        Self::new(tensor.storage(), layout.start_offset(), shape, strides)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// At most `count` rows from row `first` on, which exists.
    fn some_rows(self, first: usize, count: usize) -> Self {
        assert!(first < self.rows, "a piece begins outside of a matrix");
        Self {
            start: self
                .start
                .strict_add_signed(first as isize * self.row_stride),
            rows: count.min(self.rows - first),
            ..self
        }
    }

    /// At most `count` columns from column `first` on, which exists.
    fn some_cols(self, first: usize, count: usize) -> Self {
        self.transposed().some_rows(first, count).transposed()
    }
}

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

    /// Writes `lhs rhs`, or adds it, on this thread: its first value is value `offset`, and rows
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
        add: bool,
        lhs: Matrix<'_>,
        rhs: Matrix<'_>,
    ) {
        assert_eq!(lhs.cols, rhs.rows, "inner dimensions of a matrix product");
        self.check(offset, stride, [lhs.rows, rhs.cols]);
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
pub(super) fn product_here(output: &mut [f32], add: bool, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    let (rows, cols) = (lhs.rows, rhs.cols);
    assert_eq!(output.len(), rows * cols, "output of a matrix product");
    // SAFETY: the values are initialised and borrowed by us alone.
    unsafe { Output::of(output).write(0, cols, add, lhs, rhs) }
}

/// `output = lhs rhs` on all cores; every value is written.
pub(super) fn product_into(output: &mut [MaybeUninit<f32>], lhs: Matrix<'_>, rhs: Matrix<'_>) {
    // SAFETY: nothing is added to what may not have been written.
    unsafe { product_everywhere(Output::new(output), false, lhs, rhs) }
}

/// `output += lhs rhs` on all cores.
pub(super) fn add_product(output: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>) {
    // SAFETY: the values are initialised.
    unsafe { product_everywhere(Output::of(output), true, lhs, rhs) }
}

/// `output = lhs rhs`, or `output += lhs rhs`, on all cores.
///
/// Each computes a piece of the output as a product of its own. Sharing packed operands instead
/// has cores wait for each other: products of long inner dimensions take a tenth more time.
///
/// # Safety
///
/// Nothing else reads or writes the output meanwhile, and if it is added to, it has been written.
unsafe fn product_everywhere(output: Output<'_>, add: bool, lhs: Matrix<'_>, rhs: Matrix<'_>) {
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
        let (lhs, rhs) = (lhs.some_rows(row, height), rhs.some_cols(col, width));
        // SAFETY: pieces do not overlap, and the caller vouches for all of the output.
        unsafe { output.write(row * cols + col, cols, add, lhs, rhs) }
    };
    match rows.div_ceil(height) * across {
        1 => write(0),
        pieces => (0..pieces).into_par_iter().for_each(write),
    }
}

/// Rows and columns of the pieces of an output for some cores: the grid that reads least.
fn piece(cores: usize, rows: usize, cols: usize) -> [usize; 2] {
    // Each row of the grid reads the whole right operand, each column the whole left one.
    let read = |&down: &usize| down * cols + cores / down * rows;
    let grids = (1..=cores).filter(|down| cores.is_multiple_of(*down));
    let down = grids.min_by_key(read).unwrap_or(1);
    let size = |len: usize, parts: usize| len.div_ceil(parts).next_multiple_of(UNIT);
    [size(rows, down), size(cols, cores / down)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_the_longer_side() {
        assert_eq!(piece(2, 3136, 1536), [1584, 1536]);
        assert_eq!(piece(2, 384, 1536), [384, 768]);
        assert_eq!(piece(16, 3136, 3136), [816, 816]);
        assert_eq!(piece(7, 10_000, 96), [1440, 96]);
    }

    #[test]
    #[should_panic(expected = "a matrix ends outside of its values")]
    fn a_matrix_lies_inside_of_its_values() {
        Matrix::new(&[0.0; 6], 1, [2, 3], [3, 1]);
    }

    #[test]
    #[should_panic(expected = "a matrix ends outside of its values")]
    fn a_matrix_that_goes_backwards_does_too() {
        Matrix::new(&[0.0; 6], 2, [2, 3], [-3, 1]);
    }

    /// Backwards, and with a step between columns.
    #[test]
    fn a_matrix_may_lie_anyhow() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let matrix = Matrix::new(&values, 5, [2, 2], [-3, -2]);
        let unit = [1.0, 0.0, 0.0, 1.0];
        let mut found = [0.0; 4];
        product_here(&mut found, false, matrix, Matrix::of_rows(&unit, 2));
        assert_eq!(found, [6.0, 4.0, 3.0, 1.0]);
    }

    /// Pieces that end inside of the last unit, on either side.
    #[test]
    fn pieces_make_the_product_of_one_thread() {
        for (rows, inner, cols) in [(500, 70, 97), (49, 300, 500), (97, 1, 9000), (1, 9000, 97)] {
            let value = |at: usize| (at * 7919 % 1000) as f32 / 1000.0 - 0.5;
            let lhs: Vec<f32> = (0..rows * inner).map(value).collect();
            let rhs: Vec<f32> = (0..cols * inner).map(value).collect();
            let (lhs, rhs) = (Matrix::of_rows(&lhs, inner), Matrix::of_rows(&rhs, cols));
            let mut expected = vec![1.0; rows * cols];
            let mut found = expected.clone();
            product_here(&mut expected, true, lhs, rhs);
            add_product(&mut found, lhs, rhs);
            ijepa_testkit::assert_close("sum", &found, &expected, 1e-6);
            product_here(&mut expected, false, lhs, rhs);
            let mut found = Vec::with_capacity(rows * cols);
            product_into(&mut found.spare_capacity_mut()[..rows * cols], lhs, rhs);
            // SAFETY: every value has been written.
            unsafe { found.set_len(rows * cols) };
            ijepa_testkit::assert_close("product", &found, &expected, 1e-6);
        }
    }
}
