//! How wrong depths are.

use ijepa_data::Depth;
use serde::Serialize;

/// Predicted depths in metres are at least this; those that are no numbers are this.
const SMALLEST: f64 = 1e-3;
/// Factor within which a depth is close enough.
const CLOSE: f64 = 1.25;

/// Over all known pixels of the test images taken together; predicted depths below 1 mm count as
/// 1 mm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DepthScores {
    /// Root of the mean squared error, in metres.
    pub rmse: f64,
    /// Mean of the errors, each as a share of the depth.
    pub abs_rel: f64,
    /// Pixels whose predicted depth is less than 1.25 times the depth, and the depth less than 1.25
    /// times the predicted one (δ1), in percent.
    pub delta1: f64,
}

/// Sums over pixels.
#[derive(Debug, Clone, Default)]
pub(in crate::dense) struct DepthErrors {
    pixels: u64,
    squared: f64,
    relative: f64,
    close: u64,
}

impl DepthErrors {
    /// Adds the known pixels of an image and what was said of each, both in metres.
    pub(super) fn count(&mut self, depths: &[f32], said: impl Iterator<Item = f64>) {
        let all = depths.iter().zip(said);
        for (&depth, said) in all.filter(|(depth, _)| **depth != Depth::UNKNOWN) {
            let depth = f64::from(depth);
            let said = if said.is_finite() { said } else { SMALLEST };
            let said = said.max(SMALLEST);
            let error = (said - depth).abs();
            self.squared += error * error;
            self.relative += error / depth;
            self.close += u64::from((said / depth).max(depth / said) < CLOSE);
            self.pixels += 1;
        }
    }

    pub(super) fn scores(&self) -> DepthScores {
        let pixels = self.pixels.max(1) as f64;
        DepthScores {
            rmse: (self.squared / pixels).sqrt(),
            abs_rel: self.relative / pixels,
            delta1: 100.0 * self.close as f64 / pixels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_all_known_pixels_together() {
        let mut errors = DepthErrors::default();
        // Errors of 1, 0.5, 2 and 0 metres; 5 / 4 is too far by the edge, 2.5 / 2 as well.
        errors.count(&[4.0, 0.0, 2.0], [5.0, 9.0, 2.5].into_iter());
        errors.count(&[10.0, 8.0], [8.5, 8.0].into_iter());
        let found = errors.scores();
        assert_eq!(found.rmse, ((1.0 + 0.25 + 2.25) / 4.0_f64).sqrt());
        assert!((found.abs_rel - (0.25 + 0.25 + 0.15) / 4.0).abs() < 1e-15);
        assert_eq!(found.delta1, 50.0);
    }

    #[test]
    fn depths_that_cannot_be_are_the_smallest() {
        let scores = |said: f64| {
            let mut errors = DepthErrors::default();
            errors.count(&[2.0], std::iter::once(said));
            errors.scores()
        };
        for said in [-3.0, 0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(scores(said), scores(SMALLEST), "{said}");
        }
        assert_eq!(scores(SMALLEST).rmse, 1.999);
    }
}
