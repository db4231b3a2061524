//! Parts of the output that fit the registers.

use std::{
    arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpbf16_ps,
        _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps,
        _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps,
        _mm512_setzero_si512,
    },
    mem::transmute,
};

use super::{
    LANES, Strides, first_lanes,
    int8::{Columns, Rows},
};
use crate::flex::onto::Addend;

/// Rows of the output that are summed in registers.
const ROWS: usize = 8;

/// Vectors of columns that are summed in registers.
pub(super) const VECTORS: usize = 3;

/// The tiles of `rows` packed rows and all columns, a panel of columns after the other.
pub(super) fn tiles(
    [lhs, rhs]: [*const u32; 2],
    strides: Strides,
    steps: usize,
    [rows, cols]: [usize; 2],
) -> impl Iterator<Item = Tile> {
    let width = VECTORS * LANES;
    let panels = (0..cols).step_by(width);
    panels.flat_map(move |left| {
        (0..rows).step_by(ROWS).map(move |top| Tile {
            lhs: lhs.wrapping_add(strides.start(top, steps)),
            rhs: rhs.wrapping_add(left * steps),
            strides,
            steps,
            top,
            left,
            rows: ROWS.min(rows - top),
            cols: width.min(cols - left),
        })
    })
}

/// A part of the output that fits the registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    lhs: *const u32,
    rhs: *const u32,
    strides: Strides,
    steps: usize,
    /// Its first row in the block of rows, and its first column.
    pub(super) top: usize,
    pub(super) left: usize,
    rows: usize,
    cols: usize,
}

/// The sums of a tile of `V` vectors of columns, from `$zero` on by `$add`.
macro_rules! sums {
    ($tile:ident, $zero:expr, $add:expr) => {{
        let mut sums = [[$zero; V]; ROWS];
        let (mut lhs, mut rhs) = ($tile.lhs, $tile.rhs);
        for _ in 0..$tile.steps {
            // SAFETY: the caller vouches for the steps.
            unsafe {
                let mut columns = [_mm512_setzero_si512(); V];
                for (v, columns) in columns.iter_mut().enumerate() {
                    *columns = _mm512_loadu_si512(rhs.add(v * LANES).cast());
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let row = _mm512_set1_epi32(lhs.add(r * $tile.strides.row).read() as i32);
                    for (sum, columns) in sums.iter_mut().zip(columns) {
                        *sum = $add(*sum, row, columns);
                    }
                }
                rhs = rhs.add(V * LANES);
                lhs = lhs.add($tile.strides.step);
            }
        }
        sums
    }};
}

impl Tile {
    /// Writes it to `place`, in bf16.
    ///
    /// # Safety
    ///
    /// Steps are there for `ROWS` rows and whole vectors of columns, output and addend for `rows`
    /// and `cols`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn in_bf16(self, place: *mut f32, stride: usize, onto: Option<Addend>) {
        // SAFETY: the caller vouches for all of it.
        unsafe {
            match self.cols.div_ceil(LANES) {
                1 => self.vectors_in_bf16::<1>(place, stride, onto),
                2 => self.vectors_in_bf16::<2>(place, stride, onto),
                _ => self.vectors_in_bf16::<VECTORS>(place, stride, onto),
            }
        }
    }

    /// # Safety
    ///
    /// As [`in_bf16`](Self::in_bf16), of `V` vectors of columns.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn vectors_in_bf16<const V: usize>(
        self,
        place: *mut f32,
        stride: usize,
        onto: Option<Addend>,
    ) {
        let sums = sums!(self, _mm512_set1_ps(0.0), |sum, row, columns| {
            _mm512_dpbf16_ps(sum, bf16_pairs(row), bf16_pairs(columns))
        });
        for (r, sums) in sums.into_iter().enumerate().take(self.rows) {
            for (v, sum) in sums.into_iter().enumerate() {
                // SAFETY: the caller vouches for output and addend.
                unsafe { self.put(place, stride, onto, [r, v], sum) }
            }
        }
    }

    /// As [`in_bf16`](Self::in_bf16), in 8 bits.
    ///
    /// # Safety
    ///
    /// As [`in_bf16`](Self::in_bf16), and scales are there as are steps.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn in_int8(
        self,
        place: *mut f32,
        stride: usize,
        onto: Option<Addend>,
        scales: (&Rows, &Columns),
    ) {
        // SAFETY: the caller vouches for all of it.
        unsafe {
            match self.cols.div_ceil(LANES) {
                1 => self.vectors_in_int8::<1>(place, stride, onto, scales),
                2 => self.vectors_in_int8::<2>(place, stride, onto, scales),
                _ => self.vectors_in_int8::<VECTORS>(place, stride, onto, scales),
            }
        }
    }

    /// # Safety
    ///
    /// As [`in_int8`](Self::in_int8), of `V` vectors of columns.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn vectors_in_int8<const V: usize>(
        self,
        place: *mut f32,
        stride: usize,
        onto: Option<Addend>,
        (rows, columns): (&Rows, &Columns),
    ) {
        let sums = sums!(self, _mm512_setzero_si512(), |sum, row, columns| {
            _mm512_dpbusd_epi32(sum, row, columns)
        });
        for (r, sums) in sums.into_iter().enumerate().take(self.rows) {
            let row = rows.scale(self.top + r);
            let (step, least) = (_mm512_set1_ps(row.step), _mm512_set1_ps(row.least));
            for (v, sum) in sums.into_iter().enumerate() {
                // SAFETY: the caller vouches for output, addend and scales.
                unsafe {
                    let (unit, total) = columns.scales(self.left + v * LANES);
                    let sum = _mm512_mul_ps(step, _mm512_cvtepi32_ps(sum));
                    let sum = _mm512_mul_ps(unit, _mm512_fmadd_ps(least, total, sum));
                    self.put(place, stride, onto, [r, v], sum);
                }
            }
        }
    }

    /// Writes a vector of row `r`, added to what is there to add it to.
    ///
    /// # Safety
    ///
    /// As [`in_bf16`](Self::in_bf16).
    #[target_feature(enable = "avx512f")]
    unsafe fn put(
        self,
        place: *mut f32,
        stride: usize,
        onto: Option<Addend>,
        [r, v]: [usize; 2],
        mut sum: __m512,
    ) {
        let lanes = first_lanes(self.cols - v * LANES);
        // SAFETY: the caller vouches for output and addend; other lanes are not touched.
        unsafe {
            if let Some(Addend { first, stride }) = onto {
                let onto = first.add(r * stride + v * LANES);
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, onto));
            }
            _mm512_mask_storeu_ps(place.add(r * stride + v * LANES), lanes, sum);
        }
    }
}

/// Steps as the instructions take them.
#[target_feature(enable = "avx512f")]
fn bf16_pairs(steps: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits.
    unsafe { transmute(steps) }
}
