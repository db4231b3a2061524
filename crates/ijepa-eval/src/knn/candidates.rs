//! The most similar training images of every test image, block by block.

use std::cmp::Ordering;

use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use super::unit_rows::UnitRows;

/// Candidates kept beyond the neighbours asked for: products on the device are rounded to f32 or
/// less, which may swap images at the edge of the selection.
const SPARE: usize = 64;
/// Candidates gathered before the surplus is dropped.
const SLACK: usize = 64;
/// Similarities compared with the worst candidate at a time.
const CHUNK: usize = 32;

/// For every test image the indices of at least `count` training images, among them its nearest.
pub(super) fn select(
    train: &UnitRows<'_>,
    test: &UnitRows<'_>,
    count: usize,
    [test_block, train_block]: [usize; 2],
    device: &Device,
) -> Vec<Vec<u32>> {
    let room = (count + SPARE).min(train.images());
    let mut kept = vec![Candidates::new(room); test.images()];
    for first_train in (0..train.images()).step_by(train_block) {
        let images = first_train..train.images().min(first_train + train_block);
        let width = images.len();
        let columns = train.tensor(images, device).transpose();
        for (block, kept) in kept.chunks_mut(test_block).enumerate() {
            let first = block * test_block;
            let rows = test.tensor(first..first + kept.len(), device);
            let similarities = values(rows.matmul(columns.clone()));
            let rows = similarities.par_chunks_exact(width);
            let pairs = kept.par_iter_mut().zip(rows);
            pairs.for_each(|(kept, row)| kept.offer(first_train, row));
        }
    }
    let kept = kept.into_par_iter();
    kept.map(Candidates::into_indices).collect()
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    let data = tensor.into_data().convert::<f32>();
    data.try_into_vec().expect("the data was converted to f32")
}

/// The best similarities seen and a few more; of equal ones those of lower index are better.
#[derive(Clone)]
struct Candidates {
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

    /// Indices of the best, the most similar first.
    fn into_indices(mut self) -> Vec<u32> {
        self.drop_surplus();
        self.seen.sort_unstable_by(better);
        self.seen.into_iter().map(|(_, index)| index).collect()
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
            assert_eq!(candidates.into_indices(), order[..11]);
        }
    }
}
