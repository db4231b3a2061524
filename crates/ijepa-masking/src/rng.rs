//! The random numbers of one mask group.

use std::{convert::Infallible, fmt};

use rand::{Rng, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;

/// The two random streams that a mask group is drawn from.
///
/// Block sizes and block positions come from separate streams because the reference draws them
/// from separate generators.
///
/// It is a generator of the `rand` crate (0.10), too, whose numbers are those of the position
/// stream, so that strategies of your own can use everything that `rand` offers:
///
/// ```
/// use ijepa_masking::{MaskGroup, MaskRng, MaskSampler, PatchGrid, PatchIndices};
/// use rand::seq::SliceRandom;
///
/// /// One patch is the target, another one the context.
/// struct TwoPatches(PatchGrid);
///
/// impl MaskSampler for TwoPatches {
///     fn grid(&self) -> PatchGrid {
///         self.0
///     }
///
///     fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup {
///         let (mut context, mut target) = (Vec::new(), Vec::new());
///         for _ in 0..images {
///             let mut patches: Vec<u32> = (0..self.0.num_patches() as u32).collect();
///             let (chosen, _) = patches.partial_shuffle(rng, 2);
///             context.push(chosen[0]);
///             target.push(chosen[1]);
///         }
///         MaskGroup {
///             grid: self.0,
///             contexts: vec![PatchIndices::new(1, context)],
///             targets: vec![PatchIndices::new(1, target)],
///             relaxations: 0,
///         }
///     }
/// }
///
/// let masks = TwoPatches(PatchGrid::new(2, 3)?).sample(8, &mut MaskRng::for_group(0, 0, 0));
/// for image in 0..8 {
///     assert_ne!(masks.contexts[0].row(image), masks.targets[0].row(image));
/// }
/// # Ok::<(), ijepa_masking::MaskError>(())
/// ```
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

    /// The next number in `[0, 1)` of the size stream: a multiple of 2<sup>-24</sup>.
    ///
    /// `torch.rand`, with which the reference draws its sizes, fills the 24 bits of an f32's
    /// significand with the lowest bits of one 32-bit number, and so does this: more bits would
    /// be other masks. Places `1 / 2^24` apart are more than any grid can tell apart.
    pub fn size_unit(&mut self) -> f64 {
        f64::from(self.sizes.next_u32() & 0xFF_FFFF) / f64::from(1 << 24)
    }

    /// The next number in `0..bound` of the position stream: the remainder of one 32-bit number,
    /// as in `torch.randint`.
    ///
    /// The first remainders are more frequent by at most `bound / 2^32` of their probability, less
    /// than 1e-6 on grids of 4,096 patches, and numbers from 2<sup>32</sup> on are never drawn;
    /// [`rand::RngExt::random_range`] has neither limit.
    ///
    /// # Panics
    ///
    /// Panics if `bound` is zero.
    pub fn position(&mut self, bound: usize) -> usize {
        self.positions.next_u32() as usize % bound
    }
}

/// The position stream as a generator of `rand`; the size stream stays where it is.
impl TryRng for MaskRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.positions.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.positions.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.positions.fill_bytes(bytes);
        Ok(())
    }
}

impl fmt::Debug for MaskRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskRng").finish_non_exhaustive()
    }
}

/// A stream of random numbers for one purpose of mask group or sample `number` of a step.
pub fn stream(seed: u64, step: u64, number: u64, purpose: &[u8; 8]) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, step, number]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    key[24..].copy_from_slice(purpose);
    ChaCha8Rng::from_seed(key)
}
