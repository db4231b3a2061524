//! Minimisation of smooth convex functions by L-BFGS (Nocedal and Wright 2006, algorithm 7.5).

use std::collections::VecDeque;

use ijepa_patches::dot;

/// Past steps that approximate the curvature.
const MEMORY: usize = 10;
/// Share of the predicted decrease that a step has to achieve.
const SUFFICIENT: f64 = 1e-4;
/// Halvings after which no decrease can be found: the function is flat to rounding.
const HALVINGS: usize = 30;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// Largest absolute component of the gradient.
    pub(super) gradient: f64,
    pub(super) iterations: usize,
}

/// Where a search ended.
#[derive(Debug)]
pub(super) struct Minimum {
    pub(super) x: Vec<f64>,
    pub(super) value: f64,
}

/// A step and the change of the gradient over it.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// 1 over their inner product.
    rho: f64,
}

/// Minimises `function`, which gives a value and its gradient, from `x` on.
pub(super) fn minimize(
    mut x: Vec<f64>,
    stop: Stop,
    mut function: impl FnMut(&[f64]) -> (f64, Vec<f64>),
) -> Minimum {
    let (mut value, mut gradient) = function(&x);
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    for _ in 0..stop.iterations {
        if largest(&gradient) <= stop.gradient {
            break;
        }
        let direction = direction(&gradient, &pairs);
        let slope = dot(&direction, &gradient);
        // Without curvature the gradient says nothing about the length of a step.
        let mut length = if pairs.is_empty() {
            1.0 / dot(&gradient, &gradient).sqrt()
        } else {
            1.0
        };
        let mut found = None;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = x
                .iter()
                .zip(&direction)
                .map(|(x, d)| x + length * d)
                .collect();
            let (next_value, next_gradient) = function(&next);
            if next_value <= value + SUFFICIENT * length * slope {
                found = Some((next, next_value, next_gradient));
                break;
            }
            length *= 0.5;
        }
        let Some((next, next_value, next_gradient)) = found else {
            break;
        };
        remember(
            &mut pairs,
            difference(&next, &x),
            difference(&next_gradient, &gradient),
        );
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    Minimum { x, value }
}

/// `-H gradient` for the inverse Hessian that the pairs suggest, by two loops over them.
fn direction(gradient: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut weights = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let weight = pair.rho * dot(&pair.step, &direction);
        add(&mut direction, -weight, &pair.change);
        weights.push(weight);
    }
    if let Some(last) = pairs.back() {
        let scale = 1.0 / (last.rho * dot(&last.change, &last.change));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (pair, weight) in pairs.iter().zip(weights.into_iter().rev()) {
        let correction = weight - pair.rho * dot(&pair.change, &direction);
        add(&mut direction, correction, &pair.step);
    }
    direction
}

/// Keeps a pair if it shows positive curvature beyond rounding.
fn remember(pairs: &mut VecDeque<Pair>, step: Vec<f64>, change: Vec<f64>) {
    let curvature = dot(&step, &change);
    if curvature <= f64::EPSILON * dot(&change, &change) {
        return;
    }
    if pairs.len() == MEMORY {
        pairs.pop_front();
    }
    pairs.push_back(Pair {
        step,
        change,
        rho: 1.0 / curvature,
    });
}

fn add(x: &mut [f64], factor: f64, y: &[f64]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += factor * y;
    }
}

fn difference(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x - y).collect()
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |most, x| x.abs().max(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_valley_is_followed_to_its_end() {
        let mut calls = 0;
        let rosenbrock = |x: &[f64]| {
            calls += 1;
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            let value = a * a + 100.0 * b * b;
            (value, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b])
        };
        let stop = Stop {
            gradient: 1e-9,
            iterations: 200,
        };
        let minimum = minimize(vec![-1.2, 1.0], stop, rosenbrock);
        assert!(calls < 100 && minimum.value < 1e-18, "{minimum:?}");
        assert!((minimum.x[0] - 1.0).abs() < 1e-8 && (minimum.x[1] - 1.0).abs() < 1e-8);
    }

    #[test]
    fn ill_conditioned_squares_are_solved_and_the_limit_is_kept() {
        let squares = |x: &[f64]| {
            let weight = |at: usize| 10f64.powi(at as i32 % 6);
            let terms = x
                .iter()
                .enumerate()
                .map(|(at, x)| weight(at) * (x - 1.0).powi(2) / 2.0);
            let slope = x.iter().enumerate().map(|(at, x)| weight(at) * (x - 1.0));
            (terms.sum(), slope.collect())
        };
        let search = |iterations| {
            let stop = Stop {
                gradient: 1e-8,
                iterations,
            };
            minimize(vec![0.0; 30], stop, squares)
        };
        assert!(search(300).x.iter().all(|x| (x - 1.0).abs() < 1e-7));
        assert!(search(3).value > search(4).value);
    }
}
