//! Matrices whose values lie anyhow.

use burn::backend::flex::FlexTensor;

/// A matrix whose values lie anyhow in a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    /// Index of the first element.
    pub(super) start: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: isize,
    pub(super) col_stride: isize,
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

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Where the element of a row and a column lies.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn place(&self, row: usize, col: usize) -> *const f32 {
        let offset = row as isize * self.row_stride + col as isize * self.col_stride;
        self.values
            .as_ptr()
            .wrapping_add(self.start)
            .wrapping_offset(offset)
    }

    /// The element of a row and a column.
    #[cfg(any(test, target_arch = "x86_64"))]
    pub(super) fn value(&self, row: usize, col: usize) -> f32 {
        let offset = row as isize * self.row_stride + col as isize * self.col_stride;
        self.values[self.start.strict_add_signed(offset)]
    }

    /// At most `count` rows from row `first` on, which exists.
    pub(super) fn some_rows(self, first: usize, count: usize) -> Self {
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
    pub(super) fn some_cols(self, first: usize, count: usize) -> Self {
        self.transposed().some_rows(first, count).transposed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
