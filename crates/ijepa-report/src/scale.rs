//! From values to positions: ranges, ticks and short numbers.

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    Linear,
    /// Logarithmic if the values are positive and span more than [`LOG_SPAN`], else linear.
    LogIfWide,
}

/// Largest over smallest value from which a logarithmic axis reads better.
const LOG_SPAN: f64 = 30.0;
/// Numbers below this are written in powers of ten.
const SMALL: f64 = 9.995e-4;
/// Ticks that an axis has at most.
const MOST_TICKS: f64 = 6.0;

/// An axis from its lowest to its highest value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// An axis for `values`, which are finite; with none it goes from 0 to 1.
    pub(crate) fn of(values: impl Iterator<Item = f64> + Clone, spacing: Spacing) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return Self::linear(0.0, 1.0);
        }
        if spacing == Spacing::LogIfWide && low > 0.0 && high / low > LOG_SPAN {
            return Self {
                low,
                high,
                log: true,
            };
        }
        if low == high {
            let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            return Self::linear(low - margin, high + margin);
        }
        Self::linear(low, high)
    }

    fn linear(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            log: false,
        }
    }

    /// The same axis with a little room at both ends, from 0 if that is near.
    pub(crate) fn padded(self) -> Self {
        if self.log {
            let room = (self.high / self.low).powf(0.05);
            return Self {
                low: self.low / room,
                high: self.high * room,
                log: true,
            };
        }
        let room = 0.06 * (self.high - self.low);
        let near_zero = self.low >= 0.0 && self.low < 0.35 * self.high;
        let low = if near_zero { 0.0 } else { self.low - room };
        Self::linear(low, self.high + room)
    }

    /// Where `value` lies, 0 at the low end and 1 at the high end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let (value, low, high) = if self.log {
            (value.ln(), self.low.ln(), self.high.ln())
        } else {
            (value, self.low, self.high)
        };
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Whether it is logarithmic.
    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// Round values within the axis, ascending.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        if self.log {
            self.decades()
        } else {
            self.steps()
        }
    }

    fn steps(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / (MOST_TICKS - 1.0);
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|factor| factor * magnitude)
            .into_iter()
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(10.0 * magnitude);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|number| number as f64 * step).collect()
    }

    fn decades(&self) -> Vec<f64> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let decades = high - low;
        let factors: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 3.0] };
        let every = (decades / MOST_TICKS).ceil().max(1.0) as i32;
        let exponents = (low.floor() as i32)..=(high.ceil() as i32);
        exponents
            .filter(|exponent| exponent.rem_euclid(every) == 0)
            .flat_map(|exponent| {
                factors
                    .iter()
                    .map(move |factor| factor * 10f64.powi(exponent))
            })
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// A number in about three digits: `0.0123`, `12k`, `1.5M`, `2e-5`, `4e15`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(SMALL..1e9).contains(&size) {
        scientific(value)
    } else if size >= 1e6 {
        format!("{}M", digits(value / 1e6))
    } else if size >= 1e4 {
        format!("{}k", digits(value / 1e3))
    } else {
        digits(value)
    }
}

/// `ticks` as short numbers, all in powers of ten if one has to be.
pub(crate) fn tick_labels(ticks: &[f64]) -> Vec<String> {
    let small = |tick: &f64| *tick != 0.0 && tick.abs() < SMALL;
    let label = match ticks.iter().any(small) {
        true => scientific,
        false => short,
    };
    ticks.iter().map(|&tick| label(tick)).collect()
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((digits, exponent)) if value != 0.0 => format!("{}e{exponent}", trimmed(digits)),
        _ => "0".to_owned(),
    }
}

/// At least three digits without trailing zeros.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 99.95 => 1,
        size if size >= 9.995 => 2,
        size if size >= 0.9995 => 3,
        _ => 4,
    };
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

fn trimmed(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let check = |low: f64, high: f64, expected: &[f64]| {
            let ticks = Scale::linear(low, high).ticks();
            assert_eq!(ticks.len(), expected.len(), "{ticks:?}");
            for (found, expected) in ticks.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{ticks:?}");
            }
        };
        check(0.0, 1.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(0.0, 990.0, &[0.0, 200.0, 400.0, 600.0, 800.0]);
        check(-0.3, 0.4, &[-0.2, 0.0, 0.2, 0.4]);
        let log = Scale::of([1e-5, 2.0].into_iter(), Spacing::LogIfWide);
        assert_eq!(log.ticks(), [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0]);
        let short = Scale::of([2.0, 90.0].into_iter(), Spacing::LogIfWide);
        assert_eq!(short.ticks(), [3.0, 10.0, 30.0]);
    }

    #[test]
    fn every_range_gives_finite_places() {
        let cases: [&[f64]; 6] = [
            &[],
            &[0.0],
            &[3.0],
            &[-2.0, -2.0],
            &[0.0, 1e9],
            &[1e-12, 1e12],
        ];
        for values in cases {
            for spacing in [Spacing::Linear, Spacing::LogIfWide] {
                let scale = Scale::of(values.iter().copied(), spacing).padded();
                for &value in values {
                    let place = scale.place(value);
                    assert!((0.0..=1.0).contains(&place), "{values:?} {place}");
                }
                let count = scale.ticks().len();
                assert!((1..=14).contains(&count), "{values:?} {count}");
            }
        }
    }

    #[test]
    fn only_wide_positive_values_get_a_logarithmic_axis() {
        let log = |values: &[f64]| Scale::of(values.iter().copied(), Spacing::LogIfWide).is_log();
        assert!(log(&[1e-3, 1.0]));
        assert!(!log(&[0.1, 1.0]) && !log(&[0.0, 1000.0]) && !log(&[-1.0, 1000.0]));
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.123456, "0.1235"),
            (12.0, "12"),
            (99.99, "100"),
            (1234.0, "1234"),
            (12_500.0, "12.5k"),
            (3.2e6, "3.2M"),
            (1e-5, "1e-5"),
            (-0.00025, "-2.5e-4"),
            (4.5e18, "4.5e18"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        assert_eq!(tick_labels(&[0.0, 5e-4, 0.001]), ["0", "5e-4", "1e-3"]);
        assert_eq!(tick_labels(&[0.0, 0.5, 1.0]), ["0", "0.5", "1"]);
    }
}
