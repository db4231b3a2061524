//! RandAugment: a few distortions drawn from fifteen.

use std::fmt;
use std::str::FromStr;

use rand::Rng;

use super::Distortion::{self, *};
use super::check_within;
use crate::error::DataError;
use crate::image::RgbImage8;
use crate::rng::{below, normal, unit};

const MOST_LAYERS: usize = 16;

/// A policy of random distortions whose severity grows with the magnitude, written as in timm:
/// `rand-m9-mstd0.5-inc1`.
///
/// Each of `layers` draws picks one of the fifteen operations, all equally likely and also the
/// same one again, and carries it out with probability one half. (RandAugment, Cubuk et al. 2020;
/// details as in timm 0.3.2, which the fine-tuning of MAE and I-JEPA used.)
///
/// # Examples
///
/// ```
/// use ijepa_data::{Purpose, RandAugment, RgbImage8, sample_rng};
///
/// let policy: RandAugment = "rand-m9-mstd0.5-inc1".parse()?;
/// assert_eq!((policy.layers, policy.magnitude), (2, 9.0));
/// let mut image = RgbImage8::new(8, 8, vec![90; 192])?;
/// policy.apply(&mut image, &mut sample_rng(0, Purpose::Augment, 0, 0));
/// assert!("rand-m11".parse::<RandAugment>().is_err());
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandAugment {
    /// Operations drawn for an image, 1 to 16; `n` in the text, 2 without it.
    pub layers: usize,
    /// Mean severity, 0 to 10; `m` in the text.
    pub magnitude: f64,
    /// Standard deviation of the severity, which is then kept within 0 to 10; `mstd` in the text,
    /// 0 without it.
    pub magnitude_std: f64,
}

impl Default for RandAugment {
    /// `rand-m9-mstd0.5-inc1`.
    fn default() -> Self {
        Self {
            layers: 2,
            magnitude: 9.0,
            magnitude_std: 0.5,
        }
    }
}

impl RandAugment {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`DataError::BadValue`] naming the field.
    pub fn validate(&self) -> Result<(), DataError> {
        if !(1..=MOST_LAYERS).contains(&self.layers) {
            let found = self.layers.to_string();
            let expected = "a whole number from 1 to 16";
            return Err(DataError::bad_value("n", &found, expected));
        }
        for (key, value) in [("m", self.magnitude), ("mstd", self.magnitude_std)] {
            check_within(key, value, 0.0..=10.0, "a number from 0 to 10")?;
        }
        Ok(())
    }

    /// Draws the distortions of one image, at most `layers`, in the order of their application.
    pub fn sample(&self, rng: &mut impl Rng) -> Vec<Distortion> {
        let layer = |_| {
            let operation = OPERATIONS[below(rng, OPERATIONS.len())];
            let applied = unit(rng) < 0.5;
            let magnitude = self.magnitude + self.magnitude_std * normal(rng);
            let sign = if unit(rng) < 0.5 { 1.0 } else { -1.0 };
            applied.then(|| operation(magnitude.clamp(0.0, 10.0) / 10.0, sign))
        };
        (0..self.layers).filter_map(layer).collect()
    }

    /// Distorts `image` in place as [`sample`](Self::sample) says.
    pub fn apply(&self, image: &mut RgbImage8, rng: &mut impl Rng) {
        for distortion in self.sample(rng) {
            distortion.apply(image);
        }
    }
}

/// What each operation does at a level of 0 to 1 with a sign of 1 or -1.
const OPERATIONS: [fn(f64, f64) -> Distortion; 15] = [
    |_, _| AutoContrast,
    |_, _| Equalize,
    |_, _| Invert,
    |level, sign| Rotate {
        degrees: sign * 30.0 * level,
    },
    |level, _| Posterize {
        bits: 4 - (4.0 * level) as u32,
    },
    |level, _| Solarize {
        threshold: 256 - (256.0 * level) as u32,
    },
    |level, _| SolarizeAdd {
        amount: (110.0 * level) as u8,
    },
    |level, sign| Color {
        factor: 1.0 + sign * 0.9 * level,
    },
    |level, sign| Contrast {
        factor: 1.0 + sign * 0.9 * level,
    },
    |level, sign| Brightness {
        factor: 1.0 + sign * 0.9 * level,
    },
    |level, sign| Sharpness {
        factor: 1.0 + sign * 0.9 * level,
    },
    |level, sign| ShearX {
        factor: sign * 0.3 * level,
    },
    |level, sign| ShearY {
        factor: sign * 0.3 * level,
    },
    |level, sign| TranslateX {
        share: sign * 0.45 * level,
    },
    |level, sign| TranslateY {
        share: sign * 0.45 * level,
    },
];

impl FromStr for RandAugment {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let expected = "a policy such as rand-m9-mstd0.5-inc1 (optionally n2)";
        let bad = || DataError::bad_value("RandAugment", text, expected);
        let mut parts = text.split('-');
        if parts.next() != Some("rand") {
            return Err(bad());
        }
        let (mut layers, mut magnitude, mut magnitude_std) = (None, None, None);
        let mut increasing = None;
        for part in parts {
            let digits = part
                .find(|c: char| !c.is_ascii_alphabetic())
                .ok_or_else(bad)?;
            let (key, value) = part.split_at(digits);
            let slot = match key {
                "n" => &mut layers,
                "m" => &mut magnitude,
                "mstd" => &mut magnitude_std,
                "inc" => &mut increasing,
                _ => return Err(bad()),
            };
            let number: f64 = value.parse().map_err(|_| bad())?;
            if slot.replace(number).is_some() {
                return Err(bad());
            }
        }
        let layers = layers.unwrap_or(2.0);
        // Without `inc1`, timm's severity of some operations falls with the magnitude.
        if increasing != Some(1.0) || layers.fract() != 0.0 {
            return Err(bad());
        }
        let policy = Self {
            layers: layers as usize,
            magnitude: magnitude.ok_or_else(bad)?,
            magnitude_std: magnitude_std.unwrap_or(0.0),
        };
        policy.validate()?;
        Ok(policy)
    }
}

impl fmt::Display for RandAugment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rand-m{}", self.magnitude)?;
        if self.layers != 2 {
            write!(f, "-n{}", self.layers)?;
        }
        if self.magnitude_std > 0.0 {
            write!(f, "-mstd{}", self.magnitude_std)?;
        }
        write!(f, "-inc1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, sample_rng};

    fn rng(index: u64) -> crate::SampleRng {
        sample_rng(0, Purpose::Augment, 0, index)
    }

    #[test]
    fn levels_are_those_of_timm() {
        let at = |level| OPERATIONS.map(|operation| operation(level, -1.0));
        let expected = [
            AutoContrast,
            Equalize,
            Invert,
            Rotate { degrees: -27.0 },
            Posterize { bits: 1 },
            Solarize { threshold: 26 },
            SolarizeAdd { amount: 99 },
            Color { factor: 1.0 - 0.81 },
            Contrast { factor: 1.0 - 0.81 },
            Brightness { factor: 1.0 - 0.81 },
            Sharpness { factor: 1.0 - 0.81 },
            ShearX { factor: -0.27 },
            ShearY { factor: -0.27 },
            TranslateX { share: -0.405 },
            TranslateY { share: -0.405 },
        ];
        for (found, expected) in at(0.9).into_iter().zip(expected) {
            let [found, expected] = [found, expected].map(|it| format!("{it:.12?}"));
            assert_eq!(found, expected);
        }
        assert_eq!(
            at(1.0)[4..7],
            [
                Posterize { bits: 0 },
                Solarize { threshold: 0 },
                SolarizeAdd { amount: 110 },
            ]
        );
        assert_eq!(
            at(0.0)[4..7],
            [
                Posterize { bits: 4 },
                Solarize { threshold: 256 },
                SolarizeAdd { amount: 0 },
            ]
        );
    }

    #[test]
    fn every_operation_is_applied_in_a_thirtieth_of_the_layers() {
        let policy = RandAugment::default();
        let drawn: Vec<Distortion> = (0..30_000)
            .flat_map(|i| policy.sample(&mut rng(i)))
            .collect();
        let kind = |distortion: &Distortion| std::mem::discriminant(distortion);
        for operation in OPERATIONS.map(|operation| operation(0.0, 1.0)) {
            let count = drawn
                .iter()
                .filter(|it| kind(it) == kind(&operation))
                .count();
            // Mean 2000, standard deviation 44: six of them are a false alarm rate of 2e-9.
            assert!(count.abs_diff(2000) < 264, "{operation:?}: {count}");
        }
    }

    #[test]
    fn magnitudes_have_their_mean_spread_and_fair_signs() {
        let policy = RandAugment::default();
        let degrees: Vec<f64> = (0..60_000)
            .flat_map(|i| policy.sample(&mut rng(i)))
            .filter_map(|it| match it {
                Rotate { degrees } => Some(degrees / 3.0),
                _ => None,
            })
            .collect();
        let n = degrees.len() as f64;
        let positive = degrees.iter().filter(|&&degrees| degrees > 0.0).count() as f64;
        let mean = degrees.iter().map(|m| m.abs()).sum::<f64>() / n;
        let spread = degrees.iter().map(|m| (m.abs() - 9.0).powi(2)).sum::<f64>() / n;
        // About 4000 draws of N(9, 0.5), cut at 10 (1 in 44), which takes 0.004 off the mean and
        // 0.012 off the variance of 0.25; six standard errors are 0.05 and 0.035.
        assert!((mean - 8.996).abs() < 0.05, "{mean}");
        assert!((spread - 0.238).abs() < 0.035, "{spread}");
        assert!(degrees.iter().all(|m| m.abs() <= 10.0));
        assert!(
            (positive / n - 0.5).abs() < 3.0 / n.sqrt(),
            "{positive} of {n}"
        );
    }

    #[test]
    fn texts_round_trip_and_others_are_refused() {
        for text in ["rand-m9-mstd0.5-inc1", "rand-m5-n3-inc1", "rand-m0-inc1"] {
            assert_eq!(text.parse::<RandAugment>().unwrap().to_string(), text);
        }
        assert_eq!(
            "rand-inc1-mstd0.5-m9".parse::<RandAugment>().unwrap(),
            RandAugment::default()
        );
        for text in [
            "",
            "rand",
            "m9-inc1",
            "rand-m9",
            "rand-m9-inc0",
            "rand-m-inc1",
            "rand-m9-m8-inc1",
            "rand-m9-n1.5-inc1",
            "rand-m9-n0-inc1",
            "rand-m11-inc1",
            "rand-mNaN-inc1",
            "rand-m9-w0-inc1",
            "rand-m9-inc1-",
            "rand-m9-mstd-1-inc1",
            "rand-m9-mstd99-inc1",
        ] {
            assert!(text.parse::<RandAugment>().is_err(), "{text}");
        }
        assert_eq!(
            "augmix".parse::<RandAugment>().unwrap_err().to_string(),
            "bad value `augmix` for `RandAugment`, expected a policy such as rand-m9-mstd0.5-inc1 \
             (optionally n2)"
        );
    }
}
