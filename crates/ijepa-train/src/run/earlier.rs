//! What the logged rows say of the processes that trained a run before.

use std::time::Duration;

use super::row::{PROCESSES, Row};

/// The part of a run before this process, as far as it was logged.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Earlier {
    pub(super) loss_first: Option<f64>,
    /// Time spent on the images that were logged.
    pub(super) elapsed: Duration,
    /// The same, of every process that took part.
    pub(super) device_time: Duration,
    pub(super) last: Option<Row>,
}

impl Earlier {
    pub(super) fn of(rows: &[Row]) -> Self {
        let (mut seconds, mut of_devices) = (0.0, 0.0);
        let mut seen = 0.0;
        for row in rows {
            let (images, speed) = (row.get("images"), row.get("images_per_s"));
            let images = images.unwrap_or(seen);
            if let Some(speed) = speed.filter(|&speed| speed > 0.0) {
                let spent = (images - seen) / speed;
                seconds += spent;
                of_devices += spent * row.get(PROCESSES).unwrap_or(1.0);
            }
            seen = images;
        }
        let time = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Self {
            loss_first: rows.first().and_then(|row| row.get("loss")),
            elapsed: time(seconds),
            device_time: time(of_devices),
            last: rows.last().cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::row::row;

    #[test]
    fn time_is_that_of_the_logged_images() {
        let rows = [
            row(
                None,
                0,
                &[("images", 10.0), ("loss", 0.5), ("images_per_s", 5.0)],
            ),
            row(
                None,
                4,
                &[
                    ("images", 50.0),
                    ("loss", 0.4),
                    ("images_per_s", 20.0),
                    (PROCESSES, 3.0),
                ],
            ),
            row(None, 8, &[("images", 90.0), ("loss", 0.3)]),
        ];
        let found = Earlier::of(&rows);
        assert_eq!(
            [found.elapsed, found.device_time],
            [4, 8].map(Duration::from_secs)
        );
        assert_eq!(found.loss_first, Some(0.5));
        assert_eq!(found.last, Some(rows[2].clone()));
        assert_eq!(Earlier::of(&[]), Earlier::default());
    }
}
