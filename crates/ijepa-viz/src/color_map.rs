//! Numbers as colours.

/// Nine colours of matplotlib's magma, evenly spaced: lightness rises all the way, so the order is
/// seen also in grey and by readers with colour-blindness (van der Walt and Smith 2015, CC0).
const MAGMA: [[u8; 3]; 9] = [
    [0, 0, 4],
    [28, 16, 68],
    [79, 18, 123],
    [129, 37, 129],
    [181, 54, 122],
    [229, 80, 100],
    [251, 135, 97],
    [254, 194, 135],
    [252, 253, 191],
];

/// The colour of a share in `[0, 1]`, from black over purple and orange to pale yellow; shares
/// outside have the colour of the nearer end.
///
/// ```
/// assert_eq!(ijepa_viz::magma(0.0), [0, 0, 4]);
/// assert_eq!(ijepa_viz::magma(1.0), [252, 253, 191]);
/// ```
pub fn magma(share: f64) -> [u8; 3] {
    let place = share.clamp(0.0, 1.0) * (MAGMA.len() - 1) as f64;
    let below = (place as usize).min(MAGMA.len() - 2);
    let (low, high, part) = (MAGMA[below], MAGMA[below + 1], place - below as f64);
    std::array::from_fn(|channel| {
        let (low, high) = (f64::from(low[channel]), f64::from(high[channel]));
        (low + part * (high - low)).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_shares_are_lighter() {
        let lightness = |step: u32| {
            let [red, green, blue] = magma(f64::from(step) / 100.0).map(f64::from);
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        for step in 0..100 {
            assert!(lightness(step + 1) > lightness(step), "{step}");
        }
        assert_eq!((magma(-1.0), magma(2.0)), (magma(0.0), magma(1.0)));
    }
}
