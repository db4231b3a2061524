//! Whether two variants differ by more than their seeds do.

use serde::Serialize;

/// Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom.
const STUDENT_T: [f64; 10] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
];
/// The quantile used beyond the table, a little too large.
const STUDENT_T_BEYOND: f64 = 2.2;

/// What a difference over seeds says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The interval lies above 0.
    Better,
    /// The interval lies below 0.
    Worse,
    /// The interval contains 0, or a single seed gives none.
    NotDistinguishable,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotDistinguishable => "not distinguishable",
        }
    }
}

/// Differences between two variants, seed by seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// Mean difference.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval of the mean (Student's t); none with a
    /// single seed.
    pub half_width: Option<f64>,
    /// What the interval says.
    pub verdict: Verdict,
}

impl Comparison {
    /// Compares paired values, `a` less `b`; nothing to compare is nothing.
    ///
    /// ```
    /// use ijepa_eval::sweep::{Comparison, Verdict};
    ///
    /// let found = Comparison::paired(&[5.0, 6.0, 7.0], &[1.0, 2.5, 2.5]).unwrap();
    /// assert_eq!((found.mean, found.verdict), (4.0, Verdict::Better));
    /// let noisy = Comparison::paired(&[5.0, 1.0], &[1.0, 2.5]).unwrap();
    /// assert_eq!(noisy.verdict, Verdict::NotDistinguishable);
    /// ```
    pub fn paired(a: &[f64], b: &[f64]) -> Option<Self> {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        if differences.is_empty() || a.len() != b.len() {
            return None;
        }
        let (mean, deviation) = mean_and_deviation(&differences);
        let half_width = deviation.map(|deviation| {
            let freedom = differences.len() - 1;
            let t = STUDENT_T.get(freedom - 1).unwrap_or(&STUDENT_T_BEYOND);
            t * deviation / (differences.len() as f64).sqrt()
        });
        let verdict = match half_width {
            Some(half) if mean > half => Verdict::Better,
            Some(half) if mean < -half => Verdict::Worse,
            _ => Verdict::NotDistinguishable,
        };
        Some(Self {
            mean,
            half_width,
            verdict,
        })
    }
}

/// Mean and sample standard deviation; a single value has none.
pub(crate) fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    (mean, deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        // Differences 1, 2, 3: deviation 1, so 4.303 / sqrt(3) on either side of 2.
        let found = Comparison::paired(&[1.0, 2.0, 3.0], &[0.0; 3]).unwrap();
        assert!((found.half_width.unwrap() - 2.4843).abs() < 1e-3);
        assert_eq!(found.verdict, Verdict::NotDistinguishable);
        let found = Comparison::paired(&[0.0; 3], &[2.0, 2.1, 2.2]).unwrap();
        assert_eq!(found.verdict, Verdict::Worse);
    }

    #[test]
    fn one_seed_tells_nothing() {
        let found = Comparison::paired(&[9.0], &[1.0]).unwrap();
        assert_eq!(found.half_width, None);
        assert_eq!(found.verdict, Verdict::NotDistinguishable);
        assert_eq!(Comparison::paired(&[], &[]), None);
        assert_eq!(Comparison::paired(&[1.0], &[]), None);
    }
}
