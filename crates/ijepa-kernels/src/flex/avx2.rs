//! Matrix products in f32 on processors with AVX2 and FMA but without AVX-512.
//!
//! A block of the right operand is packed into panels as wide as the registers, and strips of the
//! left one, as high as the registers, pass by all its panels. So a strip stays in the nearest
//! cache, while panels are read from first to last, which processors foresee. In the usual order
//! of loops panels stay and strips pass by, which the left operand, read as it lies, makes slower.

use std::{
    arch::x86_64::{
        __m256, __m256i, _mm_loadu_ps, _mm_storeu_ps, _mm256_add_ps, _mm256_broadcast_ss,
        _mm256_cmpgt_epi32, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_maskload_ps,
        _mm256_maskstore_ps, _mm256_permute2f128_ps, _mm256_set1_epi32, _mm256_setr_epi32,
        _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps,
        _mm256_unpacklo_ps,
    },
    array,
    cell::RefCell,
};

use super::{
    matrix::Matrix,
    onto::{Addend, Onto},
    pieces::part,
};

/// Elements of a vector register.
const LANES: usize = 8;

/// Vectors of columns that are summed in registers, and their elements.
const VECTORS: usize = 2;
const WIDTH: usize = VECTORS * LANES;

/// Rows of the output that are summed in registers.
const ROWS: usize = 6;

/// Longest inner dimension of a block, and most columns.
const BLOCK_INNER: usize = 512;
const BLOCK_COLS: usize = 768;

/// A row of a panel: one line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct PanelRow([f32; WIDTH]);

/// A packed block of the right operand, and a strip of the left one.
#[derive(Debug, Default)]
struct Packed {
    panels: Vec<PanelRow>,
    strip: Vec<[f32; ROWS]>,
}

thread_local! {
    static PACKED: RefCell<Packed> = RefCell::default();
}

/// Whether this processor has the instructions.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The product of two matrices, added to `onto`, rows of the output `stride` apart.
///
/// The sum of an element is taken in an order that depends on the inner dimension alone.
///
/// # Safety
///
/// The processor [has the instructions](is_supported), the matrices have elements, the output has
/// room, and nothing else reads or writes it meanwhile.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn multiply(
    output: *mut f32,
    stride: usize,
    onto: Onto<'_>,
    [lhs, rhs]: [Matrix<'_>; 2],
) {
    let inner = part(lhs.cols, BLOCK_INNER);
    let width = part(rhs.cols, BLOCK_COLS).next_multiple_of(WIDTH);
    PACKED.with_borrow_mut(|packed| {
        for left in (0..rhs.cols).step_by(width) {
            let rhs = rhs.some_cols(left, width);
            for first in (0..lhs.cols).step_by(inner) {
                let matrices = [lhs.some_cols(first, inner), rhs.some_rows(first, inner)];
                let onto = if first > 0 {
                    Onto::Output
                } else {
                    onto.some_cols(left, width)
                };
                // SAFETY: the caller vouches for processor and output.
                unsafe { packed.multiply(output.add(left), stride, onto, matrices) }
            }
        }
    });
}

impl Packed {
    /// The product of a block.
    ///
    /// # Safety
    ///
    /// As [`multiply`].
    #[target_feature(enable = "avx2,fma")]
    unsafe fn multiply(
        &mut self,
        output: *mut f32,
        stride: usize,
        onto: Onto<'_>,
        [lhs, rhs]: [Matrix<'_>; 2],
    ) {
        let panels = pack_panels(rhs, &mut self.panels);
        for top in (0..lhs.rows).step_by(ROWS) {
            let strip = Strip::of(lhs.some_rows(top, ROWS), &mut self.strip);
            for (number, panel) in panels.chunks_exact(lhs.cols).enumerate() {
                let left = number * WIDTH;
                // SAFETY: the caller vouches for the output, of which this is a part.
                unsafe {
                    let place = output.add(top * stride + left);
                    let addend = Addend::of(onto, place, stride, left);
                    match rhs.cols - left {
                        cols @ ..=LANES => strip.by::<1>(panel, cols, place, stride, addend),
                        cols => strip.by::<VECTORS>(panel, cols.min(WIDTH), place, stride, addend),
                    }
                }
            }
        }
    }
}

/// Rows of the left operand, as many as are summed at once.
#[derive(Debug, Clone, Copy)]
struct Strip {
    /// Where each begins; behind the last one it is there again.
    rows: [*const f32; ROWS],
    /// From a value of a row to the next one.
    step: usize,
    count: usize,
}

impl Strip {
    /// The rows as they lie if their values are in order, else packed.
    #[target_feature(enable = "avx2,fma")]
    fn of(lhs: Matrix<'_>, packed: &mut Vec<[f32; ROWS]>) -> Self {
        if lhs.col_stride == 1 {
            return Self {
                rows: array::from_fn(|row| lhs.place(row.min(lhs.rows - 1), 0)),
                step: 1,
                count: lhs.rows,
            };
        }
        if packed.len() < lhs.cols {
            packed.resize(lhs.cols, [0.0; ROWS]);
        }
        for (col, values) in packed.iter_mut().enumerate().take(lhs.cols) {
            if lhs.row_stride == 1 && lhs.rows == ROWS {
                // SAFETY: the matrix has six values in order here, which two overlapping vectors of
                // four are.
                unsafe {
                    let (from, to) = (lhs.place(0, col), values.as_mut_ptr());
                    let ends = [_mm_loadu_ps(from), _mm_loadu_ps(from.add(2))];
                    _mm_storeu_ps(to, ends[0]);
                    _mm_storeu_ps(to.add(2), ends[1]);
                }
            } else {
                for (row, value) in values.iter_mut().enumerate().take(lhs.rows) {
                    *value = lhs.value(row, col);
                }
            }
        }
        let first = packed.as_ptr().cast::<f32>();
        Self {
            rows: array::from_fn(|row| first.wrapping_add(row)),
            step: ROWS,
            count: lhs.rows,
        }
    }

    /// Writes the product with `cols` columns of a panel, which are `V` vectors, to `place`.
    ///
    /// # Safety
    ///
    /// The rows have as many values as the panel has rows, and output and addend have room for
    /// `count` rows of `cols` values.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn by<const V: usize>(
        self,
        panel: &[PanelRow],
        cols: usize,
        place: *mut f32,
        stride: usize,
        addend: Option<Addend>,
    ) {
        let mut sums = [[_mm256_setzero_ps(); V]; ROWS];
        let mut at = 0;
        for PanelRow(row) in panel {
            // SAFETY: the caller vouches for the values, and a row of a panel has all vectors.
            unsafe {
                let columns: [_; V] =
                    array::from_fn(|v| _mm256_loadu_ps(row.as_ptr().add(v * LANES)));
                for (sums, values) in sums.iter_mut().zip(self.rows) {
                    let value = _mm256_broadcast_ss(&*values.add(at));
                    for (sum, columns) in sums.iter_mut().zip(columns) {
                        *sum = _mm256_fmadd_ps(value, columns, *sum);
                    }
                }
            }
            at += self.step;
        }
        for (r, sums) in sums.into_iter().enumerate().take(self.count) {
            for (v, sum) in sums.into_iter().enumerate() {
                // SAFETY: the caller vouches for output and addend.
                unsafe {
                    let place = place.add(r * stride + v * LANES);
                    let addend = addend.map(|it| it.first.add(r * it.stride + v * LANES));
                    put(place, addend, cols - v * LANES, sum);
                }
            }
        }
    }
}

/// Writes the first `count` lanes of a vector, all if it has less, added to what is there to add it
/// to.
///
/// # Safety
///
/// Output and addend have room for them.
#[target_feature(enable = "avx2,fma")]
unsafe fn put(place: *mut f32, addend: Option<*const f32>, count: usize, mut sum: __m256) {
    // SAFETY: the caller vouches for output and addend; other lanes are not touched.
    unsafe {
        if count >= LANES {
            if let Some(addend) = addend {
                sum = _mm256_add_ps(sum, _mm256_loadu_ps(addend));
            }
            _mm256_storeu_ps(place, sum);
        } else {
            let lanes = first_lanes(count);
            if let Some(addend) = addend {
                sum = _mm256_add_ps(sum, _mm256_maskload_ps(addend, lanes));
            }
            _mm256_maskstore_ps(place, lanes, sum);
        }
    }
}

/// The first `count` lanes.
#[target_feature(enable = "avx2")]
fn first_lanes(count: usize) -> __m256i {
    let numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), numbers)
}

/// Packs a block into panels, one after the other, zeroes behind the last column.
#[target_feature(enable = "avx2,fma")]
fn pack_panels<'a>(rhs: Matrix<'_>, packed: &'a mut Vec<PanelRow>) -> &'a [PanelRow] {
    let len = rhs.cols.div_ceil(WIDTH) * rhs.rows;
    if packed.len() < len {
        packed.resize(len, PanelRow([0.0; WIDTH]));
    }
    for (number, panel) in packed[..len].chunks_exact_mut(rhs.rows).enumerate() {
        let columns = rhs.some_cols(number * WIDTH, WIDTH);
        let is_whole = columns.cols == WIDTH;
        if is_whole && rhs.row_stride == 1 {
            pack_turned(columns, panel);
            continue;
        }
        for (row, PanelRow(values)) in panel.iter_mut().enumerate() {
            if is_whole && rhs.col_stride == 1 {
                // SAFETY: the row has so many values in order.
                unsafe { *values = columns.place(row, 0).cast::<[f32; WIDTH]>().read() }
                continue;
            }
            *values = [0.0; WIDTH];
            for (col, value) in values.iter_mut().enumerate().take(columns.cols) {
                *value = columns.value(row, col);
            }
        }
    }
    &packed[..len]
}

/// Packs a whole panel whose columns lie in order.
#[target_feature(enable = "avx2,fma")]
fn pack_turned(columns: Matrix<'_>, panel: &mut [PanelRow]) {
    let (squares, rest) = panel.as_chunks_mut::<LANES>();
    let first_of_rest = squares.len() * LANES;
    for (number, rows) in squares.iter_mut().enumerate() {
        for left in [0, LANES] {
            // SAFETY: eight values of a column are in order, and a row of a panel has 16.
            unsafe {
                let place = |col| columns.place(number * LANES, left + col);
                let turned = turn(array::from_fn(|col| _mm256_loadu_ps(place(col))));
                for (PanelRow(row), values) in rows.iter_mut().zip(turned) {
                    _mm256_storeu_ps(row.as_mut_ptr().add(left), values);
                }
            }
        }
    }
    for (row, PanelRow(values)) in rest.iter_mut().enumerate() {
        for (col, value) in values.iter_mut().enumerate() {
            *value = columns.value(first_of_rest + row, col);
        }
    }
}

/// The columns of a square whose rows are given.
#[target_feature(enable = "avx2")]
fn turn(rows: [__m256; LANES]) -> [__m256; LANES] {
    // Pairs of rows, then fours, within each half; then the halves.
    let pairs: [_; LANES] = array::from_fn(|at| {
        let (one, other) = (rows[at / 2 * 2], rows[at / 2 * 2 + 1]);
        if at % 2 == 0 {
            _mm256_unpacklo_ps(one, other)
        } else {
            _mm256_unpackhi_ps(one, other)
        }
    });
    let fours: [_; LANES] = array::from_fn(|at| {
        let first = at / 4 * 4 + at % 4 / 2;
        let (one, other) = (pairs[first], pairs[first + 2]);
        if at % 2 == 0 {
            _mm256_shuffle_ps::<0x44>(one, other)
        } else {
            _mm256_shuffle_ps::<0xee>(one, other)
        }
    });
    array::from_fn(|at| {
        let (one, other) = (fours[at % 4], fours[at % 4 + 4]);
        if at < 4 {
            _mm256_permute2f128_ps::<0x20>(one, other)
        } else {
            _mm256_permute2f128_ps::<0x31>(one, other)
        }
    })
}
