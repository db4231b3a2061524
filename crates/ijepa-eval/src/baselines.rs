//! What the features of a trained encoder are worth beside those of random weights and of pixels.

use std::fmt;

use burn::tensor::Device;
use serde::Serialize;

use crate::{
    features::Features,
    knn::{KnnConfig, KnnError, NEIGHBOURS, knn},
};

/// Side of the images whose pixels are compared: whitened, the strongest features without training
/// that are known of small images.
pub(crate) const PIXEL_SIDE: usize = 8;
/// Standard errors beyond which two accuracies differ.
const CERTAIN: f64 = 2.0;

/// Top-1 accuracy of 20 nearest neighbours of one kind of features, percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Neighbours {
    /// Of features less their mean.
    pub centered: f64,
    /// Of whitened features; none if they are no more than they are wide.
    pub whitened: Option<f64>,
}

impl Neighbours {
    pub(crate) fn of(train: &Features, test: &Features, device: &Device) -> Result<Self, KnnError> {
        let accuracy = |whiten: bool| -> Result<f64, KnnError> {
            let config = KnnConfig {
                center: !whiten,
                whiten,
                ..KnnConfig::centered()
            };
            Ok(knn(train, test, &config, device)?.k[&NEIGHBOURS].top1)
        };
        let centered = accuracy(false)?;
        let whitened = match accuracy(true) {
            Err(KnnError::TooFewToWhiten { .. }) => None,
            found => Some(found?),
        };
        Ok(Self { centered, whitened })
    }

    fn best(self) -> f64 {
        self.whitened
            .map_or(self.centered, |it| it.max(self.centered))
    }

    /// Points that whitening adds: what large directions drown.
    pub fn gap(self) -> Option<f64> {
        Some(self.whitened? - self.centered)
    }
}

/// What a trained encoder is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// Better than random weights and than pixels.
    AbovePixels,
    /// Better than random weights, no better than pixels.
    AboveRandom,
    /// As good as random weights, as far as so many test images tell.
    NotDistinguishable,
    /// Worse than random weights.
    BelowRandom,
}

impl Worth {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::AbovePixels => "above random weights and above pixels",
            Self::AboveRandom => "above random weights, not above pixels",
            Self::NotDistinguishable => "not distinguishable from random weights",
            Self::BelowRandom => "below random weights",
        }
    }
}

/// A trained encoder beside what it has to beat, the block at the end of every run with labelled
/// images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baselines {
    /// Images that vote.
    pub train_images: usize,
    /// Images that are classified.
    pub test_images: usize,
    /// Neighbours that vote.
    pub k: usize,
    /// Features of the trained target encoder.
    pub target: Neighbours,
    /// Features of the same encoder with the weights that its recipe begins with.
    pub random: Neighbours,
    /// Pixels of the images shrunk to 8x8.
    pub pixels: Neighbours,
    /// Points that whitening adds to the target encoder.
    pub whitening_gap: Option<f64>,
    /// Points by which the target encoder must differ from random weights: two standard errors of
    /// the difference of two shares of the test images.
    pub margin: f64,
    /// The same of the pixels, by the features that are compared with them.
    pub pixels_margin: f64,
    /// The judgement: against random weights by centred features, against pixels by the better of
    /// centred and whitened features of both.
    pub verdict: Worth,
}

impl Baselines {
    pub(crate) fn new(
        [train_images, test_images]: [usize; 2],
        [target, random, pixels]: [Neighbours; 3],
    ) -> Self {
        let margin = |a: f64, b: f64| {
            let variances = [a, b].map(|share| share * (100.0 - share));
            CERTAIN * (variances.iter().sum::<f64>() / test_images as f64).sqrt()
        };
        let above = |a: f64, b: f64| a - b > margin(a, b);
        let (now, before) = (target.centered, random.centered);
        let verdict = match (above(now, before), above(before, now)) {
            (_, true) => Worth::BelowRandom,
            (false, _) => Worth::NotDistinguishable,
            _ if above(target.best(), pixels.best()) => Worth::AbovePixels,
            _ => Worth::AboveRandom,
        };
        Self {
            train_images,
            test_images,
            k: NEIGHBOURS,
            target,
            random,
            pixels,
            whitening_gap: target.gap(),
            margin: margin(now, before),
            pixels_margin: margin(target.best(), pixels.best()),
            verdict,
        }
    }
}

impl fmt::Display for Baselines {
    /// A table, the gap and the verdict, each on lines of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |it| format!("{it:.1}"));
        let (k, train, test) = (self.k, self.train_images, self.test_images);
        let title = format!("{k}-NN, {train} and {test} images");
        writeln!(f, "{title:32}centred %   whitened %")?;
        for (name, found) in [
            ("target encoder", self.target),
            ("random weights", self.random),
            ("pixels at 8x8", self.pixels),
        ] {
            let [centered, whitened] = [Some(found.centered), found.whitened].map(number);
            writeln!(f, "{name:32}{centered:>9}{whitened:>13}")?;
        }
        if let [Some(now), Some(before)] = [self.target.gap(), self.random.gap()] {
            writeln!(
                f,
                "whitening gap: {now:+.1} points for the target encoder, {before:+.1} for random \
                 weights"
            )?;
        }
        writeln!(
            f,
            "features: {} (differences of more than {:.1} points count, from pixels {:.1})",
            self.verdict.words(),
            self.margin,
            self.pixels_margin
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: f64, random: f64, pixels: f64, test_images: usize) -> Baselines {
        let found = |centered: f64| Neighbours {
            centered,
            whitened: Some(centered + 6.0),
        };
        let found = [target, random, pixels].map(found);
        Baselines::new([5000, test_images], found)
    }

    #[test]
    fn differences_within_two_standard_errors_count_for_nothing() {
        for (target, random, pixels, images, expected) in [
            (52.3, 34.1, 40.4, 10_000, Worth::AbovePixels),
            (42.0, 34.1, 41.5, 1_000, Worth::AboveRandom),
            (42.0, 34.1, 48.0, 10_000, Worth::AboveRandom),
            (36.0, 34.1, 20.0, 1_000, Worth::NotDistinguishable),
            (36.0, 34.1, 20.0, 10_000, Worth::AbovePixels),
            (12.1, 14.5, 10.0, 100, Worth::NotDistinguishable),
            (12.1, 14.5, 10.0, 10_000, Worth::BelowRandom),
        ] {
            let found = of(target, random, pixels, images);
            assert_eq!(found.verdict, expected, "{found}");
        }
        // sqrt((36 * 64 + 34.1 * 65.9) / 1000) = 2.133.
        assert!((of(36.0, 34.1, 20.0, 1_000).margin - 4.267).abs() < 0.001);
    }

    #[test]
    fn the_block_names_every_baseline_the_gap_and_the_verdict() {
        let text = of(52.3, 34.1, 40.4, 1_000).to_string();
        for part in [
            "target encoder                       52.3         58.3",
            "random weights                       34.1         40.1",
            "pixels at 8x8                        40.4         46.4",
            "whitening gap: +6.0 points for the target encoder, +6.0",
            "features: above random weights and above pixels",
            "(differences of more than 4.4 points count, from pixels 4.4)",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let mut few = of(52.3, 34.1, 40.4, 1_000);
        few.target.whitened = None;
        assert!(few.to_string().contains("52.3            -"), "{few}");
        assert!(!few.to_string().contains("gap"), "{few}");
    }
}
