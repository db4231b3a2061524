//! Matrix products of operands rounded to bf16, with sums in f32, on processors with AVX512-BF16.
//!
//! The usual order of loops (Goto and van de Geijn 2008): a block of the right operand is packed
//! into panels as wide as the registers, then blocks of the left one, each converted on the way.
//! Pairs of neighbours along the inner dimension are one 32-bit element, as the instruction
//! wants them.

mod pack;

use std::{
    arch::x86_64::{
        __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_si512,
        _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
        _mm512_setzero_si512,
    },
    cell::RefCell,
    mem::transmute,
};

use super::{matrix::Matrix, product::Onto};
use pack::{Steps, first_lanes, pack_panels, pack_rows, pitch};

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

/// The product of two matrices, added to `onto`, rows of the output `stride` apart.
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
    onto: Onto<'_>,
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
            let onto = if first > 0 { Onto::Output } else { onto };
            // SAFETY: the caller vouches for processor and output.
            unsafe { multiply_block(output, stride, onto, [lhs, rhs], packed) }
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
    onto: Onto<'_>,
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
                    let output = output.add((row + top) * stride + col);
                    let tile = Tile {
                        lhs: left.add(steps.start(top, pairs)),
                        steps,
                        rhs: right.add(col * pairs),
                        pairs,
                        output,
                        stride,
                        rows: ROWS.min(block.rows - top),
                        cols,
                        onto: match onto {
                            Onto::Nothing => None,
                            Onto::Output => Some((output.cast_const(), stride)),
                            Onto::Row(row) => Some((row.as_ptr().add(col), 0)),
                        },
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

/// Room for `len` pairs.
fn room(packed: &mut Vec<Pairs>, len: usize) -> *mut u32 {
    let vectors = len.div_ceil(LANES);
    if packed.len() < vectors {
        packed.resize(vectors, Pairs([0; LANES]));
    }
    packed.as_mut_ptr().cast()
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
    /// Rows that are added, and the step from one to the next.
    onto: Option<(*const f32, usize)>,
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
                    if let Some((onto, step)) = self.onto {
                        let onto = onto.add(r * step + v * LANES);
                        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, onto));
                    }
                    let place = self.output.add(r * self.stride + v * LANES);
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
