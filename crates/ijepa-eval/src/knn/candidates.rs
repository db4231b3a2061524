//! The most similar training images of every test image, block by block.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::{
    products::{Products, scores},
    unit_rows::{Neighbour, UnitRows, keep_nearest},
};

/// Candidates kept beyond the neighbours asked for, so that rounding hardly ever decides which
/// images are among them.
const SPARE: usize = 64;
/// Candidates gathered before the surplus is dropped.
const SLACK: usize = 64;
/// Similarities compared with the worst candidate at a time.
const CHUNK: usize = 32;

/// For every test image at least `count` training images, the most similar as far as the products
/// tell.
pub(super) fn select(
    products: &Products<'_>,
    test: &UnitRows<'_>,
    count: usize,
    [test_block, train_block]: [usize; 2],
) -> Vec<Candidates> {
    let train: Vec<usize> = (0..products.train().images()).collect();
    let tests: Vec<usize> = (0..test.images()).collect();
    let room = (count + SPARE).min(train.len());
    let mut kept = vec![Candidates::new(room); test.images()];
    for images in train.chunks(train_block) {
        let columns = products.columns(images);
        for (tests, kept) in tests.chunks(test_block).zip(kept.chunks_mut(test_block)) {
            let scores = scores(products.rows(test, tests), columns.clone());
            let pairs = kept
                .par_iter_mut()
                .zip(scores.par_chunks_exact(images.len()));
            pairs.for_each(|(kept, scores)| kept.offer(images[0], scores));
        }
    }
    kept
}

/// The `count` nearest training images of a few test images with their similarities, the nearest
/// first, if those of each have at least its score in `least`: of all that may have it, the
/// similarity is computed exactly.
pub(super) fn rescan(
    products: &Products<'_>,
    test: &UnitRows<'_>,
    (tests, least): (&[usize], &[f64]),
    count: usize,
    train_block: usize,
) -> Vec<Vec<Neighbour>> {
    let train: Vec<usize> = (0..products.train().images()).collect();
    let rows: Vec<Vec<f64>> = tests.iter().map(|&image| test.row(image)).collect();
    let mut nearest = vec![Vec::new(); tests.len()];
    for images in train.chunks(train_block) {
        let scores = scores(products.rows(test, tests), products.columns(images));
        let each = nearest.par_iter_mut().zip(&rows).zip(least);
        let each = each.zip(scores.par_chunks_exact(images.len()));
        each.for_each(|(((nearest, row), &least), scores)| {
            let mut buffer = vec![0.0; row.len()];
            for (&image, &score) in images.iter().zip(scores) {
                if f64::from(score) >= least {
                    nearest.push(products.train().neighbour(row, image, &mut buffer));
                    if nearest.len() >= 2 * count + SLACK {
                        keep_nearest(nearest, count);
                    }
                }
            }
        });
    }
    nearest
        .par_iter_mut()
        .for_each(|nearest| keep_nearest(nearest, count));
    nearest
}

/// The best similarities seen and a few more; of equal ones those of lower index are better.
#[derive(Clone)]
pub(super) struct Candidates {
    room: usize,
    /// What a new candidate must exceed: on a tie the older one has the lower index and stays.
    least: f32,
    seen: Vec<(f32, u32)>,
}

impl Candidates {
    fn new(room: usize) -> Self {
        Self {
            room,
            least: f32::NEG_INFINITY,
            seen: Vec::new(),
        }
    }

    /// Takes in the similarities of the images from `first` on; blocks come in index order.
    fn offer(&mut self, first: usize, similarities: &[f32]) {
        self.seen
            .reserve_exact(self.room + SLACK + CHUNK - self.seen.len());
        for (number, chunk) in similarities.chunks(CHUNK).enumerate() {
            let least = self.least;
            // Hardly any chunk holds a candidate once many images have been seen, and a test
            // without a branch per image is vectorised.
            if !chunk
                .iter()
                .fold(false, |any, &similarity| any | (similarity > least))
            {
                continue;
            }
            for (offset, &similarity) in chunk.iter().enumerate() {
                if similarity > self.least {
                    let index = first + number * CHUNK + offset;
                    self.seen.push((similarity, index as u32));
                }
            }
            if self.seen.len() >= self.room + SLACK {
                self.drop_surplus();
            }
        }
    }

    fn drop_surplus(&mut self) {
        if self.seen.len() > self.room {
            let (_, worst, _) = self.seen.select_nth_unstable_by(self.room - 1, better);
            self.least = worst.0;
            self.seen.truncate(self.room);
        }
    }

    /// Indices of the best, and the score that no other image exceeds.
    pub(super) fn into_indices(mut self) -> (Vec<u32>, f32) {
        self.drop_surplus();
        let indices = self.seen.into_iter().map(|(_, index)| index);
        (indices.collect(), self.least)
    }
}

fn better(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_and_ties_go_to_the_lower_index() {
        let similarities: Vec<f32> = (0..900).map(|i| ((i * 37) % 50) as f32).collect();
        let mut order: Vec<u32> = (0..900).collect();
        let of = |index: u32| similarities[index as usize];
        order.sort_by(|&a, &b| of(b).total_cmp(&of(a)).then(a.cmp(&b)));
        for block in [1, 7, 32, 33, 900] {
            let mut candidates = Candidates::new(11);
            for (number, part) in similarities.chunks(block).enumerate() {
                candidates.offer(number * block, part);
            }
            let (mut found, least) = candidates.into_indices();
            found.sort_by_key(|index| order.iter().position(|other| other == index));
            assert_eq!((&found[..], least), (&order[..11], of(order[10])));
        }
    }
}
