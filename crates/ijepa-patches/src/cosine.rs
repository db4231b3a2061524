//! How alike features are.

/// The cosine of `query` and every row of `features`; 0 where one of them is zero.
///
/// # Shapes
///
/// - `query`: `[dim]`
/// - `features`: `[rows, dim]`, row by row
/// - output: `[rows]`, in `[-1, 1]`
///
/// # Panics
///
/// Panics if `query` is empty.
///
/// ```
/// let rows = [3.0, 0.0, 0.0, 5.0, -1.0, -1.0];
/// let map = ijepa_patches::cosine_map(&[2.0, 0.0], &rows);
/// assert_eq!(map[..2], [1.0, 0.0]);
/// assert!((map[2] + 0.5f64.sqrt()).abs() < 1e-12);
/// ```
pub fn cosine_map(query: &[f32], features: &[f32]) -> Vec<f64> {
    let length = norm(query);
    let rows = features.chunks_exact(query.len());
    rows.map(|row| {
        let lengths = length * norm(row);
        if lengths > 0.0 {
            (dot(query, row) / lengths).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    })
    .collect()
}

/// The place of value `own` among all `values`, 1 for the largest; equal values share their places.
///
/// # Panics
///
/// Panics if there is no such value.
pub fn rank(values: &[f64], own: usize) -> f64 {
    let count = |test: fn(&f64, &f64) -> bool| {
        let found = values.iter().filter(|value| test(value, &values[own]));
        found.count() as f64
    };
    let (larger, equal) = (count(|a, b| a > b), count(|a, b| a == b));
    1.0 + larger + (equal - 1.0) / 2.0
}

/// How often a value inside is larger than one outside, equal ones counted half: 0.5 by chance, 1
/// if the largest values are those inside.
pub fn separation(inside: &[f64], outside: &[f64]) -> f64 {
    let pairs = inside
        .iter()
        .flat_map(|a| outside.iter().map(move |b| (a, b)));
    let wins = pairs.map(|(a, b)| match a.total_cmp(b) {
        _ if a == b => 0.5,
        std::cmp::Ordering::Greater => 1.0,
        _ => 0.0,
    });
    mean(wins)
}

/// The mean of some values.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values {
        sum += value;
        count += 1;
    }
    sum / count as f64
}

fn norm(values: &[f32]) -> f64 {
    dot(values, values).sqrt()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_true_feature_is_most_like_its_own_place() {
        // Four patches with two values, the query is the third.
        let features = [1.0, 0.2, -0.3, 1.0, 0.9, -0.7, -1.0, -1.0];
        let map = cosine_map(&features[4..6], &features);
        assert!((map[2] - 1.0).abs() < 1e-12, "{map:?}");
        assert_eq!((rank(&map, 2), rank(&map, 3)), (1.0, 3.0));
        assert_eq!(cosine_map(&[0.0, 0.0], &features), [0.0; 4]);
    }

    #[test]
    fn chance_is_the_middle() {
        let equal = [0.7; 5];
        assert_eq!(rank(&equal, 1), 3.0);
        assert_eq!(separation(&equal[..2], &equal[2..]), 0.5);
        assert_eq!(separation(&[3.0, 4.0], &[1.0, 2.0]), 1.0);
        assert_eq!(separation(&[1.0, 4.0], &[2.0, 5.0]), 0.25);
    }
}
