//! Loops that the compiler vectorises for the machine they run on.

use pulp::{Arch, NullaryFnOnce};

/// A loop over slices.
pub(super) trait Kernel {
    /// Runs the loop. Implementations are `#[inline(always)]`: only what is inlined here is
    /// compiled for the processor at hand.
    fn run(self);
}

/// Runs `kernel` compiled for the widest vectors the processor has.
pub(super) fn vectorized<K: Kernel>(kernel: K) {
    struct Call<K>(K);
    impl<K: Kernel> NullaryFnOnce for Call<K> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            self.0.run();
        }
    }
    Arch::new().dispatch(Call(kernel));
}

/// Independent partial sums: one vector register or a few.
const LANES: usize = 32;

/// `sum(f(x_i, y_i))`.
#[inline(always)]
pub(super) fn sum2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..LANES {
            lanes[lane] += f(x[lane], y[lane]);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += f(x, y);
    }
    fold(lanes, |a, b| a + b)
}

/// `sum(f(x_i))`.
#[inline(always)]
pub(super) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(x, x, |x, _| f(x))
}

/// The largest value; -inf if there is none.
#[inline(always)]
pub(super) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], chunk[lane]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    fold(lanes, larger)
}

/// Combines halves until one value is left.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = combine(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// `e^x` to 1e-7 relative: 2^n times a polynomial of the rest (Cephes `expf`).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    /// Numbers this large have no fraction: a sum with it is rounded to an integer, which its last
    /// bits hold. That is twice as fast as rounding and converting.
    const INTEGERS: f32 = 1.5 * (1u32 << 23) as f32;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + INTEGERS;
    let n = shifted - INTEGERS;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.0e-1;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    (p * r * r + r + 1.0) * power
}

/// The error function to 3e-7 absolute, as a quotient of polynomials on [-4, 4].
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let z = x * x;
    let p = -2.726_142_3e-10 * z + 2.770_681_4e-8;
    let p = p * z - 2.101_024e-6;
    let p = p * z - 5.692_506_4e-5;
    let p = p * z - 7.349_906_3e-4;
    let p = p * z - 2.954_6e-3;
    let p = p * z - 1.609_603_3e-2;
    let q = -1.456_607_2e-5 * z - 2.133_740_6e-4;
    let q = q * z - 1.682_827e-3;
    let q = q * z - 7.373_329_2e-3;
    let q = q * z - 1.426_473_9e-2;
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_rounding() {
        for step in -8700..=8800 {
            let x = step as f32 * 0.01;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 2e-7, "{x}: {found}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_take_every_element_once() {
        for len in [0, 1, 31, 32, 33, 100] {
            let x: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let expected = (0..len).sum::<usize>() as f32;
            assert_eq!(sum(&x, |x| x), expected);
            assert_eq!(sum2(&x, &x, |x, _| x), expected);
        }
    }

    #[test]
    fn max_is_the_largest() {
        let mut x: Vec<f32> = (0..70).map(|i| -(i as f32)).collect();
        x[69] = 3.0;
        assert_eq!(max(&x), 3.0);
        assert_eq!(max(&x[..69]), 0.0);
        assert_eq!(max(&[]), f32::NEG_INFINITY);
    }
}
