//! Matrix products of operands rounded to bf16, with sums in f32, or to 8 bits, with sums in i32,
//! on processors with AVX512-BF16 and AVX512-VNNI.
//!
//! The usual order of loops (Goto and van de Geijn 2008): a block of the right operand is packed
//! into panels as wide as the registers, then blocks of the left one, each converted on the way.
//! Two or four neighbours along the inner dimension are one 32-bit element, a step, as the
//! instructions want them.

mod bf16;
mod int8;
mod tile;

use std::{
    arch::x86_64::{__m512, _mm512_maskz_loadu_ps},
    cell::RefCell,
};

use super::{
    matrix::Matrix,
    onto::{Addend, Onto},
    pieces::part,
};
use int8::{Columns, Rows};
use tile::{VECTORS, tiles};

/// Elements of a vector register.
const LANES: usize = 16;

/// Rows of the left operand in one block, a multiple of [`LANES`].
const BLOCK_ROWS: usize = 128;

/// Longest inner dimension of a block; a multiple of four times the lanes.
const BLOCK_INNER: usize = 1536;

/// What operands are rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// bf16.
    Bf16,
    /// Whole numbers of 8 bits: of each row of the left and each column of the right operand, in
    /// each block of the inner dimension, with a scale of its own.
    Int8,
}

impl Format {
    /// Whether this processor has the instructions.
    pub(super) fn is_supported(self) -> bool {
        let common = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        common
            && match self {
                Self::Bf16 => is_x86_feature_detected!("avx512bf16"),
                Self::Int8 => is_x86_feature_detected!("avx512vnni"),
            }
    }

    /// Neighbours that are one step.
    fn per_step(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }
}

/// Steps as they lie in a register.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Vector([u32; LANES]);

/// Packed blocks of both operands, and what brings 8 bits back to scale.
#[derive(Debug, Default)]
struct Packed {
    lhs: Vec<Vector>,
    rhs: Vec<Vector>,
    rows: Rows,
    columns: Columns,
}

thread_local! {
    static PACKED: RefCell<Packed> = RefCell::default();
}

/// Where packed rows of the left operand lie: distances from row to row and from step to step.
#[derive(Debug, Clone, Copy)]
struct Strides {
    row: usize,
    step: usize,
}

impl Strides {
    /// Where the steps of row `row`, a multiple of [`ROWS`], begin.
    fn start(self, row: usize, steps: usize) -> usize {
        match self.row {
            1 => row / LANES * LANES * steps + row % LANES,
            stride => row * stride,
        }
    }
}

/// Elements from one packed row to the next: whole vectors, and one more so that rows of a power
/// of two do not share their sets of the cache.
fn pitch(steps: usize) -> usize {
    steps.next_multiple_of(LANES) + LANES
}

/// The first `count` lanes, all if there are less.
fn first_lanes(count: usize) -> u16 {
    if count >= LANES {
        u16::MAX
    } else {
        (1 << count) - 1
    }
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

/// The product of two matrices, added to `onto`, rows of the output `stride` apart.
///
/// The sum of an element is taken in an order that depends on the inner dimension alone.
///
/// # Safety
///
/// The processor [has the instructions](Format::is_supported), the output has room, and nothing
/// else reads or writes it meanwhile.
pub(super) unsafe fn multiply(
    output: *mut f32,
    stride: usize,
    onto: Onto<'_>,
    [lhs, rhs]: [Matrix<'_>; 2],
    format: Format,
) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    // 8 bits have a scale for every row of the one and every column of the other.
    let lies = |it: &Matrix<'_>| it.col_stride == 1 || format == Format::Bf16 && it.row_stride == 1;
    let lhs = in_order(lhs, lies(&lhs), &mut left);
    let rhs = in_order(rhs, lies(&rhs), &mut right);
    PACKED.with_borrow_mut(|packed| {
        let inner = lhs.cols;
        let longest = part(inner, BLOCK_INNER).next_multiple_of(format.per_step());
        for first in (0..inner).step_by(longest) {
            let size = longest.min(inner - first);
            let matrices = [lhs.some_cols(first, size), rhs.some_rows(first, size)];
            let onto = if first > 0 { Onto::Output } else { onto };
            // SAFETY: the caller vouches for processor and output.
            unsafe {
                match format {
                    Format::Bf16 => in_bf16(output, stride, onto, matrices, packed),
                    Format::Int8 => in_int8(output, stride, onto, matrices, packed),
                }
            }
        }
    });
}

/// `matrix` if `it_is` already, else with its rows in order in `copy`.
fn in_order<'a>(matrix: Matrix<'a>, it_is: bool, copy: &'a mut Vec<f32>) -> Matrix<'a> {
    if it_is {
        return matrix;
    }
    for row in 0..matrix.rows {
        for col in 0..matrix.cols {
            copy.push(matrix.value(row, col));
        }
    }
    Matrix::of_rows(copy, matrix.cols)
}

/// The product of a block of the inner dimension in bf16.
///
/// # Safety
///
/// As [`multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn in_bf16(
    output: *mut f32,
    stride: usize,
    onto: Onto<'_>,
    [lhs, rhs]: [Matrix<'_>; 2],
    packed: &mut Packed,
) {
    let steps = lhs.cols.div_ceil(2);
    let [left, right] = packed.room([lhs.rows, rhs.cols], steps);
    // SAFETY: there is room for all columns.
    unsafe { bf16::pack_panels(rhs.transposed(), right, VECTORS * LANES) };
    for top in (0..lhs.rows).step_by(BLOCK_ROWS) {
        let rows = lhs.some_rows(top, BLOCK_ROWS);
        // SAFETY: there is room for a block of rows, and the output has room for it, as the caller
        // vouches.
        unsafe {
            let strides = bf16::pack_rows(rows, left);
            let output = output.add(top * stride);
            for tile in tiles([left, right], strides, steps, [rows.rows, rhs.cols]) {
                let place = output.add(tile.top * stride + tile.left);
                tile.in_bf16(place, stride, Addend::of(onto, place, stride, tile.left));
            }
        }
    }
}

/// The product of a block of the inner dimension in 8 bits.
///
/// # Safety
///
/// As [`multiply`], and both matrices have their rows in order.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn in_int8(
    output: *mut f32,
    stride: usize,
    onto: Onto<'_>,
    [lhs, rhs]: [Matrix<'_>; 2],
    packed: &mut Packed,
) {
    let steps = lhs.cols.div_ceil(4);
    let [left, right] = packed.room([lhs.rows, rhs.cols], steps);
    // SAFETY: there is room for all columns.
    unsafe { packed.columns.pack(rhs, right) };
    for top in (0..lhs.rows).step_by(BLOCK_ROWS) {
        let rows = lhs.some_rows(top, BLOCK_ROWS);
        // SAFETY: there is room for a block of rows, and the output has room for it, as the caller
        // vouches.
        unsafe {
            packed.rows.pack(rows, left);
            let strides = Strides {
                row: pitch(steps),
                step: 1,
            };
            let output = output.add(top * stride);
            for tile in tiles([left, right], strides, steps, [rows.rows, rhs.cols]) {
                let place = output.add(tile.top * stride + tile.left);
                let onto = Addend::of(onto, place, stride, tile.left);
                tile.in_int8(place, stride, onto, (&packed.rows, &packed.columns));
            }
        }
    }
}

impl Packed {
    /// Room for a block of so many rows at most and for all columns.
    fn room(&mut self, [rows, cols]: [usize; 2], steps: usize) -> [*mut u32; 2] {
        let rows = BLOCK_ROWS.min(rows).next_multiple_of(LANES);
        [
            room(&mut self.lhs, rows * pitch(steps)),
            room(&mut self.rhs, cols.next_multiple_of(LANES) * steps),
        ]
    }
}

/// Room for `len` steps.
fn room(packed: &mut Vec<Vector>, len: usize) -> *mut u32 {
    let vectors = len.div_ceil(LANES);
    if packed.len() < vectors {
        packed.resize(vectors, Vector([0; LANES]));
    }
    packed.as_mut_ptr().cast()
}
