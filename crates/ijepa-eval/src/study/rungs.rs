//! Successive halving: how far runs go before the worst are dropped.

/// The rungs of a sweep (Jamieson & Talwalkar 2016): each is `factor` times as long as the one
/// before and takes one in `factor` of its variants; the last is the whole schedule.
#[derive(Debug)]
pub(super) struct Rungs {
    variants: usize,
    factor: usize,
    count: u32,
}

impl Rungs {
    /// One rung, or as many as it takes to leave less than `factor` variants.
    pub(super) fn new(variants: usize, halving: Option<usize>) -> Self {
        let Some(factor) = halving else {
            return Self {
                variants,
                factor: 1,
                count: 1,
            };
        };
        let mut count = 1;
        while factor.pow(count) <= variants {
            count += 1;
        }
        Self {
            variants,
            factor,
            count,
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Steps of a run of `total` steps at the end of `rung`.
    pub(super) fn steps(&self, rung: u32, total: u64) -> u64 {
        let shorter = (self.factor as u64).pow(self.count - 1 - rung);
        (total / shorter).max(1)
    }

    /// Variants that go on after `rung`.
    pub(super) fn kept(&self, rung: u32) -> usize {
        self.variants.div_ceil(self.factor.pow(rung + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_halving_all_run_to_the_end() {
        let rungs = Rungs::new(7, None);
        assert_eq!(
            (rungs.count(), rungs.steps(0, 900), rungs.kept(0)),
            (1, 900, 7)
        );
    }

    #[test]
    fn nine_variants_by_three_take_three_rungs() {
        let rungs = Rungs::new(9, Some(3));
        assert_eq!(rungs.count(), 3);
        let steps = [0, 1, 2].map(|rung| rungs.steps(rung, 900));
        assert_eq!(steps, [100, 300, 900]);
        assert_eq!([rungs.kept(0), rungs.kept(1)], [3, 1]);
    }

    #[test]
    fn few_variants_are_never_dropped_before_their_end() {
        let rungs = Rungs::new(2, Some(3));
        assert_eq!((rungs.count(), rungs.steps(0, 900)), (1, 900));
    }
}
