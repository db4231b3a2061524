//! The random numbers of the reference code.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::TryRng;
use rand_mt::Mt;

use crate::MaskRng;

/// The generators that the reference draws the masks of its batches from, so that
/// [`MaskMode::Official`](crate::MaskMode::Official) gives its masks bit for bit: block sizes come
/// from a Mersenne Twister seeded with the number of the batch, block positions from one that runs
/// on from batch to batch, PyTorch's own after `torch.manual_seed(seed)`.
///
/// Unlike [`MaskRng::for_group`] it has a state: masks follow from the batches drawn before.
///
/// ```
/// use ijepa_masking::{MaskSampler, MultiBlockConfig, PatchGrid, ReferenceStreams};
///
/// let sampler = MultiBlockConfig::default().build(PatchGrid::from_image([224, 224], 16)?)?;
/// let streams = ReferenceStreams::new(1234);
/// let first = sampler.sample(6, &mut streams.batch(0));
/// assert_eq!(sampler.sample(6, &mut ReferenceStreams::new(1234).batch(0)), first);
/// assert_ne!(sampler.sample(6, &mut streams.batch(0)), first);
/// # Ok::<(), ijepa_masking::MaskError>(())
/// ```
pub struct ReferenceStreams {
    positions: Positions,
}

impl ReferenceStreams {
    /// The streams of a process whose global generator got this seed; of larger seeds PyTorch takes
    /// the lowest 32 bits, too.
    pub fn new(seed: u32) -> Self {
        let positions = Positions(Arc::new(Mutex::new(Mt::new(seed))));
        Self { positions }
    }

    /// The streams of batch number `number`, counted from 0 over all epochs.
    pub fn batch(&self, number: u32) -> MaskRng {
        MaskRng::new(Mt::new(number), self.positions.clone())
    }
}

impl fmt::Debug for ReferenceStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferenceStreams").finish_non_exhaustive()
    }
}

/// A stream that all batches share.
#[derive(Clone)]
struct Positions(Arc<Mutex<Mt>>);

impl Positions {
    fn lock(&self) -> MutexGuard<'_, Mt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TryRng for Positions {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.lock().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.lock().next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.lock().fill_bytes(bytes);
        Ok(())
    }
}
