//! Which evaluated epoch was the best.

use crate::hook::EpochScores;

/// The best evaluated epoch so far: by kNN if any epoch has it, else by effective rank.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Best {
    knn: Option<f64>,
    rankme: Option<f64>,
    /// Completed steps at its end.
    pub(crate) step: Option<u64>,
}

impl Best {
    /// The best of the rows of an `epochs.csv`.
    pub(crate) fn of_table(text: &str) -> Self {
        let mut best = Self::default();
        for line in text.lines() {
            let cells: Vec<&str> = line.split(',').collect();
            let score = |column: usize| cells.get(column)?.parse().ok();
            let Some(step) = cells.get(1).and_then(|step| step.parse().ok()) else {
                continue;
            };
            let (rankme, knn) = (score(2), score(3));
            best.take_in(
                step,
                &EpochScores {
                    rankme,
                    knn,
                    ..EpochScores::default()
                },
            );
        }
        best
    }

    /// Counts an epoch in; whether it is better than all before it.
    pub(crate) fn take_in(&mut self, step: u64, scores: &EpochScores) -> bool {
        let (best, new) = match (scores.knn, self.knn) {
            (None, Some(_)) => return false,
            (None, None) => (&mut self.rankme, scores.rankme),
            (new, _) => (&mut self.knn, new),
        };
        let better = new.is_some_and(|new| best.is_none_or(|best| new > best));
        if better {
            *best = new;
            self.step = Some(step);
        }
        better
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(rows: &str) -> Option<u64> {
        Best::of_table(&format!("epoch,step,rankme,knn,probe\n{rows}")).step
    }

    #[test]
    fn labels_decide_before_ranks() {
        assert_eq!(best(""), None);
        assert_eq!(best("0,10,,,\n"), None);
        assert_eq!(best("0,10,4.0,,\n1,20,5.0,,\n2,30,4.5,,\n"), Some(20));
        assert_eq!(best("0,10,9.0,30,\n1,20,5.0,32,\n2,30,9.5,31,\n"), Some(20));
        // An epoch without labels cannot beat one with, whatever came first.
        assert_eq!(best("0,10,9.0,,\n1,20,5.0,32,\n2,30,9.5,,\n"), Some(20));
        // Of equals the first stays.
        assert_eq!(best("0,10,9.0,30,\n1,20,5.0,30,\n"), Some(10));
    }
}
