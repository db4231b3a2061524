//! Ranks of MPI, through host memory.

use std::{
    fmt,
    thread::{sleep, yield_now},
    time::{Duration, Instant},
};

use mpi::{
    Threading,
    collective::SystemOperation,
    datatype::PartitionMut,
    environment::Universe,
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Destination, Root, Source},
};

use super::{BUCKET, Ranks};

/// Who waits looks without a pause this long, and then less and less often.
const EAGER: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The processes of an MPI job.
pub(super) struct Mpi {
    /// Ends MPI when it is dropped.
    _universe: Universe,
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpi")
            .field("rank", &self.rank())
            .field("size", &self.size())
            .finish()
    }
}

impl Mpi {
    /// Connects to the others; nothing if MPI cannot be used.
    pub(super) fn start() -> Option<Self> {
        let (universe, granted) = mpi::initialize_with_threading(Threading::Serialized)?;
        // Sums are added up by threads of their own.
        (granted >= Threading::Serialized).then_some(Self {
            _universe: universe,
        })
    }
}

/// All processes of the job.
fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

/// What MPI counts with.
fn count(number: usize) -> i32 {
    i32::try_from(number).expect("buckets and jobs are smaller")
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        usize::try_from(world().rank()).expect("ranks count from 0")
    }

    fn size(&self) -> usize {
        usize::try_from(world().size()).expect("there is at least one")
    }

    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        self.meet();
        let mut lengths = vec![0i32; self.size()];
        world().all_gather_into(&count(own.len()), &mut lengths[..]);
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        let starts: Vec<i32> = ends
            .zip(&lengths)
            .map(|(end, length)| end - length)
            .collect();
        let total: i32 = lengths.iter().sum();
        let mut all = vec![0u8; usize::try_from(total).expect("lengths are not negative")];
        let mut parts = PartitionMut::new(&mut all[..], &lengths[..], &starts[..]);
        world().all_gather_varcount_into(own, &mut parts);
        let mut rest = &all[..];
        let messages = lengths.iter().map(|&length| {
            let (message, others) = rest.split_at(usize::try_from(length).unwrap_or(0));
            rest = others;
            message.to_vec()
        });
        messages.collect()
    }

    fn send(&self, values: &[f32], to: usize) {
        let world = world();
        let to = world.process_at_rank(count(to));
        values.chunks(BUCKET).for_each(|bucket| to.send(bucket));
    }

    fn receive(&self, values: &mut [f32], from: usize) {
        let world = world();
        let from = world.process_at_rank(count(from));
        for bucket in values.chunks_mut(BUCKET) {
            from.receive_into(bucket);
        }
    }

    fn abort(&self, code: u8) -> ! {
        world().abort(code.into())
    }

    /// MPI itself would keep a core busy until the last is here.
    fn meet(&self) {
        let (began, mut pause) = (Instant::now(), Duration::from_micros(100));
        let mut waiting = world().immediate_barrier();
        while let Err(request) = waiting.test() {
            waiting = request;
            if began.elapsed() < EAGER {
                yield_now();
            } else {
                sleep(pause);
                pause = LONGEST_PAUSE.min(2 * pause);
            }
        }
    }

    fn broadcast(&self, values: &mut [f32], from: usize) {
        let world = world();
        let root = world.process_at_rank(count(from));
        for bucket in values.chunks_mut(BUCKET) {
            root.broadcast_into(bucket);
        }
    }

    fn sum(&self, values: &mut [f32]) {
        let mut summed = vec![0.0; BUCKET.min(values.len())];
        for bucket in values.chunks_mut(BUCKET) {
            let summed = &mut summed[..bucket.len()];
            world().all_reduce_into(&*bucket, summed, SystemOperation::sum());
            bucket.copy_from_slice(summed);
        }
    }
}
