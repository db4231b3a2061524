//! kNN, ranks and view statistics against NumPy; `golden/features.py` made the numbers.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::Path;

use ijepa_eval::{Centering, Features, KnnConfig, alignment, knn, lidar, rankme, uniformity};
use ijepa_testkit::{Golden, device};

/// Relative; NumPy's numbers are f64, too.
const TOLERANCE: f64 = 1e-9;
/// Ranks come from eigenvalues of the Gram matrix, NumPy's from singular values.
const RANK_TOLERANCE: f64 = 1e-6;

fn golden() -> Golden {
    Golden::load(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
        "features",
    )
}

fn features(golden: &Golden, name: &str) -> Features {
    let shape = golden.shape(name);
    let labels = match golden.names("").contains(&format!("{name}_labels")) {
        true => golden.i64s(&format!("{name}_labels")),
        false => vec![-1; shape[0]],
    };
    let labels = labels.into_iter().map(|label| u32::try_from(label).ok());
    let dim = shape[1..].iter().product();
    Features::new(dim, golden.f32s(name), labels.collect()).unwrap()
}

fn check(golden: &Golden, name: &str, found: f64, tolerance: f64) {
    let expected = golden.json[name].as_f64().unwrap();
    let difference = (found / expected - 1.0).abs();
    assert!(
        difference <= tolerance,
        "{name}: {found}, expected {expected}"
    );
}

#[test]
fn knn_classifies_as_numpy_does() {
    let golden = golden();
    let (train, test) = (features(&golden, "train"), features(&golden, "test"));
    for name in ["knn", "knn_centered", "knn_whitened"] {
        let config = KnnConfig {
            center: name == "knn_centered",
            whiten: name == "knn_whitened",
            block: [64, 100],
            ..KnnConfig::default()
        };
        let report = knn(&train, &test, &config, &device()).unwrap();
        assert_eq!(report.k.len(), 4);
        for (k, found) in &report.k {
            let expected = &golden.json[name][k.to_string()];
            for (found, top) in [(found.top1, "top1"), (found.top5, "top5")] {
                // Accuracies are counts; only their division by 150 images is rounded.
                let difference = found - expected[top].as_f64().unwrap();
                assert!(difference.abs() < 1e-9, "{name} {k} {top}: {found}");
            }
        }
    }
}

#[test]
fn ranks_and_view_statistics_equal_numpys() {
    let golden = golden();
    let (train, views) = (features(&golden, "train"), features(&golden, "views"));
    let count = golden.shape("views")[1];
    check(
        &golden,
        "rankme",
        rankme(&train, Centering::Raw),
        RANK_TOLERANCE,
    );
    check(
        &golden,
        "rankme_centered",
        rankme(&train, Centering::Mean),
        RANK_TOLERANCE,
    );
    check(&golden, "lidar", lidar(&views, count), RANK_TOLERANCE);
    check(&golden, "alignment", alignment(&views, count), TOLERANCE);
    check(&golden, "uniformity", uniformity(&train), TOLERANCE);
}

#[test]
fn lidar_ignores_what_tells_views_apart() {
    let golden = golden();
    let (views, count) = (features(&golden, "views"), golden.shape("views")[1]);
    let dim = views.dim() / count;
    // A further direction that only depends on the view, and hugely.
    let mut values = Vec::new();
    for image in 0..views.images() {
        for (view, row) in views.row(image).chunks(dim).enumerate() {
            values.extend_from_slice(row);
            values.push(100.0 * view as f32);
        }
    }
    let width = values.len() / views.images();
    let more = Features::new(width, values, views.labels().to_vec()).unwrap();
    let change = lidar(&more, count) / lidar(&views, count) - 1.0;
    // Not exactly zero: by chance the other directions correlate with the number of the view.
    assert!(change.abs() < 1e-3, "{change}");
    // To RankMe it is the one direction that matters.
    let each_view = |features: &Features| {
        let rows = features.images() * count;
        let values = features.values().to_vec();
        Features::new(features.dim() / count, values, vec![None; rows]).unwrap()
    };
    let rank = |features: &Features| rankme(&each_view(features), Centering::Raw);
    assert!(rank(&more) < 0.5 * rank(&views));
}
