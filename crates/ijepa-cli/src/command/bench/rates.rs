//! Rates of repeated work.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Images a second of several rounds.
#[derive(Debug, PartialEq)]
pub(super) struct Rates {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Rates {
    /// Of one figure a round.
    pub(super) fn of(mut rates: Vec<f64>) -> Self {
        rates.sort_by(f64::total_cmp);
        let (low, high) = (rates[(rates.len() - 1) / 2], rates[rates.len() / 2]);
        Self {
            median: (low + high) / 2.0,
            min: rates[0],
            max: rates[rates.len() - 1],
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({"median": self.median, "min": self.min, "max": self.max})
    }
}

/// Repeats `work`, which handles `images` images, for `rounds` equal parts of `seconds`.
pub(super) fn rates(rounds: usize, seconds: f64, images: usize, mut work: impl FnMut()) -> Rates {
    let long_enough = Duration::from_secs_f64(seconds / rounds as f64);
    let mut round = || {
        let start = Instant::now();
        for done in 1.. {
            work();
            let elapsed = start.elapsed();
            if elapsed >= long_enough {
                return (done * images) as f64 / elapsed.as_secs_f64();
            }
        }
        unreachable!("the count of a round is unlimited")
    };
    round();
    Rates::of((0..rounds).map(|_| round()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_rounds_is_between_the_middle_two() {
        let rates = |median, min, max| Rates { median, min, max };
        assert_eq!(Rates::of(vec![4.0, 1.0, 2.0]), rates(2.0, 1.0, 4.0));
        assert_eq!(Rates::of(vec![4.0, 1.0, 2.0, 8.0]), rates(3.0, 1.0, 8.0));
    }

    #[test]
    fn rates_count_every_image_once() {
        let pause = Duration::from_millis(4);
        let rates = rates(3, 0.03, 8, || std::thread::sleep(pause));
        // 8 images in at least 4 ms.
        assert!(rates.max <= 2000.0 && rates.min > 0.0, "{rates:?}");
    }
}
