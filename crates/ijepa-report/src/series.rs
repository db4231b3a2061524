//! Curves, thinned to what a picture can show.

/// Points that a drawn curve has at most.
const MOST_POINTS: usize = 240;

/// One drawn point: the mean of a bucket of measurements and their extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A curve of one run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// The run's name.
    pub(crate) name: String,
    /// Number of the run, which decides colour and dashes.
    pub(crate) run: usize,
    /// Runs with one number differ in their seeds alone.
    pub(crate) group: usize,
    /// Value before the first step, of random weights.
    pub(crate) start: Option<f64>,
    /// Whole points by ascending x.
    pub(crate) points: Vec<Point>,
    /// First and last measurement.
    pub(crate) ends: Option<[f64; 2]>,
}

impl Series {
    /// A curve of `ys` over `xs`; pairs with a missing number are left out.
    pub(crate) fn new(name: &str, run: usize, xs: &[Option<f64>], ys: &[Option<f64>]) -> Self {
        let pairs = xs.iter().zip(ys);
        let mut whole: Vec<[f64; 2]> = pairs.filter_map(|(&x, &y)| Some([x?, y?])).collect();
        whole.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let ends = whole.first().zip(whole.last());
        let bucket = whole.len().div_ceil(MOST_POINTS).max(1);
        Self {
            name: name.to_owned(),
            run,
            group: run,
            start: None,
            ends: ends.map(|(first, last)| [first[1], last[1]]),
            points: whole.chunks(bucket).map(merged).collect(),
        }
    }

    /// Whether points stand for several measurements each.
    pub(crate) fn is_thinned(&self) -> bool {
        self.points.iter().any(|point| point.low < point.high)
    }
}

fn merged(bucket: &[[f64; 2]]) -> Point {
    let count = bucket.len() as f64;
    let mean = |axis: usize| bucket.iter().map(|pair| pair[axis]).sum::<f64>() / count;
    let ys = bucket.iter().map(|pair| pair[1]);
    Point {
        x: mean(0),
        y: mean(1),
        low: ys.clone().fold(f64::INFINITY, f64::min),
        high: ys.fold(f64::NEG_INFINITY, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_keep_their_mean_and_extremes() {
        let xs: Vec<_> = (0..100_000).map(|i| Some(f64::from(i))).collect();
        let ys: Vec<_> = (0..100_000).map(|i| Some(f64::from(i % 10))).collect();
        let series = Series::new("a", 0, &xs, &ys);
        assert!(series.points.len() <= MOST_POINTS && series.is_thinned());
        assert_eq!(series.ends, Some([0.0, 9.0]));
        let middle = series.points[100];
        assert_eq!((middle.low, middle.high), (0.0, 9.0));
        assert!((middle.y - 4.5).abs() < 0.1);
    }

    #[test]
    fn missing_numbers_leave_no_points() {
        let series = Series::new(
            "a",
            0,
            &[Some(1.0), None, Some(0.0)],
            &[None, Some(2.0), Some(3.0)],
        );
        assert_eq!(series.points.len(), 1);
        assert_eq!(series.ends, Some([3.0, 3.0]));
        assert!(!series.is_thinned());
        assert_eq!(Series::new("a", 0, &[], &[]).ends, None);
    }
}
