//! Random inputs, and the comparison of two implementations with all gradients.

use burn::tensor::{Tensor, TensorData};
use ijepa_testkit::{assert_close, device, is_software, tolerance};
use proptest::test_runner::{Config, RngSeed};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Relative tolerance in f32 on a CPU.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// `cpu`, or 1e-4 on wgpu.
pub(crate) fn device_tolerance(cpu: f64) -> f64 {
    tolerance(cpu)
}

/// Of how many cases one is tried: a GPU in software takes seconds for each new shape.
pub(crate) fn one_in() -> usize {
    if is_software() { 3 } else { 1 }
}

/// As many cases as that or one in [`one_in`], the same in every run: a tolerance of rounding is no
/// law, and what a new seed finds once in a thousand runs tells nobody what a change has done.
pub(crate) fn cases(cases: u32) -> Config {
    Config {
        cases: cases.div_ceil(one_in() as u32),
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    }
}

/// An input on the host.
#[derive(Clone)]
pub(crate) struct Case(TensorData);

impl Case {
    /// All values times `factor`.
    pub(crate) fn scaled(self, factor: f32) -> Self {
        let shape = self.0.shape().clone();
        let values: Vec<f32> = self.0.iter::<f32>().map(|value| value * factor).collect();
        Self(TensorData::new(values, shape))
    }

    /// The input on the device under test.
    pub(crate) fn tensor(self) -> Tensor<3> {
        Tensor::from_data(self.0, &device())
    }
}

/// Uniform noise of a seed.
pub(crate) struct Noise(ChaCha8Rng);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Values between -1 and 1.
    pub(crate) fn case(&mut self, shape: [usize; 3]) -> Case {
        let len = shape.iter().product();
        let values: Vec<f32> = (0..len).map(|_| self.0.random_range(-1.0..1.0)).collect();
        Case(TensorData::new(values, shape))
    }
}

/// Output and gradients of `inputs` for a loss that weighs every output differently.
fn evaluate<const N: usize>(
    inputs: &[Case; N],
    function: impl Fn([Tensor<3>; N]) -> Tensor<3>,
) -> Vec<Vec<f32>> {
    let device = device().autodiff();
    let inputs = inputs
        .each_ref()
        .map(|case| Tensor::<3>::from_data(case.0.clone(), &device).require_grad());
    let output = function(inputs.clone());
    let shape = output.dims();
    let weights = Noise::new(7).case(shape).0;
    let gradients = (output.clone() * Tensor::from_data(weights, &device))
        .sum()
        .backward();
    let values = |tensor: Tensor<3>| tensor.into_data().iter::<f32>().collect();
    let mut results: Vec<Vec<f32>> = vec![values(output.inner())];
    for input in &inputs {
        results.push(values(
            input.grad(&gradients).expect("every input has a gradient"),
        ));
    }
    results
}

/// Asserts that two implementations agree, with and without recording of gradients.
pub(crate) fn compare<const N: usize>(
    name: &str,
    inputs: [Case; N],
    fused: impl Fn([Tensor<3>; N]) -> Tensor<3>,
    plain: impl Fn([Tensor<3>; N]) -> Tensor<3>,
    tolerance: f64,
) {
    let found = evaluate(&inputs, &fused);
    let expected = evaluate(&inputs, &plain);
    for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let what = match number {
            0 => format!("{name}: output"),
            input => format!("{name}: gradient of input {}", input - 1),
        };
        assert_close(&what, found, expected, tolerance);
    }
    let device = device();
    let inputs = inputs.map(|case| Tensor::<3>::from_data(case.0, &device));
    let inferred: Vec<f32> = fused(inputs).into_data().iter::<f32>().collect();
    assert_close(
        &format!("{name}: inference"),
        &inferred,
        &expected[0],
        tolerance,
    );
}
