//! Whether two variants differ by more than their seeds do.

use std::f64::consts::PI;

use serde::Serialize;

/// Seeds below which nothing is said of a difference.
pub const LEAST_SEEDS: usize = 3;
/// Largest chance of one wrong "better" or "worse" in a column of comparisons.
pub const LEVEL: f64 = 0.05;
/// Points below which a difference is one of rounding.
const ROUNDING: f64 = 1e-9;

/// What a difference over seeds says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is above 0, by more than chance explains.
    Better,
    /// It is below 0, by more than chance explains.
    Worse,
    /// Chance explains it.
    NotDistinguishable,
    /// Nothing can be said: there are less than [`LEAST_SEEDS`], or all differ by exactly as much,
    /// which does not tell how far other seeds would be.
    TooFewSeeds,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotDistinguishable => "not distinguishable",
            Self::TooFewSeeds => "too few seeds to say",
        }
    }

    fn of(mean: f64, p_value: Option<f64>) -> Self {
        match p_value {
            None => Self::TooFewSeeds,
            Some(p) if p >= LEVEL => Self::NotDistinguishable,
            Some(_) if mean > 0.0 => Self::Better,
            Some(_) => Self::Worse,
        }
    }
}

/// Differences between two variants, seed by seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// Mean difference.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval of the mean (Student's t) of this comparison
    /// alone; none with too few seeds.
    pub half_width: Option<f64>,
    /// Chance of a mean at least as far from 0 if seeds were all that differs (Student's t, both
    /// sides); none with too few seeds.
    pub p_value: Option<f64>,
    /// The same with Holm's correction for the comparisons beside this one.
    pub adjusted_p_value: Option<f64>,
    /// What the corrected chance says at [`LEVEL`].
    pub verdict: Verdict,
}

impl Comparison {
    /// Compares paired values, `a` less `b`, with no other comparison beside this one; nothing to
    /// compare is nothing.
    ///
    /// ```
    /// use ijepa_eval::study::{Comparison, Verdict};
    ///
    /// let found = Comparison::paired(&[5.0, 6.0, 7.0], &[1.0, 2.5, 2.5]).unwrap();
    /// assert_eq!((found.mean, found.verdict), (4.0, Verdict::Better));
    /// let noisy = Comparison::paired(&[5.0, 1.0, 3.0], &[1.0, 2.5, 2.0]).unwrap();
    /// assert_eq!(noisy.verdict, Verdict::NotDistinguishable);
    /// let few = Comparison::paired(&[27.5, 32.5], &[25.0, 30.0]).unwrap();
    /// assert_eq!((few.mean, few.verdict), (2.5, Verdict::TooFewSeeds));
    /// ```
    pub fn paired(a: &[f64], b: &[f64]) -> Option<Self> {
        if a.is_empty() || a.len() != b.len() {
            return None;
        }
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let (mean, deviation) = mean_and_deviation(&differences);
        let freedom = differences.len() - 1;
        let error = deviation
            .filter(|_| differences.len() >= LEAST_SEEDS)
            .map(|deviation| deviation / (differences.len() as f64).sqrt())
            .filter(|&error| error > ROUNDING || mean.abs() < ROUNDING);
        let p_value = error.map(|error| match mean.abs() < ROUNDING {
            true => 1.0,
            false => two_sided_p(mean / error, freedom),
        });
        Some(Self {
            mean,
            half_width: error.map(|error| error * quantile(freedom)),
            p_value,
            adjusted_p_value: p_value,
            verdict: Verdict::of(mean, p_value),
        })
    }
}

/// Corrects comparisons that are read together (Holm 1979): the chance that any of their "better"
/// and "worse" is wrong is at most [`LEVEL`], whatever their number and however they depend on one
/// another.
pub(super) fn holm<'a>(comparisons: impl IntoIterator<Item = &'a mut Comparison>) {
    let tested = comparisons.into_iter();
    let mut tested: Vec<(f64, &mut Comparison)> = tested
        .filter_map(|comparison| Some((comparison.p_value?, comparison)))
        .collect();
    tested.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let count = tested.len();
    let mut adjusted = 0.0_f64;
    for (rank, (p_value, comparison)) in tested.into_iter().enumerate() {
        adjusted = adjusted.max((count - rank) as f64 * p_value).min(1.0);
        comparison.adjusted_p_value = Some(adjusted);
        comparison.verdict = Verdict::of(comparison.mean, Some(adjusted));
    }
}

/// Mean and sample standard deviation; a single value has none.
pub(super) fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    (mean, deviation)
}

/// The chance of Student's t being at least as far from 0 as `t` (Abramowitz and Stegun 26.7.3 and
/// 26.7.4).
fn two_sided_p(t: f64, freedom: usize) -> f64 {
    let angle = (t.abs() / (freedom as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let odd = freedom % 2;
    let (mut sum, mut term) = (0.0, if odd == 1 { cos } else { 1.0 });
    for order in (2 + odd..=freedom).step_by(2) {
        sum += term;
        term *= (order - 1) as f64 / order as f64 * cos * cos;
    }
    let inside = match odd {
        1 => 2.0 / PI * (angle + sin * sum),
        _ => sin * sum,
    };
    (1.0 - inside).max(0.0)
}

/// Where both sides of Student's t beyond it have [`LEVEL`] together.
fn quantile(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 16.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        match two_sided_p(middle, freedom) > LEVEL {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() < within, "{found}, not {expected}");
    }

    #[test]
    fn the_interval_is_students() {
        // Differences 1, 2, 3: deviation 1, so 4.303 / sqrt(3) on either side of 2.
        let found = Comparison::paired(&[1.0, 2.0, 3.0], &[0.0; 3]).unwrap();
        close(found.half_width.unwrap(), 2.4843, 1e-3);
        assert_eq!(found.verdict, Verdict::NotDistinguishable);
        let found = Comparison::paired(&[0.0; 3], &[2.0, 2.1, 2.2]).unwrap();
        assert_eq!(found.verdict, Verdict::Worse);
    }

    /// Of printed tables of the distribution.
    #[test]
    fn quantiles_are_exact_for_any_number_of_seeds() {
        for (freedom, expected) in [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (10, 2.228),
            (11, 2.201),
            (30, 2.042),
            (120, 1.980),
        ] {
            close(quantile(freedom), expected, 6e-4);
        }
        close(two_sided_p(2.0, 4), 0.1161, 5e-5);
        close(two_sided_p(-2.0, 5), 0.1019, 5e-5);
    }

    #[test]
    fn fewer_than_three_seeds_say_nothing() {
        for (a, b) in [
            (&[9.0][..], &[1.0][..]),
            (&[27.5, 32.5], &[25.0, 30.0]),
            (&[27.5, 32.5], &[25.0, 29.0]),
        ] {
            let found = Comparison::paired(a, b).unwrap();
            assert_eq!((found.half_width, found.p_value), (None, None));
            assert_eq!(found.verdict, Verdict::TooFewSeeds);
        }
        assert_eq!(Comparison::paired(&[], &[]), None);
        assert_eq!(Comparison::paired(&[1.0], &[]), None);
    }

    /// A width of 0 would call any of them certain.
    #[test]
    fn equal_differences_say_nothing_unless_they_are_none() {
        let base = [25.1, 30.4, 28.3];
        let shifted = base.map(|value| value + 2.5);
        let found = Comparison::paired(&shifted, &base).unwrap();
        assert_eq!(found.verdict, Verdict::TooFewSeeds);
        assert_eq!(found.half_width, None);
        let same = Comparison::paired(&base, &base).unwrap();
        assert_eq!(same.verdict, Verdict::NotDistinguishable);
        assert_eq!((same.half_width, same.p_value), (Some(0.0), Some(1.0)));
    }

    /// By hand: 0.01 * 4, then 0.02 * 3 = 0.06, then 0.03 * 2 but no less than the one before.
    #[test]
    fn many_comparisons_are_corrected_by_holms_steps() {
        let with = |p_value: Option<f64>| Comparison {
            mean: -1.0,
            half_width: None,
            p_value,
            adjusted_p_value: p_value,
            verdict: Verdict::of(-1.0, p_value),
        };
        let mut found = [Some(0.03), None, Some(0.01), Some(0.02), Some(0.4)].map(with);
        holm(&mut found);
        use Verdict::{NotDistinguishable as Not, TooFewSeeds, Worse};
        let adjusted = [Some(0.06), None, Some(0.04), Some(0.06), Some(0.4)];
        let verdicts = [Not, TooFewSeeds, Worse, Not, Not];
        for ((found, adjusted), verdict) in found.iter().zip(adjusted).zip(verdicts) {
            assert_eq!(found.verdict, verdict);
            assert_eq!(found.adjusted_p_value.is_some(), adjusted.is_some());
            close(
                found.adjusted_p_value.unwrap_or(0.0),
                adjusted.unwrap_or(0.0),
                1e-12,
            );
        }
    }

    /// Twenty variants that are all the same, of which one looks better by chance.
    #[test]
    fn the_luckiest_of_many_variants_is_not_called_better() {
        let lucky = [1.0, 1.2, 1.4];
        let mut family: Vec<_> = (0..20)
            .map(|variant| match variant {
                0 => lucky,
                _ => [1.0, -0.5, -0.5].map(|value| value * f64::from(variant)),
            })
            .map(|differences| Comparison::paired(&differences, &[0.0; 3]).unwrap())
            .collect();
        assert_eq!(family[0].verdict, Verdict::Better);
        holm(&mut family);
        assert_eq!(family[0].verdict, Verdict::NotDistinguishable);
    }
}
