//! The order of the images in an epoch, and samples of them.

use crate::rng::{Purpose, sample_rng, shuffle};

/// How images lie on their storage, which decides how they are shuffled.
///
/// # Examples
///
/// ```
/// use ijepa_data::Layout;
///
/// // Four files of ten images each, of which two are open at a time.
/// let layout = Layout::Runs { ends: vec![10, 20, 30, 40], window: 2 };
/// let order = layout.order(0, 5);
/// let files = |images: &[u32]| {
///     let mut files: Vec<u32> = images.iter().map(|image| image / 10).collect();
///     files.sort_unstable();
///     files.dedup();
///     files.len()
/// };
/// assert_eq!((files(&order[..20]), files(&order[20..])), (2, 2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// So many images, each alone: any order is as fast.
    Alone(usize),
    /// Images that lie together, such as those of a shard or of a row group.
    Runs {
        /// The number of images up to the end of each run.
        ends: Vec<usize>,
        /// Runs that are mixed at a time, at least 1.
        window: usize,
    },
    /// Several data sets, one after the other.
    Parts(Vec<Layout>),
}

impl Layout {
    /// Number of images.
    pub fn len(&self) -> usize {
        match self {
            Self::Alone(images) => *images,
            Self::Runs { ends, .. } => ends.last().copied().unwrap_or_default(),
            Self::Parts(parts) => parts.iter().map(Self::len).sum(),
        }
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How some of the images lie, by their numbers in rising order.
    ///
    /// # Examples
    ///
    /// ```
    /// use ijepa_data::Layout;
    ///
    /// let layout = Layout::Runs { ends: vec![10, 20, 30], window: 1 };
    /// let expected = Layout::Runs { ends: vec![2, 3], window: 1 };
    /// assert_eq!(layout.of_some(&[3, 9, 25]), expected);
    /// ```
    #[must_use]
    pub fn of_some(&self, images: &[u32]) -> Self {
        let before = |end: usize| images.partition_point(|&image| (image as usize) < end);
        match self {
            Self::Alone(_) => Self::Alone(images.len()),
            Self::Runs { ends, window } => {
                // Runs of which there is no image are left out.
                let mut ends: Vec<usize> = ends.iter().map(|&end| before(end)).collect();
                ends.dedup();
                ends.retain(|&end| end > 0);
                let window = *window;
                Self::Runs { ends, window }
            }
            Self::Parts(parts) => {
                let mut first = 0;
                let some = |part: &Self| {
                    let end = first + part.len();
                    let images = images[before(first)..before(end)].iter();
                    let images: Vec<u32> = images.map(|image| image - first as u32).collect();
                    first = end;
                    part.of_some(&images)
                };
                Self::Parts(parts.iter().map(some).collect())
            }
        }
    }

    /// A permutation of the images, the same for the same arguments and unrelated between epochs.
    ///
    /// Images that lie alone are in the order of [`epoch_order`], and so are those of a single
    /// window. Of more windows, the runs are shuffled and cut into windows, and the images of a
    /// window are shuffled among themselves, so that no more than a window is read at a time. Parts
    /// with runs keep their own order, and their images take turns at random, as many as each part
    /// has.
    ///
    /// # Panics
    ///
    /// Panics if there are more than `u32::MAX` images.
    pub fn order(&self, seed: u64, epoch: u64) -> Vec<u32> {
        self.order_of(seed, epoch, &mut 0)
    }

    /// Whether all images are mixed with one another.
    fn is_one_window(&self) -> bool {
        match self {
            Self::Alone(_) => true,
            Self::Runs { ends, window } => ends.len() <= *window,
            Self::Parts(parts) => parts.iter().all(Self::is_one_window),
        }
    }

    /// The order of a part, whose random numbers are those of the next `stream`.
    fn order_of(&self, seed: u64, epoch: u64, stream: &mut u64) -> Vec<u32> {
        let len = u32::try_from(self.len()).expect("a data set has at most u32::MAX images");
        let mut rng = sample_rng(seed, Purpose::Order, epoch, *stream);
        *stream += 1;
        match self {
            Self::Runs { ends, window } if !self.is_one_window() => {
                let starts = std::iter::once(&0).chain(ends);
                let mut runs: Vec<_> = starts.zip(ends).map(|(&start, &end)| start..end).collect();
                shuffle(&mut runs, &mut rng);
                // The last window is as wide as the others.
                let windows = runs.len().div_ceil(*window);
                let mut order = Vec::with_capacity(len as usize);
                for runs in runs.chunks(runs.len().div_ceil(windows)) {
                    let first = order.len();
                    order.extend(runs.iter().cloned().flatten().map(|image| image as u32));
                    shuffle(&mut order[first..], &mut rng);
                }
                order
            }
            Self::Parts(parts) if !self.is_one_window() => {
                let turns = parts.iter().enumerate();
                let mut turns: Vec<usize> = turns
                    .flat_map(|(part, layout)| std::iter::repeat_n(part, layout.len()))
                    .collect();
                shuffle(&mut turns, &mut rng);
                let mut first = 0;
                let mut orders = Vec::with_capacity(parts.len());
                for part in parts {
                    let order = part.order_of(seed, epoch, stream);
                    orders.push(order.into_iter().map(move |image| first + image));
                    first += part.len() as u32;
                }
                let mut image = |part: usize| orders[part].next().expect("as many as its turns");
                turns.into_iter().map(&mut image).collect()
            }
            _ => {
                let mut order: Vec<u32> = (0..len).collect();
                shuffle(&mut order, &mut rng);
                order
            }
        }
    }
}

/// A permutation of `0..len`, the same for the same arguments and unrelated between epochs.
///
/// # Panics
///
/// Panics if `len` exceeds `u32::MAX`.
///
/// # Examples
///
/// ```
/// let mut order = ijepa_data::epoch_order(0, 5, 100);
/// assert_ne!(order, ijepa_data::epoch_order(0, 6, 100));
/// order.sort_unstable();
/// assert_eq!(order, (0..100).collect::<Vec<u32>>());
/// ```
pub fn epoch_order(seed: u64, epoch: u64, len: usize) -> Vec<u32> {
    Layout::Alone(len).order(seed, epoch)
}

/// At most `most` numbers of `0..len`, each set of them as likely, in rising order; the same for
/// the same arguments.
///
/// # Panics
///
/// Panics if `len` exceeds `u32::MAX`.
pub fn sample(seed: u64, most: usize, len: usize) -> Vec<u32> {
    let len = u32::try_from(len).expect("a data set has at most u32::MAX images");
    let mut chosen: Vec<u32> = (0..len).collect();
    if most < chosen.len() {
        shuffle(&mut chosen, &mut sample_rng(seed, Purpose::Sample, 0, 0));
        chosen.truncate(most);
        chosen.sort_unstable();
    }
    chosen
}

/// `count` numbers spread evenly over `0..len`, all of them if there are no more.
///
/// # Examples
///
/// ```
/// assert_eq!(ijepa_data::evenly_spread(10, 4), [0, 2, 5, 7]);
/// ```
pub fn evenly_spread(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|number| number * len / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_everything() {
        let mut counts = [0u32; 10];
        for seed in 0..2000 {
            let chosen = sample(seed, 3, 10);
            assert!(chosen.len() == 3 && chosen.is_sorted());
            chosen.iter().for_each(|&i| counts[i as usize] += 1);
        }
        // Standard deviation 20.5: six of them leave a false alarm rate below 1e-7.
        let fair = |count: &u32| count.abs_diff(600) < 123;
        assert!(counts.iter().all(fair), "{counts:?}");
        assert_eq!(sample(1, 5, 3), [0, 1, 2]);
    }

    #[test]
    fn every_image_reaches_every_place() {
        let mut counts = [[0u32; 4]; 4];
        for epoch in 0..4000 {
            for (place, image) in epoch_order(9, epoch, 4).into_iter().enumerate() {
                counts[place][image as usize] += 1;
            }
        }
        // Standard deviation 27: seven of them leave a false alarm rate below 1e-10.
        let fair = |count: &u32| count.abs_diff(1000) < 192;
        assert!(counts.as_flattened().iter().all(fair), "{counts:?}");
    }

    const GOLDEN: [u32; 10] = [6, 2, 5, 0, 7, 8, 4, 3, 9, 1];

    #[test]
    fn orders_of_images_alone_never_change_between_versions() {
        assert_eq!(epoch_order(1, 2, 10), GOLDEN);
        let parts = Layout::Parts(vec![Layout::Alone(4), Layout::Alone(6)]);
        assert_eq!(parts.order(1, 2), epoch_order(1, 2, 10));
        let ends = vec![3, 10];
        assert_eq!(Layout::Runs { ends, window: 2 }.order(1, 2), GOLDEN);
    }

    /// Seven runs of 5 to 11 images.
    fn runs(window: usize) -> Layout {
        let ends = vec![5, 11, 18, 26, 35, 45, 56];
        Layout::Runs { ends, window }
    }

    fn sorted(mut order: Vec<u32>) -> Vec<u32> {
        order.sort_unstable();
        order
    }

    #[test]
    fn no_image_lies_outside_its_window_and_every_run_meets_every_other() {
        let Layout::Runs { ends, .. } = runs(3) else {
            unreachable!()
        };
        let run = |image: &u32| ends.partition_point(|&end| end <= *image as usize);
        let mut met = [[false; 7]; 7];
        for epoch in 0..200 {
            let order = runs(3).order(7, epoch);
            assert_eq!(sorted(order.clone()), (0..56).collect::<Vec<u32>>());
            // Where each run is begun and done with.
            let spans = (0..7).map(|wanted| {
                let is = |image: &u32| run(image) == wanted;
                let (first, last) = (order.iter().position(is), order.iter().rposition(is));
                (first.unwrap(), last.unwrap())
            });
            let spans: Vec<(usize, usize)> = spans.collect();
            for place in 0..56 {
                let open = (0..7).filter(|&run| spans[run].0 <= place && place <= spans[run].1);
                let open: Vec<usize> = open.collect();
                assert!(open.len() <= 3, "{open:?}");
                open.iter()
                    .for_each(|&a| open.iter().for_each(|&b| met[a][b] = true));
            }
        }
        assert_eq!(met, [[true; 7]; 7]);
        assert_ne!(runs(3).order(7, 0), runs(3).order(7, 1));
        assert_ne!(runs(3).order(7, 0), runs(3).order(8, 0));
    }

    #[test]
    fn parts_keep_their_own_order_and_take_turns() {
        let parts = Layout::Parts(vec![runs(3), Layout::Alone(40), runs(3)]);
        let order = parts.order(7, 1);
        assert_eq!(sorted(order.clone()), (0..152).collect::<Vec<u32>>());
        let of = |range: std::ops::Range<u32>| -> Vec<u32> {
            let part = order.iter().filter(|image| range.contains(image));
            part.map(|image| image - range.start).collect()
        };
        let [first, last] = [of(0..56), of(96..152)];
        assert_eq!(first, runs(3).order_of(7, 1, &mut 1));
        // Equal parts are shuffled apart.
        assert_ne!(first, last);
        let early = order[..76].iter().filter(|&&image| image < 56).count();
        assert!((14..43).contains(&early), "{early} of the first part");
    }

    #[test]
    fn some_of_the_images_lie_as_all_of_them() {
        let parts = Layout::Parts(vec![runs(3), Layout::Alone(40), runs(3)]);
        let all: Vec<u32> = (0..152).collect();
        assert_eq!(parts.of_some(&all), parts);
        // The second and last run of the first part, a single image, the first run of the last.
        let some = parts.of_some(&[5, 10, 55, 60, 96, 97, 100]);
        let runs = |ends: &[usize]| Layout::Runs {
            ends: ends.to_vec(),
            window: 3,
        };
        let expected = [runs(&[2, 3]), Layout::Alone(1), runs(&[3])];
        assert_eq!(some, Layout::Parts(expected.to_vec()));
        assert_eq!((some.len(), parts.of_some(&[]).len()), (7, 0));
    }

    #[test]
    fn empty_and_single_orders_exist() {
        assert!(epoch_order(0, 0, 0).is_empty());
        assert_eq!(epoch_order(0, 0, 1), [0]);
    }
}
