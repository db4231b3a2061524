//! The most similar training images of every test image, block by block.

use burn::tensor::{Device, Tensor};

use super::unit_rows::UnitRows;

/// Candidates kept beyond the neighbours asked for: products on the device are rounded to f32 or
/// less, which may swap images at the edge of the selection.
const SPARE: usize = 64;
/// Similarities compared with the worst candidate at a time.
const CHUNK: usize = 32;

/// For every test image the indices of at least `count` training images, among them its nearest.
pub(super) fn select(
    train: &UnitRows<'_>,
    test: &UnitRows<'_>,
    count: usize,
    [test_block, train_block]: [usize; 2],
    device: &Device,
) -> Vec<Vec<usize>> {
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
            for (kept, row) in kept.iter_mut().zip(similarities.chunks_exact(width)) {
                kept.offer(first_train, row);
            }
        }
    }
    kept.into_iter().map(Candidates::into_indices).collect()
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    let data = tensor.into_data().convert::<f32>();
    data.try_into_vec().expect("the data was converted to f32")
}

/// The best similarities seen, the largest first, equal ones by index.
#[derive(Clone)]
struct Candidates {
    room: usize,
    best: Vec<(f32, usize)>,
}

impl Candidates {
    fn new(room: usize) -> Self {
        Self {
            room,
            best: Vec::new(),
        }
    }

    /// Takes in the similarities of the images from `first` on; blocks come in index order.
    fn offer(&mut self, first: usize, similarities: &[f32]) {
        for (number, chunk) in similarities.chunks(CHUNK).enumerate() {
            let least = self.least();
            // Hardly any chunk holds a candidate once many images have been seen, and a test
            // without a branch per image is vectorised.
            if !chunk
                .iter()
                .fold(false, |any, &similarity| any | (similarity > least))
            {
                continue;
            }
            for (offset, &similarity) in chunk.iter().enumerate() {
                if similarity > self.least() {
                    self.insert(similarity, first + number * CHUNK + offset);
                }
            }
        }
    }

    /// What a new candidate must exceed; on a tie the older one has the lower index and stays.
    fn least(&self) -> f32 {
        match self.best.last() {
            Some(worst) if self.best.len() == self.room => worst.0,
            _ => f32::NEG_INFINITY,
        }
    }

    fn insert(&mut self, similarity: f32, index: usize) {
        if self.best.len() == self.room {
            self.best.pop();
        }
        let place = self.best.partition_point(|better| better.0 >= similarity);
        self.best.insert(place, (similarity, index));
    }

    fn into_indices(self) -> Vec<usize> {
        self.best.into_iter().map(|(_, index)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_and_ties_go_to_the_lower_index() {
        let similarities: Vec<f32> = (0..200).map(|i| ((i * 37) % 50) as f32).collect();
        let mut order: Vec<usize> = (0..200).collect();
        order.sort_by(|&a, &b| similarities[b].total_cmp(&similarities[a]).then(a.cmp(&b)));
        for block in [1, 7, 32, 33, 200] {
            let mut candidates = Candidates::new(11);
            for (number, part) in similarities.chunks(block).enumerate() {
                candidates.offer(number * block, part);
            }
            assert_eq!(candidates.into_indices(), order[..11]);
        }
    }
}
