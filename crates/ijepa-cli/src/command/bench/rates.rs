//! Rates of repeated work.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::args::{self, positive};

/// How long to repeat work whose rounds are counted by time.
#[derive(Debug, Args)]
pub(super) struct RoundArgs {
    /// Time of all rounds together; the warm-up takes as long as one round
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    pub(super) seconds: f64,
    /// Number of rounds
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive)]
    pub(super) rounds: usize,
}

fn seconds(text: &str) -> Result<f64, String> {
    let fits = |seconds| seconds > 0.0 && seconds <= 86_400.0;
    args::number(text, fits, "above 0, up to 86400")
}

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

/// Repeats `work`, which handles `images` images, for `rounds` equal parts of `seconds`, after a
/// round that does not count; ends with its first error.
pub(super) fn rates<E>(
    rounds: usize,
    seconds: f64,
    images: usize,
    mut work: impl FnMut() -> Result<(), E>,
) -> Result<Rates, E> {
    let long_enough = Duration::from_secs_f64(seconds / rounds as f64);
    let mut round = || {
        let start = Instant::now();
        for done in 1.. {
            work()?;
            let elapsed = start.elapsed();
            if elapsed >= long_enough {
                return Ok((done * images) as f64 / elapsed.as_secs_f64());
            }
        }
        unreachable!("the count of a round is unlimited")
    };
    round()?;
    let measured: Result<Vec<f64>, E> = (0..rounds).map(|_| round()).collect();
    measured.map(Rates::of)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_rounds_is_between_the_middle_two() {
        let rates = |median, min, max| Rates { median, min, max };
        assert_eq!(Rates::of(vec![4.0, 1.0, 2.0]), rates(2.0, 1.0, 4.0));
        assert_eq!(Rates::of(vec![4.0, 1.0, 2.0, 8.0]), rates(3.0, 1.0, 8.0));
    }

    #[test]
    fn the_first_error_ends_the_measurement() {
        let mut left = 3;
        let work = || {
            left -= 1;
            if left == 0 { Err("empty") } else { Ok(()) }
        };
        assert_eq!(rates(1_000, 3600.0, 1, work), Err("empty"));
        assert_eq!(left, 0);
    }

    #[test]
    fn rates_count_every_image_once() {
        let pause = Duration::from_millis(4);
        let work = || -> Result<(), Infallible> {
            std::thread::sleep(pause);
            Ok(())
        };
        let Ok(rates) = rates(3, 0.03, 8, work);
        // 8 images in at least 4 ms.
        assert!(rates.max <= 2000.0 && rates.min > 0.0, "{rates:?}");
    }
}
