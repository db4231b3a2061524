//! The random numbers of one mask group.

use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The two random streams that a mask group is drawn from.
///
/// Block sizes and block positions come from separate streams because the reference draws them
/// from separate generators.
pub struct MaskRng {
    sizes: Box<dyn Rng + Send>,
    positions: Box<dyn Rng + Send>,
}

impl MaskRng {
    /// The streams of group number `group` at optimisation step `step` of a run with `seed`.
    pub fn for_group(seed: u64, step: u64, group: u64) -> Self {
        Self::new(
            stream(seed, step, group, b"mask/siz"),
            stream(seed, step, group, b"mask/pos"),
        )
    }

    /// Streams of the caller's choice.
    pub fn new(sizes: impl Rng + Send + 'static, positions: impl Rng + Send + 'static) -> Self {
        Self {
            sizes: Box::new(sizes),
            positions: Box::new(positions),
        }
    }

    /// The next number in `[0, 1)` of the size stream, with 24 random bits as `torch.rand`.
    pub fn size_unit(&mut self) -> f64 {
        f64::from(self.sizes.next_u32() & 0xFF_FFFF) / f64::from(1 << 24)
    }

    /// The next number in `0..bound` of the position stream, reduced as `torch.randint` does.
    ///
    /// # Panics
    ///
    /// Panics if `bound` is zero.
    pub fn position(&mut self, bound: usize) -> usize {
        self.positions.next_u32() as usize % bound
    }
}

impl fmt::Debug for MaskRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskRng").finish_non_exhaustive()
    }
}

fn stream(seed: u64, step: u64, group: u64, purpose: &[u8; 8]) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[16..24].copy_from_slice(&group.to_le_bytes());
    key[24..].copy_from_slice(purpose);
    ChaCha8Rng::from_seed(key)
}
