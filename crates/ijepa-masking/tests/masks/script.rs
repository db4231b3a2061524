//! Positions of a test's choice.

use std::convert::Infallible;

use ijepa_masking::MaskRng;
use rand::TryRng;

/// A stream of given numbers, then of zeros.
struct Script<I>(I);

impl<I: Iterator<Item = u32>> TryRng for Script<I> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next().unwrap_or(0))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("samplers draw 32 bits at a time")
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
        unreachable!("samplers draw 32 bits at a time")
    }
}

/// Sizes at the lower end of their ranges, and `positions`.
pub(crate) fn scripted(positions: impl Iterator<Item = u32> + Send + 'static) -> MaskRng {
    MaskRng::new(Script(std::iter::empty()), Script(positions))
}
