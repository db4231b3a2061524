//! Classifiers side by side against formulas in f64 and against autodiff.

use crate::support::{Noise, TOLERANCE, device_tolerance};
use burn::tensor::{Tensor, TensorData, activation::log_softmax};
use ijepa_kernels::{
    HeadRule, HeadStep, add_product, column_sums, cross_entropy, fold_heads, step_heads,
};
use ijepa_testkit::{assert_close, device};

/// Features, heads and classes: single, odd, and more than a task or a vector register holds.
const SIZES: [[usize; 3]; 4] = [[1, 1, 1], [5, 3, 7], [37, 2, 100], [40, 5, 2000]];

fn matrix(noise: &mut Noise, rows: usize, columns: usize) -> Tensor<2> {
    noise.case([1, rows, columns]).tensor().squeeze_dim(0)
}

fn vector(noise: &mut Noise, len: usize) -> Tensor<1> {
    matrix(noise, 1, len).squeeze_dim(0)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

fn close<const D: usize>(name: &str, found: Tensor<D>, expected: &[f32]) {
    assert_close(name, &values(found), expected, device_tolerance(TOLERANCE));
}

#[test]
fn folded_heads_do_what_scaled_features_do() {
    let mut noise = Noise::new(1);
    for [dim, heads, classes] in SIZES {
        let weight = matrix(&mut noise, dim, heads * classes);
        let scale = matrix(&mut noise, heads, dim).transpose();
        let offset = matrix(&mut noise, dim, heads);
        let (folded, bias) = fold_heads(weight.clone(), scale.clone(), offset.clone());
        let wide = |x: Tensor<2>| {
            let x: Tensor<3> = x.unsqueeze_dim(2);
            x.repeat_dim(2, classes).reshape([dim, heads * classes])
        };
        close("weight", folded, &values(weight.clone() * wide(scale)));
        let expected = (weight * wide(offset)).sum_dim(0);
        close("bias", bias, &values(expected));
    }
}

#[test]
fn losses_and_gradients_are_those_of_autodiff() {
    let mut noise = Noise::new(2);
    for [rows, heads, classes] in SIZES {
        // Large logits, too, whose powers would overflow.
        let logits = matrix(&mut noise, rows, heads * classes) * 200.0;
        let targets: Vec<u32> = (0..rows).map(|row| (row * 13 % classes) as u32).collect();
        let (gradient, losses) = cross_entropy(logits.clone(), targets.clone(), heads);

        let indices = targets
            .iter()
            .flat_map(|&target| vec![i64::from(target); heads]);
        let indices = TensorData::new(indices.collect(), [rows * heads, 1]);
        let tracked = Tensor::from_inner(logits.clone()).require_grad();
        let indices = Tensor::from_data(indices, &tracked.device());
        let all = log_softmax(tracked.clone().reshape([rows * heads, classes]), 1);
        let expected = -all.gather(1, indices);
        let gradients = expected.clone().sum().backward();
        close("losses", losses, &values(expected.inner()));
        close(
            "gradient",
            gradient,
            &values(tracked.grad(&gradients).expect("a gradient")),
        );
        // The input is as it was.
        close("logits", logits.clone(), &values(tracked.inner()));
    }
}

#[test]
fn a_diverged_head_leaves_the_others_alone() {
    let logits = Tensor::<2>::from_data([[f32::NAN, 1.0, 0.0, 0.0]], &device());
    let (gradient, losses) = cross_entropy(logits, vec![1], 2);
    let (gradient, losses) = (values(gradient), values(losses));
    assert!(losses[0].is_nan() && gradient[0].is_nan());
    assert_eq!(gradient[2..], [0.5, -0.5]);
    assert!((losses[1] - 2f32.ln()).abs() < 1e-6);
}

#[test]
fn products_are_added_and_rows_summed() {
    let mut noise = Noise::new(3);
    let (x, grad) = (matrix(&mut noise, 19, 23), matrix(&mut noise, 19, 31));
    let sum = matrix(&mut noise, 23, 31);
    let expected = values(sum.clone() + x.clone().transpose().matmul(grad.clone()));
    let kept = sum.clone();
    let before = values(sum.clone());
    close("sum", add_product(sum, x.clone(), grad.clone()), &expected);
    assert_eq!(values(kept), before);
    // A part of the rows in the middle of a wider tensor.
    let part = x.clone().slice([3..11, 2..9]);
    let zero = Tensor::zeros([7, 31], &device());
    let rows = grad.clone().slice([3..11, 0..31]);
    let expected = values(part.clone().transpose().matmul(rows.clone()));
    close("part", add_product(zero, part, rows), &expected);
    close("rows", column_sums(grad.clone()), &values(grad.sum_dim(0)));
}

/// The update word by word in f64: weights, momentum, gradients of scales and offsets.
fn by_hand(step: &HeadStep, rule: HeadRule, [dim, heads, classes]: [usize; 3]) -> [Vec<f32>; 4] {
    let numbers = |x: Vec<f32>| -> Vec<f64> { x.into_iter().map(f64::from).collect() };
    let [mut weight, mut momentum, product, scale, offset] = [
        &step.weight,
        &step.momentum,
        &step.product,
        &step.scale,
        &step.offset,
    ]
    .map(|x| numbers(values(x.clone())));
    let [sums, rates, decays] =
        [&step.sums, &step.rates, &step.decays].map(|x| numbers(values(x.clone())));
    let at = |d: usize, h: usize, c: usize| (d * heads + h) * classes + c;
    let (mut of_scale, mut of_offset) = (vec![0.0; dim * heads], vec![0.0; dim * heads]);
    let mut gradient = vec![0.0; weight.len()];
    for head in 0..heads {
        let (mut weights, mut gradients) = (0.0f64, 0.0f64);
        for d in 0..dim {
            let row = d * heads + head;
            for c in 0..classes {
                let (i, sum) = (at(d, head, c), sums[head * classes + c]);
                of_scale[row] += weight[i] * product[i];
                of_offset[row] += weight[i] * sum;
                gradient[i] =
                    scale[row] * product[i] + offset[row] * sum + decays[head] * weight[i];
                weights += weight[i].powi(2);
                gradients += gradient[i].powi(2);
            }
        }
        let ratio = match rule.trust {
            Some(trust) if weights > 0.0 && gradients > 0.0 => trust * (weights / gradients).sqrt(),
            _ => 1.0,
        };
        for d in 0..dim {
            for c in 0..classes {
                let i = at(d, head, c);
                let g = ratio * gradient[i];
                momentum[i] = rule.momentum * momentum[i] + g;
                let ahead = g + rule.momentum * momentum[i];
                weight[i] -= rates[head] * if rule.nesterov { ahead } else { momentum[i] };
            }
        }
    }
    [weight, momentum, of_scale, of_offset].map(|x| x.into_iter().map(|x| x as f32).collect())
}

#[test]
fn updates_are_those_of_the_formula() {
    let mut noise = Noise::new(4);
    for sizes in SIZES {
        let [dim, heads, classes] = sizes;
        for (nesterov, trust) in [(false, Some(0.02)), (true, None), (false, None)] {
            let columns = heads * classes;
            let mut weight = matrix(&mut noise, dim, columns);
            if heads == 3 {
                // A head without weights has no norm to be relative to.
                weight = weight.slice_fill([0..dim, classes..2 * classes], 0.0);
            }
            let step = HeadStep {
                weight,
                momentum: matrix(&mut noise, dim, columns),
                product: matrix(&mut noise, dim, columns),
                sums: vector(&mut noise, columns),
                scale: matrix(&mut noise, heads, dim).transpose(),
                offset: matrix(&mut noise, dim, heads),
                rates: vector(&mut noise, heads),
                decays: vector(&mut noise, heads),
            };
            let rule = HeadRule {
                momentum: 0.9,
                nesterov,
                trust,
            };
            let expected = by_hand(&step, rule, sizes);
            let found = step_heads(step.clone(), rule);
            close("weight", found.weight, &expected[0]);
            close("momentum", found.momentum, &expected[1]);
            close("scales", found.scale_gradient, &expected[2]);
            close("offsets", found.offset_gradient, &expected[3]);
        }
    }
}
