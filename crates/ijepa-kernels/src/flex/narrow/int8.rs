//! Operands as whole numbers of 8 bits in the order in which the tiles read them.
//!
//! A row of the left operand is `least + step * u` with `u` from 0 to 255, a column of the right
//! one `unit * q` with `q` from -127 to 127, so their product is
//! `unit * (step * sum(u q) + least * sum(q))`. Whatever is not finite makes a scale that is not.

use std::arch::x86_64::{
    __m128i, __m512, _mm_storeu_si128, _mm512_abs_ps, _mm512_add_epi32, _mm512_add_ps,
    _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_cvtusepi32_epi8,
    _mm512_loadu_ps, _mm512_mask_max_ps, _mm512_mask_min_ps, _mm512_max_epi32, _mm512_max_ps,
    _mm512_mul_ps, _mm512_or_si512, _mm512_reduce_add_ps, _mm512_reduce_max_ps,
    _mm512_reduce_min_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
};

use super::{LANES, VECTORS, first_lanes, load, pitch};
use crate::flex::matrix::Matrix;

/// Neighbours along the inner dimension that are one step.
const PER_STEP: usize = 4;

/// How a packed row is brought back to scale.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scale {
    pub(super) least: f32,
    pub(super) step: f32,
}

/// Scales of the packed rows of the left operand.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Scale>);

impl Rows {
    pub(super) fn scale(&self, row: usize) -> Scale {
        self.0[row]
    }

    /// Packs rows, each in order.
    ///
    /// # Safety
    ///
    /// There is room for the rows, `pitch` apart.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn pack(&mut self, matrix: Matrix<'_>, packed: *mut u32) {
        let pitch = pitch(matrix.cols.div_ceil(PER_STEP));
        self.0.clear();
        for row in 0..matrix.rows {
            // SAFETY: the values are there, and the caller vouches for the room.
            unsafe {
                let (values, bytes) = (matrix.place(row, 0), packed.add(row * pitch).cast());
                self.0.push(round(values, matrix.cols, bytes));
            }
        }
    }
}

/// Writes `count` values as bytes, and up to a whole vector what stands for 0, which meets zeros of
/// the weights.
///
/// # Safety
///
/// The values and the room are there.
#[target_feature(enable = "avx512f")]
unsafe fn round(values: *const f32, count: usize, bytes: *mut u8) -> Scale {
    let [mut least, mut most] = [f32::INFINITY, f32::NEG_INFINITY].map(|it| _mm512_set1_ps(it));
    let mut sum = _mm512_set1_ps(0.0);
    for at in (0..count).step_by(LANES) {
        // SAFETY: the caller vouches for the values.
        let x = unsafe { load(values.add(at), count - at) };
        let lanes = first_lanes(count - at);
        least = _mm512_mask_min_ps(least, lanes, least, x);
        most = _mm512_mask_max_ps(most, lanes, most, x);
        sum = _mm512_add_ps(sum, x);
    }
    let (least, most) = (_mm512_reduce_min_ps(least), _mm512_reduce_max_ps(most));
    let width = most - least;
    // Comparisons forget what is no number, sums do not.
    if !(width + _mm512_reduce_add_ps(sum)).is_finite() {
        let (least, step) = (f32::NAN, f32::NAN);
        return Scale { least, step };
    }
    let (first, per_step) = (
        _mm512_set1_ps(least),
        _mm512_set1_ps(255.0 / width.max(1e-30)),
    );
    for at in (0..count).step_by(LANES) {
        // SAFETY: the caller vouches for values and room, which is for whole vectors.
        unsafe {
            let x = load(values.add(at), count - at);
            let whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(x, first), per_step));
            let whole = _mm512_max_epi32(whole, _mm512_setzero_si512());
            let narrow: __m128i = _mm512_cvtusepi32_epi8(whole);
            _mm_storeu_si128(bytes.add(at).cast(), narrow);
        }
    }
    let step = width.max(1e-30) / 255.0;
    Scale { least, step }
}

/// Scales of the packed columns of the right operand.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// A vector of units, then one of sums of the whole numbers, for every vector of columns.
    scales: Vec<[f32; 2 * LANES]>,
}

impl Columns {
    /// Units, and sums of the whole numbers, of the vector of columns that begins with `col`.
    #[target_feature(enable = "avx512f")]
    pub(super) fn scales(&self, col: usize) -> (__m512, __m512) {
        let scales = &self.scales[col / LANES];
        // SAFETY: it holds two vectors.
        unsafe {
            let first = scales.as_ptr();
            (_mm512_loadu_ps(first), _mm512_loadu_ps(first.add(LANES)))
        }
    }

    /// Packs columns of a matrix whose rows are in order, in panels as wide as tiles; the last is
    /// as wide as it must be.
    ///
    /// # Safety
    ///
    /// There is room for all steps of columns rounded up to the lanes.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn pack(&mut self, matrix: Matrix<'_>, packed: *mut u32) {
        let steps = matrix.rows.div_ceil(PER_STEP);
        self.scales.clear();
        for first in (0..matrix.cols).step_by(VECTORS * LANES) {
            let panel = matrix.some_cols(first, VECTORS * LANES);
            let width = panel.cols.next_multiple_of(LANES);
            for col in (0..panel.cols).step_by(LANES) {
                let columns = panel.some_cols(col, LANES);
                // SAFETY: a panel has room for its columns.
                unsafe {
                    let place = packed.add(first * steps + col);
                    self.scales.push(pack_columns(columns, place, width));
                }
            }
        }
    }
}

/// Packs at most a vector of columns, steps `width` apart; their units and sums.
///
/// # Safety
///
/// The room is there.
#[target_feature(enable = "avx512f")]
unsafe fn pack_columns(matrix: Matrix<'_>, place: *mut u32, width: usize) -> [f32; 2 * LANES] {
    let mut largest = _mm512_set1_ps(0.0);
    let mut spoilt = _mm512_set1_ps(0.0);
    for row in 0..matrix.rows {
        // SAFETY: the values are there.
        let x = unsafe { load(matrix.place(row, 0), matrix.cols) };
        largest = _mm512_max_ps(largest, _mm512_abs_ps(x));
        // Zero, unless a value is not finite: comparisons forget what is no number.
        spoilt = _mm512_add_ps(spoilt, _mm512_sub_ps(x, x));
    }
    let largest = _mm512_max_ps(largest, _mm512_set1_ps(1e-30));
    let mut scales = [0.0; 2 * LANES];
    // SAFETY: it holds two vectors.
    unsafe { _mm512_storeu_ps(scales.as_mut_ptr(), largest) };
    let per_unit: [f32; LANES] = std::array::from_fn(|lane| 127.0 / scales[lane]);
    // SAFETY: it is a vector.
    let per_unit = unsafe { _mm512_loadu_ps(per_unit.as_ptr()) };
    let mut sums = _mm512_setzero_si512();
    for row in (0..matrix.rows).step_by(PER_STEP) {
        let mut step = _mm512_setzero_si512();
        for part in (0..PER_STEP.min(matrix.rows - row)).rev() {
            // SAFETY: the values are there.
            let x = unsafe { load(matrix.place(row + part, 0), matrix.cols) };
            let whole = _mm512_cvtps_epi32(_mm512_mul_ps(x, per_unit));
            sums = _mm512_add_epi32(sums, whole);
            let byte = _mm512_and_si512(whole, _mm512_set1_epi32(0xff));
            step = _mm512_or_si512(_mm512_slli_epi32::<8>(step), byte);
        }
        // SAFETY: the caller vouches for the room.
        unsafe { _mm512_storeu_si512(place.add(row / PER_STEP * width).cast(), step) };
    }
    let unit = _mm512_mul_ps(largest, _mm512_set1_ps(1.0 / 127.0));
    // SAFETY: it holds two vectors.
    unsafe {
        let first = scales.as_mut_ptr();
        _mm512_storeu_ps(first, _mm512_add_ps(unit, spoilt));
        _mm512_storeu_ps(first.add(LANES), _mm512_cvtepi32_ps(sums));
    }
    scales
}
