//! Short numbers.

/// Numbers below this are written in powers of ten.
const SMALL: f64 = 9.995e-4;
/// Numbers from this on, too.
const LARGE: f64 = 1e12;

/// A number in about four digits, whole thousands with all of theirs: `0.0123`, `12,800`, `2e-5`,
/// `4e15`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(SMALL..LARGE).contains(&size) {
        scientific(value)
    } else if size >= 999.5 {
        grouped(value.round() as i64)
    } else {
        let decimals = match size {
            size if size >= 99.95 => 1,
            size if size >= 9.995 => 2,
            size if size >= 0.9995 => 3,
            _ => 4,
        };
        trimmed(&format!("{value:.decimals$}")).to_owned()
    }
}

/// The middle value, the upper of two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A whole number in groups of three digits.
pub(crate) fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{}e{exponent}", trimmed(digits)),
        None => text,
    }
}

fn trimmed(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_whole_ones_exact() {
        let cases = [
            (0.0, "0"),
            (0.123456, "0.1235"),
            (12.0, "12"),
            (99.99, "100"),
            (999.7, "1,000"),
            (1234.0, "1,234"),
            (12_670.0, "12,670"),
            (12_800.0, "12,800"),
            (-3_200_000.0, "-3,200,000"),
            (1e-5, "1e-5"),
            (-0.00025, "-2.5e-4"),
            (4.5e18, "4.5e18"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
