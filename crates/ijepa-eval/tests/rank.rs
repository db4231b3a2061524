//! Effective rank and spread of features whose spectrum is known.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use ijepa_eval::{
    Centering, Features, Whitening, effective_rank, feature_std, lidar, rank_report, rankme,
    singular_values,
};

use ijepa_testkit::noise;

fn features(images: usize, dim: usize, value: impl Fn(usize, usize) -> f64) -> Features {
    let values = (0..images * dim)
        .map(|at| value(at / dim, at % dim) as f32)
        .collect();
    Features::new(dim, values, vec![None; images]).unwrap()
}

/// Element of a Hadamard matrix: rows and columns are orthogonal, row and column 0 are ones.
fn hadamard(i: usize, j: usize) -> f64 {
    if (i & j).count_ones().is_multiple_of(2) {
        1.0
    } else {
        -1.0
    }
}

/// `images` x `dim` with the given singular values, for up to 32 images and 8 values.
fn with_spectrum(images: usize, dim: usize, spectrum: &[f64]) -> Features {
    let scale = (32.0f64 * 8.0).sqrt();
    features(images, dim, |image, column| {
        let term = |(i, value): (usize, &f64)| value * hadamard(image, i) * hadamard(i, column);
        spectrum.iter().enumerate().map(term).sum::<f64>() / scale
    })
}

fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{found} is not {expected}"
    );
}

#[test]
fn singular_values_of_a_known_spectrum() {
    let spectrum = [16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125];
    let tall = singular_values(&with_spectrum(32, 8, &spectrum), Centering::Raw);
    assert_eq!(tall.len(), 8);
    for (found, expected) in tall.iter().zip(spectrum) {
        assert_near(*found, expected, 1e-5);
    }
    // The transposed matrix takes the other Gram matrix and has the same values.
    let wide = with_spectrum(32, 8, &spectrum);
    let wide = features(8, 32, |image, column| f64::from(wide.row(column)[image]));
    for (found, expected) in singular_values(&wide, Centering::Raw).iter().zip(tall) {
        assert_near(*found, expected, 1e-5);
    }
}

#[test]
fn equal_singular_values_give_the_full_rank() {
    for dim in [1, 2, 8, 33] {
        let identity = features(dim, dim, |i, j| f64::from(u8::from(i == j)));
        assert_near(rankme(&identity, Centering::Raw), dim as f64, 1e-3);
    }
    assert_near(
        rankme(&with_spectrum(32, 8, &[3.0; 8]), Centering::Raw),
        8.0,
        1e-3,
    );
}

#[test]
fn a_single_direction_gives_rank_one() {
    let line = features(50, 16, |image, column| {
        (image as f64 - 20.0) * (column as f64 + 1.0)
    });
    assert_near(rankme(&line, Centering::Raw), 1.0, 1e-3);
    let zero = features(50, 16, |_, _| 0.0);
    for centering in [Centering::Raw, Centering::Mean] {
        assert_near(rankme(&zero, centering), 1.0, 1e-3);
    }
}

#[test]
fn the_formula_is_the_exponential_of_the_entropy() {
    let expected = (-(0.75f64 * 0.75f64.ln() + 0.25 * 0.25f64.ln())).exp();
    assert_near(effective_rank(&[3.0, 1.0]), expected, 1e-5);
    assert_near(effective_rank(&[3.0, 1.0, 0.0]), expected, 1e-4);
}

#[test]
fn centring_removes_the_mean_direction() {
    // Column 0 of the left factor is constant: the first direction is the mean.
    let features = with_spectrum(32, 8, &[1000.0, 1.0, 1.0, 1.0, 1.0]);
    let report = rank_report(&features);
    assert!(report.rankme < 1.1, "{report:?}");
    assert_near(report.rankme_centered, 4.0, 1e-2);
}

#[test]
fn the_spread_is_that_of_a_column_and_zero_where_nothing_differs() {
    let isotropic = features(32, 8, |image, column| 5.0 * hadamard(image, column + 1));
    assert_near(feature_std(&isotropic), 5.0, 1e-6);
    let constant = features(32, 8, |_, column| 1000.0 + column as f64);
    assert_near(feature_std(&constant), 0.0, 1e-9);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (images, views, dim) = (300, 3, 40);
    let values = (0..images * views * dim).map(|at| noise(5, at) + (at % dim) as f32);
    let features = Features::new(views * dim, values.collect(), vec![None; images]).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let whitened = Whitening::of(&features).apply(&features).unwrap();
            let report = rank_report(&features);
            let values = singular_values(&features, Centering::Mean);
            (report, lidar(&features, views), values, whitened)
        })
    };
    assert_eq!(on(1), on(2));
}
