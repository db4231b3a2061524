//! Matrix products of operands rounded to bf16, with sums in f32, on processors with AVX512-BF16.
//!
//! The usual order of loops (Goto and van de Geijn 2008): a block of the right operand is packed
//! into panels as wide as the registers, then blocks of the left one, each converted on the way.
//! Pairs of neighbours along the inner dimension are one 32-bit element, as the instruction
//! wants them.

use std::{
    arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps,
        _mm512_loadu_si512, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16,
        _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4,
        _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
        _mm512_unpacklo_epi64,
    },
    cell::RefCell,
    mem::transmute,
};

use super::matrix::Matrix;

/// Elements of a vector register.
const LANES: usize = 16;

/// Rows of the output that are summed in registers.
const ROWS: usize = 8;

/// Vectors of columns that are summed in registers.
const VECTORS: usize = 3;

/// Rows of the left operand in one block, a multiple of [`LANES`].
const BLOCK_ROWS: usize = 128;

/// Longest inner dimension of a block; a multiple of twice the lanes.
const BLOCK_INNER: usize = 1536;

/// Pairs as they lie in a register.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Pairs([u32; LANES]);

thread_local! {
    /// Packed blocks of both operands.
    static PACKED: RefCell<[Vec<Pairs>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Whether this processor has the instructions.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// Where packed rows of the left operand lie: steps from row to row and from pair to pair.
#[derive(Debug, Clone, Copy)]
struct Steps {
    row: usize,
    pair: usize,
}

/// `output = lhs rhs`, or `output += lhs rhs`, rows of the output `stride` apart.
///
/// The sum of an element is taken in an order that depends on the inner dimension alone.
///
/// # Safety
///
/// The processor [has the instructions](is_supported), the output has room, and nothing else reads
/// or writes it meanwhile.
pub(super) unsafe fn multiply(
    output: *mut f32,
    stride: usize,
    add: bool,
    [lhs, rhs]: [Matrix<'_>; 2],
) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let (lhs, rhs) = (in_order(lhs, &mut left), in_order(rhs, &mut right));
    PACKED.with_borrow_mut(|packed| {
        let inner = lhs.cols;
        let longest = inner
            .div_ceil(inner.div_ceil(BLOCK_INNER))
            .next_multiple_of(2);
        for first in (0..inner).step_by(longest) {
            let size = longest.min(inner - first);
            let [lhs, rhs] = [lhs.some_cols(first, size), rhs.some_rows(first, size)];
            // SAFETY: the caller vouches for processor and output.
            unsafe { multiply_block(output, stride, add || first > 0, [lhs, rhs], packed) }
        }
    });
}

/// `matrix`, in `copy` unless its rows or columns lie in order.
fn in_order<'a>(matrix: Matrix<'a>, copy: &'a mut Vec<f32>) -> Matrix<'a> {
    if matrix.row_stride == 1 || matrix.col_stride == 1 {
        return matrix;
    }
    for row in 0..matrix.rows {
        for col in 0..matrix.cols {
            let place = row as isize * matrix.row_stride + col as isize * matrix.col_stride;
            copy.push(matrix.values[matrix.start.strict_add_signed(place)]);
        }
    }
    Matrix::of_rows(copy, matrix.cols)
}

/// The product of a block of the inner dimension.
///
/// # Safety
///
/// As [`multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn multiply_block(
    output: *mut f32,
    stride: usize,
    add: bool,
    [lhs, rhs]: [Matrix<'_>; 2],
    [packed_lhs, packed_rhs]: &mut [Vec<Pairs>; 2],
) {
    let pairs = lhs.cols.div_ceil(2);
    let block_rows = BLOCK_ROWS.min(lhs.rows).next_multiple_of(LANES);
    let left = room(packed_lhs, block_rows * pitch(pairs));
    let right = room(packed_rhs, rhs.cols.next_multiple_of(LANES) * pairs);
    // SAFETY: there is room for all columns.
    unsafe { pack_panels(rhs.transposed(), right, VECTORS * LANES) };
    for row in (0..lhs.rows).step_by(BLOCK_ROWS) {
        let block = lhs.some_rows(row, BLOCK_ROWS);
        // SAFETY: there is room for a block of rows.
        let steps = unsafe { pack_rows(block, left) };
        for col in (0..rhs.cols).step_by(VECTORS * LANES) {
            let cols = (VECTORS * LANES).min(rhs.cols - col);
            for top in (0..block.rows).step_by(ROWS) {
                // SAFETY: the rows were packed, to a multiple of those of a tile, the columns, too,
                // and the output has room, as the caller vouches.
                unsafe {
                    let tile = Tile {
                        lhs: left.add(steps.start(top, pairs)),
                        steps,
                        rhs: right.add(col * pairs),
                        pairs,
                        output: output.add((row + top) * stride + col),
                        stride,
                        rows: ROWS.min(block.rows - top),
                        cols,
                        add,
                    };
                    match cols.div_ceil(LANES) {
                        1 => tile.write::<1>(),
                        2 => tile.write::<2>(),
                        _ => tile.write::<VECTORS>(),
                    }
                }
            }
        }
    }
}

/// Elements from one packed row to the next: whole vectors, and one more so that rows of a power
/// of two do not share their sets of the cache.
fn pitch(pairs: usize) -> usize {
    pairs.next_multiple_of(LANES) + LANES
}

/// Room for `len` pairs.
fn room(packed: &mut Vec<Pairs>, len: usize) -> *mut u32 {
    let vectors = len.div_ceil(LANES);
    if packed.len() < vectors {
        packed.resize(vectors, Pairs([0; LANES]));
    }
    packed.as_mut_ptr().cast()
}

impl Steps {
    /// Where the pairs of row `row`, a multiple of [`ROWS`], begin.
    fn start(self, row: usize, pairs: usize) -> usize {
        match self.row {
            1 => row / LANES * LANES * pairs + row % LANES,
            step => row * step,
        }
    }
}

/// A part of the output that fits the registers.
#[derive(Debug, Clone, Copy)]
struct Tile {
    lhs: *const u32,
    steps: Steps,
    rhs: *const u32,
    pairs: usize,
    output: *mut f32,
    stride: usize,
    rows: usize,
    cols: usize,
    add: bool,
}

/// The first `count` lanes, all if there are less.
fn first_lanes(count: usize) -> u16 {
    if count >= LANES {
        u16::MAX
    } else {
        (1 << count) - 1
    }
}

impl Tile {
    /// # Safety
    ///
    /// Pairs and output are there for `ROWS` rows and `V` vectors of columns, of the output for
    /// `rows` and `cols`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn write<const V: usize>(self) {
        let mut sums = [[_mm512_setzero_ps(); V]; ROWS];
        let (mut lhs, mut rhs) = (self.lhs, self.rhs);
        for _ in 0..self.pairs {
            // SAFETY: the caller vouches for the pairs.
            unsafe {
                let mut columns = [_mm512_setzero_si512(); V];
                for (v, columns) in columns.iter_mut().enumerate() {
                    *columns = _mm512_loadu_si512(rhs.add(v * LANES).cast());
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let row = _mm512_set1_epi32(lhs.add(r * self.steps.row).read() as i32);
                    for (sum, columns) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpbf16_ps(*sum, bf16(row), bf16(columns));
                    }
                }
                rhs = rhs.add(V * LANES);
                lhs = lhs.add(self.steps.pair);
            }
        }
        for (r, sums) in sums.into_iter().enumerate().take(self.rows) {
            for (v, mut sum) in sums.into_iter().enumerate() {
                let lanes = first_lanes(self.cols - v * LANES);
                // SAFETY: the caller vouches for the output; other lanes are not touched.
                unsafe {
                    let place = self.output.add(r * self.stride + v * LANES);
                    if self.add {
                        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, place));
                    }
                    _mm512_mask_storeu_ps(place, lanes, sum);
                }
            }
        }
    }
}

/// Pairs as the instructions take them.
#[target_feature(enable = "avx512f")]
fn bf16(pairs: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits.
    unsafe { transmute(pairs) }
}

/// 32 values in bf16, `low` first.
#[target_feature(enable = "avx512f,avx512bf16")]
fn round(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both are 512 bits.
    unsafe { transmute(_mm512_cvtne2ps_pbh(high, low)) }
}

/// The first `count` values from `place` on, at most a vector, then zeroes.
///
/// # Safety
///
/// The values are there.
#[target_feature(enable = "avx512f")]
unsafe fn load(place: *const f32, count: usize) -> __m512 {
    // SAFETY: the caller vouches for the values; no others are read.
    unsafe { _mm512_maskz_loadu_ps(first_lanes(count), place) }
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
unsafe fn pack_rows(matrix: Matrix<'_>, packed: *mut u32) -> Steps {
    if matrix.row_stride == 1 {
        // SAFETY: pairs take less room than rows `pitch` apart.
        unsafe { pack_panels(matrix, packed, LANES) };
        return Steps {
            row: 1,
            pair: LANES,
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
    Steps {
        row: pitch,
        pair: 1,
    }
}

/// Packs rows in panels of `width`, a multiple of the lanes, the rows of a pair side by side; the
/// last panel is as wide as it must be.
///
/// # Safety
///
/// There is room for all pairs of `rows` rounded up to the lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_panels(matrix: Matrix<'_>, packed: *mut u32, width: usize) {
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
