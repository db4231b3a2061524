//! Updates, moving averages, sums and norms of many tensors at once.

use burn::tensor::Tensor;
use ijepa_kernels::{AdamWRule, TensorList};
use ijepa_testkit::{assert_close, device};

use crate::support::{Case, Noise, device_tolerance};

#[test]
fn updates_are_those_of_the_formulas() {
    let device = device();
    let tensor = |values: [f32; 3]| TensorList::of(Tensor::<1>::from_data(values, &device));
    let (parameter, gradient) = ([1.0, -2.0, 0.5], [0.1, -0.2, 0.0]);
    let moments = [[0.05, 0.1, -0.02], [0.01, 0.04, 0.09]];
    let rule = AdamWRule::new(1e-2, 0.1, [0.9, 0.99], 1e-8, 3);
    let (found, found_moments) = ijepa_kernels::adamw(
        tensor(parameter),
        moments.map(tensor),
        tensor(gradient),
        vec![rule],
    );
    let mut expected = [Vec::new(), Vec::new(), Vec::new()];
    for index in 0..3 {
        let gradient = f64::from(gradient[index]);
        let first = 0.9 * f64::from(moments[0][index]) + 0.1 * gradient;
        let second = 0.99 * f64::from(moments[1][index]) + 0.01 * gradient * gradient;
        let corrected = [
            first / (1.0 - 0.9f64.powi(3)),
            second / (1.0 - 0.99f64.powi(3)),
        ];
        let decayed = f64::from(parameter[index]) * (1.0 - 1e-2 * 0.1);
        let updated = decayed - 1e-2 * corrected[0] / (corrected[1].sqrt() + 1e-8);
        for (list, value) in expected.iter_mut().zip([updated, first, second]) {
            list.push(value as f32);
        }
    }
    let [first, second] = found_moments;
    for (found, expected) in [found, first, second].into_iter().zip(&expected) {
        assert_close(
            "AdamW",
            &first_of::<1>(found),
            expected,
            device_tolerance(1e-6),
        );
    }
    let moved = ijepa_kernels::lerp(tensor(parameter), tensor(gradient), 0.25);
    assert_close(
        "lerp",
        &first_of::<1>(moved),
        &[0.775, -1.55, 0.375],
        device_tolerance(1e-6),
    );
    let norm: f32 = ijepa_kernels::squared_norm(tensor(parameter)).into_scalar();
    assert_close("squared norm", &[norm], &[5.25], device_tolerance(1e-6));
}

/// The elements of the first tensor, taken from the list.
fn take<const D: usize>(list: &mut TensorList) -> Vec<f32> {
    let first = list.take::<D>().expect("a tensor");
    first.into_data().iter::<f32>().collect()
}

fn first_of<const D: usize>(mut list: TensorList) -> Vec<f32> {
    take::<D>(&mut list)
}

/// Tensors of all kinds of sizes and more than one launch holds, some of them held by others.
#[test]
fn many_tensors_are_updated_as_each_alone() {
    let mut noise = Noise::new(11);
    let sizes = (0..37).map(|index| [1, 1 + index % 5, 1 + (index * 7) % 24]);
    let sizes: Vec<[usize; 3]> = sizes.chain([[3, 65, 173]]).collect();
    let rules: Vec<AdamWRule> = (0..sizes.len())
        .map(|index| AdamWRule::new(1e-2 / (1 + index) as f64, 0.1, [0.9, 0.99], 1e-8, 3))
        .collect();
    let cases: Vec<[Case; 4]> = sizes
        .iter()
        .map(|&size| [(); 4].map(|()| noise.case(size)))
        .collect();
    // Second moments are not negative.
    let tensors = |index: usize| {
        let [parameter, first, second, gradient] = cases[index].clone().map(Case::tensor);
        [parameter, first, second.abs(), gradient]
    };
    let mut lists = [(); 4].map(|()| TensorList::new());
    let mut held = Vec::new();
    for index in 0..sizes.len() {
        let tensors = tensors(index);
        if index % 3 == 0 {
            held.push((index, tensors.clone()));
        }
        for (list, tensor) in lists.iter_mut().zip(tensors) {
            list.push(tensor);
        }
    }
    let [parameters, firsts, seconds, gradients] = lists;
    let norm: f32 = ijepa_kernels::squared_norm(gradients.clone()).into_scalar();
    let mut moved = ijepa_kernels::lerp(parameters.clone(), gradients.clone(), 0.25);
    let mut sums = ijepa_kernels::add(parameters.clone(), gradients.clone());
    let factor = Tensor::from_data([0.75], &device());
    let mut scaled = ijepa_kernels::scale(gradients.clone(), factor);
    let (mut parameters, [mut firsts, mut seconds]) =
        ijepa_kernels::adamw(parameters, [firsts, seconds], gradients, rules.clone());
    let mut squares = 0.0;
    for (index, rule) in rules.into_iter().enumerate() {
        let [parameter, first, second, gradient] = tensors(index).map(TensorList::of);
        let alone: f32 = ijepa_kernels::squared_norm(gradient.clone()).into_scalar();
        squares += f64::from(alone);
        let [a, b] = [&parameter, &gradient].map(|x| first_of::<3>(x.clone()));
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(take::<3>(&mut sums), expected, "{index}");
        let expected: Vec<f32> = b.iter().map(|b| b * 0.75).collect();
        assert_eq!(take::<3>(&mut scaled), expected, "{index}");
        let expected = ijepa_kernels::lerp(parameter.clone(), gradient.clone(), 0.25);
        assert_eq!(take::<3>(&mut moved), first_of::<3>(expected), "{index}");
        let (parameter, [first, second]) =
            ijepa_kernels::adamw(parameter, [first, second], gradient, vec![rule]);
        assert_eq!(
            take::<3>(&mut parameters),
            first_of::<3>(parameter),
            "{index}"
        );
        assert_eq!(take::<3>(&mut firsts), first_of::<3>(first), "{index}");
        assert_eq!(take::<3>(&mut seconds), first_of::<3>(second), "{index}");
    }
    assert_close("norm", &[norm], &[squares as f32], device_tolerance(1e-6));
    for (index, tensors_then) in held {
        let [now, then] = [tensors(index), tensors_then]
            .map(|all| all.map(|tensor| tensor.into_data().iter::<f32>().collect::<Vec<_>>()));
        assert_eq!(now, then, "what others hold of {index}");
    }
}

/// `1 - beta` of a second moment has four digits less in f32.
#[test]
fn updates_take_their_exact_share_of_a_gradient() {
    let device = device();
    let tensor = |value: f32| TensorList::of(Tensor::<1>::from_data([value, -value], &device));
    let rule = AdamWRule::new(1e-3, 0.0, [0.9, 0.999], 1e-8, 1);
    let moments = [tensor(0.0), tensor(0.0)];
    let (_, moments) = ijepa_kernels::adamw(tensor(1.0), moments, tensor(3.0), vec![rule]);
    let [first, second] = moments.map(first_of::<1>);
    assert_close("first moment", &first, &[0.3, -0.3], 1e-6);
    assert_close("second moment", &second, &[0.009, 0.009], 1e-6);
}

#[test]
#[should_panic(expected = "the operation has no gradient")]
fn an_update_of_what_records_gradients_is_refused() {
    let x = Tensor::<1>::zeros([2], &device().autodiff());
    ijepa_kernels::squared_norm(TensorList::of(x));
}
