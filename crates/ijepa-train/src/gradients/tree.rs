//! Sums in a binary tree whose leaves are the passes of a step, by number.

use super::flat::Flat;
use crate::ranks::{Ranks, add, share};

/// The sum over some neighbouring passes.
#[derive(Debug, PartialEq)]
pub(super) struct Part<T> {
    first: usize,
    passes: usize,
    pub(super) sum: T,
}

impl<T> Part<T> {
    pub(super) fn of_pass(first: usize, sum: T) -> Self {
        Self {
            first,
            passes: 1,
            sum,
        }
    }

    pub(super) fn map<U>(self, sum: impl FnOnce(T) -> U) -> Part<U> {
        Part {
            first: self.first,
            passes: self.passes,
            sum: sum(self.sum),
        }
    }

    /// Whether both are the children of a node of the tree.
    fn is_sibling_of(&self, next: &Self) -> bool {
        let aligned = self.first.is_multiple_of(2 * self.passes);
        self.passes == next.passes && self.passes.is_power_of_two() && aligned
    }
}

/// Replaces the last two parts by their sum.
fn join_last<T>(parts: &mut Vec<Part<T>>, add: &mut impl FnMut(T, T) -> T) {
    let (Some(last), Some(before)) = (parts.pop(), parts.pop()) else {
        return;
    };
    parts.push(Part {
        first: before.first,
        passes: before.passes + last.passes,
        sum: add(before.sum, last.sum),
    });
}

/// Adds up what the last part completes of the tree.
pub(super) fn join_siblings<T>(parts: &mut Vec<Part<T>>, mut add: impl FnMut(T, T) -> T) {
    while let [.., before, last] = &parts[..]
        && before.is_sibling_of(last)
    {
        join_last(parts, &mut add);
    }
}

/// Adds up all parts, the last ones first: what is left of the tree once all passes are there.
pub(super) fn join_all<T>(parts: &mut Vec<Part<T>>, mut add: impl FnMut(T, T) -> T) {
    while parts.len() > 1 {
        join_last(parts, &mut add);
    }
}

/// The sum over the `passes` of a step, of which each rank has its share in `parts`, the same on
/// all of them. Every rank hands what it has to one before it, so after a round for each power of
/// two rank 0 has all.
pub(super) fn sum(mut parts: Vec<Part<Flat>>, ranks: &dyn Ranks, passes: usize) -> Flat {
    let (rank, size) = (ranks.rank(), ranks.size());
    let mut together = 1;
    while together < size {
        if rank % (2 * together) == together {
            let before = rank - together;
            parts
                .iter()
                .for_each(|part| ranks.send(&part.sum.values, before));
            break;
        }
        let next = rank + together;
        if next < size {
            let last = size.min(next + together) - 1;
            let theirs = share(passes, size, next).start..share(passes, size, last).end;
            for expected in nodes(theirs) {
                let sum = parts[0].sum.received(|values| ranks.receive(values, next));
                parts.push(expected.map(|()| sum));
                join_siblings(&mut parts, added);
            }
        }
        together *= 2;
    }
    join_all(&mut parts, added);
    let mut flat = parts.swap_remove(0).sum;
    ranks.broadcast(&mut flat.values, 0);
    flat
}

fn added(mut sum: Flat, other: Flat) -> Flat {
    add(&mut sum.values, &other.values);
    sum
}

/// What neighbouring passes add up to as far as the tree goes.
fn nodes(passes: std::ops::Range<usize>) -> Vec<Part<()>> {
    let mut parts = Vec::new();
    for pass in passes {
        parts.push(Part::of_pass(pass, ()));
        join_siblings(&mut parts, |(), ()| ());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose sum depends on the order.
    fn value(pass: usize) -> f32 {
        (pass as f32 + 0.1).powi(5 - (pass % 11) as i32)
    }

    fn alone(passes: usize) -> f32 {
        let mut parts = Vec::new();
        for pass in 0..passes {
            parts.push(Part::of_pass(pass, value(pass)));
            join_siblings(&mut parts, |a, b| a + b);
            // The rule of the binary counter.
            assert_eq!(parts.len(), (pass + 1).count_ones() as usize);
        }
        join_all(&mut parts, |a, b| a + b);
        parts[0].sum
    }

    #[test]
    fn the_tree_adds_neighbours() {
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(value);
        assert_eq!(alone(4), (a + b) + (c + d));
        assert_eq!(alone(5), ((a + b) + (c + d)) + e);
        assert_ne!(alone(5), a + b + c + d + e);
    }

    #[test]
    fn the_sum_has_the_same_bits_on_any_number_of_ranks() {
        for passes in [1, 2, 3, 6, 7, 8, 13, 16] {
            for size in 1..=passes.min(6) {
                let ranks = crate::ranks::threads(size);
                let sums: Vec<u32> = std::thread::scope(|scope| {
                    let work = ranks.iter().map(|ranks| {
                        scope.spawn(move || {
                            let mut parts = Vec::new();
                            for pass in share(passes, size, ranks.rank()) {
                                let flat = Flat::of_values(vec![value(pass)]);
                                parts.push(Part::of_pass(pass, flat));
                                join_siblings(&mut parts, added);
                            }
                            sum(parts, ranks.as_ref(), passes).values[0].to_bits()
                        })
                    });
                    let work: Vec<_> = work.collect();
                    work.into_iter().map(|it| it.join().unwrap()).collect()
                });
                let expected = alone(passes).to_bits();
                assert_eq!(sums, vec![expected; size], "{passes} on {size}");
            }
        }
    }
}
