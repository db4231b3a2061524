//! Processes that train one run together, each on a device of its own.
//!
//! [`start`] finds out who this process is; a run in a [`Folder`](crate::run::Folder) that knows
//! its ranks is theirs. Rank 0 owns all files.

mod host;
mod launch;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
#[cfg_attr(
    not(any(feature = "nccl", test)),
    expect(dead_code, reason = "what adds up on devices is optional")
)]
mod on_device;
mod threads;

use std::{fmt::Debug, ops::Range, sync::Arc};

use burn::tensor::{Device, Tensor};
use serde::{Serialize, de::DeserializeOwned};

pub use launch::{RanksError, device_among, device_of, start};
pub use on_device::on_device;
pub use threads::threads;

/// Values that travel together, 25 MB of them; of gradients more if a parameter has more.
pub const BUCKET: usize = 25_000_000 / size_of::<f32>();

/// The processes of a run. All of them call the same methods in the same order, from one thread at
/// a time.
pub trait Ranks: Debug + Send + Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many there are, at least 1.
    fn size(&self) -> usize;

    /// What every rank says, by rank.
    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>>;

    /// Sends `values` to another rank, which [`receive`](Self::receive)s as many.
    fn send(&self, values: &[f32], to: usize);

    /// Fills `values` with what rank `from` sends.
    fn receive(&self, values: &mut [f32], from: usize);

    /// Ends all ranks, which exit with `code`.
    fn abort(&self, code: u8) -> !;

    /// Waits, without computing, until all are here.
    fn meet(&self) {
        self.gather(&[]);
    }

    /// Replaces `values` by those of rank `from`.
    fn broadcast(&self, values: &mut [f32], from: usize) {
        match self.rank() == from {
            true => (0..self.size())
                .filter(|&rank| rank != from)
                .for_each(|rank| self.send(values, rank)),
            false => self.receive(values, from),
        }
    }

    /// Replaces `values` by the sum over all ranks, the same everywhere.
    fn sum(&self, values: &mut [f32]) {
        match self.rank() {
            0 => {
                let mut others = vec![0.0; values.len()];
                for rank in 1..self.size() {
                    self.receive(&mut others, rank);
                    add(values, &others);
                }
            }
            _ => self.send(values, 0),
        }
        self.broadcast(values, 0);
    }

    /// Gets ready to add up tensors of `device`; a warning if that will be slower than it could be.
    /// All ranks call it together, before the first [`sum_tensors`](Self::sum_tensors).
    fn prepare(&self, device: &Device) -> Option<String> {
        let _ = device;
        None
    }

    /// The sums over all ranks of f32 tensors, each `[values]` and as long on all of them, on their
    /// device; the same everywhere.
    fn sum_tensors(&self, tensors: &mut dyn Iterator<Item = Tensor<1>>) -> Vec<Tensor<1>> {
        host::sum_tensors(self, tensors)
    }
}

/// What every rank says, by rank.
///
/// # Panics
///
/// Panics if they say different kinds of things.
pub fn told<T: Serialize + DeserializeOwned>(ranks: &dyn Ranks, own: &T) -> Vec<T> {
    let own = serde_json::to_vec(own).expect("it is plain data");
    let all = ranks.gather(&own).into_iter();
    all.map(|said| serde_json::from_slice(&said).expect("ranks run the same program"))
        .collect()
}

/// Adds `others` to `values`.
pub(crate) fn add(values: &mut [f32], others: &[f32]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value += other;
    }
}

/// The parts of `whole` that belong to rank `rank` of `size`: neighbours, as many as the others'
/// or one more.
pub fn share(whole: usize, size: usize, rank: usize) -> Range<usize> {
    whole * rank / size..whole * (rank + 1) / size
}

/// A process on its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Single;

impl Single {
    /// As the ranks of a run.
    pub fn shared() -> Arc<dyn Ranks> {
        Arc::new(Self)
    }
}

impl Ranks for Single {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        vec![own.to_vec()]
    }

    fn send(&self, _: &[f32], to: usize) {
        unreachable!("there is no rank {to}")
    }

    fn receive(&self, _: &mut [f32], from: usize) {
        unreachable!("there is no rank {from}")
    }

    fn abort(&self, code: u8) -> ! {
        std::process::exit(code.into())
    }
}
