//! Operands rounded to bf16 in the order in which the tiles read them.

use std::{
    arch::x86_64::{
        __m512, __m512i, _mm512_cvtne2ps_pbh, _mm512_permutexvar_epi16, _mm512_setzero_ps,
        _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32,
        _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    },
    mem::transmute,
};

use super::{LANES, Strides, load, pitch};
use crate::flex::matrix::Matrix;

/// 32 values in bf16, `low` first.
#[target_feature(enable = "avx512f,avx512bf16")]
fn round(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both are 512 bits.
    unsafe { transmute(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Pairs of neighbours among the first `count` values from `place` on, at most a vector, then
/// zeroes.
///
/// # Safety
///
/// The values are there.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pairs_of_row(place: *const f32, count: usize) -> __m512i {
    let more = place.wrapping_add(LANES);
    // SAFETY: the caller vouches for the values.
    unsafe { round(load(place, count), load(more, count.saturating_sub(LANES))) }
}

/// Packs the rows of a left operand as they lie.
///
/// # Safety
///
/// There is room for `rows` rounded up to the lanes, `pitch` apart.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_rows(matrix: Matrix<'_>, packed: *mut u32) -> Strides {
    if matrix.row_stride == 1 {
        // SAFETY: pairs take less room than rows `pitch` apart.
        unsafe { pack_panels(matrix, packed, LANES) };
        return Strides {
            row: 1,
            step: LANES,
        };
    }
    let pitch = pitch(matrix.cols.div_ceil(2));
    for row in 0..matrix.rows {
        for col in (0..matrix.cols).step_by(2 * LANES) {
            // SAFETY: the values are there, and the caller vouches for the room.
            unsafe {
                let pairs = pairs_of_row(matrix.place(row, col), matrix.cols - col);
                _mm512_storeu_si512(packed.add(row * pitch + col / 2).cast(), pairs);
            }
        }
    }
    Strides {
        row: pitch,
        step: 1,
    }
}

/// Packs rows in panels of `width`, a multiple of the lanes, the rows of a pair side by side; the
/// last panel is as wide as it must be.
///
/// # Safety
///
/// There is room for all pairs of `rows` rounded up to the lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_panels(matrix: Matrix<'_>, packed: *mut u32, width: usize) {
    let pairs = matrix.cols.div_ceil(2);
    for first in (0..matrix.rows).step_by(width) {
        let rows = matrix.some_rows(first, width);
        // SAFETY: a panel has room for its rows.
        unsafe {
            let panel = packed.add(first * pairs);
            match matrix.row_stride {
                1 => pack_beside(rows, panel),
                _ => pack_across(rows, panel),
            }
        }
    }
}

/// A panel of rows that lie side by side.
///
/// # Safety
///
/// There is room for all pairs of `rows` rounded up to the lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_beside(matrix: Matrix<'_>, panel: *mut u32) {
    let width = matrix.rows.next_multiple_of(LANES);
    // One of the first half, one of the second.
    let order: [u16; 2 * LANES] = std::array::from_fn(|at| (at / 2 + at % 2 * LANES) as u16);
    // SAFETY: both are 512 bits.
    let order = unsafe { transmute::<[u16; 2 * LANES], __m512i>(order) };
    for col in (0..matrix.cols).step_by(2) {
        for row in (0..matrix.rows).step_by(LANES) {
            let count = matrix.rows - row;
            // SAFETY: the values are there, and the caller vouches for the room.
            unsafe {
                let low = load(matrix.place(row, col), count);
                let high = match col + 1 < matrix.cols {
                    true => load(matrix.place(row, col + 1), count),
                    false => _mm512_setzero_ps(),
                };
                let pairs = _mm512_permutexvar_epi16(order, round(low, high));
                _mm512_storeu_si512(panel.add(col / 2 * width + row).cast(), pairs);
            }
        }
    }
}

/// A panel of rows each of which lies in order.
///
/// # Safety
///
/// There is room for all pairs of `rows` rounded up to the lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_across(matrix: Matrix<'_>, panel: *mut u32) {
    let width = matrix.rows.next_multiple_of(LANES);
    for row in (0..matrix.rows).step_by(LANES) {
        for col in (0..matrix.cols).step_by(2 * LANES) {
            let mut lines = [_mm512_setzero_si512(); LANES];
            let rest = matrix.cols - col;
            for (index, line) in lines.iter_mut().enumerate().take(matrix.rows - row) {
                // SAFETY: the values are there.
                *line = unsafe { pairs_of_row(matrix.place(row + index, col), rest) };
            }
            let columns = transpose(lines).into_iter().take(rest.div_ceil(2));
            for (index, pairs) in columns.enumerate() {
                // SAFETY: the caller vouches for the room.
                unsafe {
                    let place = panel.add((col / 2 + index) * width + row);
                    _mm512_storeu_si512(place.cast(), pairs);
                }
            }
        }
    }
}

/// Columns of 16 rows of 32-bit elements.
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    let zero = _mm512_setzero_si512();
    let (mut twos, mut fours, mut eights, mut columns) =
        ([zero; LANES], [zero; LANES], [zero; LANES], [zero; LANES]);
    for i in (0..LANES).step_by(2) {
        twos[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        twos[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for i in (0..LANES).step_by(4) {
        for j in 0..2 {
            fours[i + 2 * j] = _mm512_unpacklo_epi64(twos[i + j], twos[i + j + 2]);
            fours[i + 2 * j + 1] = _mm512_unpackhi_epi64(twos[i + j], twos[i + j + 2]);
        }
    }
    // `fours[4 i + j]` holds the columns j, j + 4, j + 8 and j + 12 of the rows 4 i to 4 i + 3.
    for j in 0..4 {
        for i in (0..LANES).step_by(8) {
            eights[i + j] = _mm512_shuffle_i32x4::<0x88>(fours[i + j], fours[i + j + 4]);
            eights[i + j + 4] = _mm512_shuffle_i32x4::<0xdd>(fours[i + j], fours[i + j + 4]);
        }
        columns[j] = _mm512_shuffle_i32x4::<0x88>(eights[j], eights[j + 8]);
        columns[j + 8] = _mm512_shuffle_i32x4::<0xdd>(eights[j], eights[j + 8]);
        columns[j + 4] = _mm512_shuffle_i32x4::<0x88>(eights[j + 4], eights[j + 12]);
        columns[j + 12] = _mm512_shuffle_i32x4::<0xdd>(eights[j + 4], eights[j + 12]);
    }
    columns
}
