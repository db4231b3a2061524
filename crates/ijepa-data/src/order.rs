//! The order of the images in an epoch, and samples of them.

use crate::rng::{Purpose, sample_rng, shuffle};

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
    let len = u32::try_from(len).expect("a data set has at most u32::MAX images");
    let mut order: Vec<u32> = (0..len).collect();
    shuffle(&mut order, &mut sample_rng(seed, Purpose::Order, epoch, 0));
    order
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

    #[test]
    fn empty_and_single_orders_exist() {
        assert!(epoch_order(0, 0, 0).is_empty());
        assert_eq!(epoch_order(0, 0, 1), [0]);
    }
}
