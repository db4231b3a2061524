//! Ranks that add up tensors where these are, as long as that can be trusted.

use std::{
    fmt::Debug,
    iter::once,
    sync::{Arc, OnceLock},
};

use burn::tensor::{Device, Tensor};

use super::{Ranks, host, told};

/// Adds up tensors on devices.
pub(super) trait Collective: Debug + Send + Sync {
    /// As [`Ranks::sum_tensors`].
    ///
    /// # Errors
    ///
    /// Says what went wrong.
    fn sum(&self, tensors: &mut dyn Iterator<Item = Tensor<1>>) -> Result<Vec<Tensor<1>>, String>;
}

/// Connects the devices of ranks, which all call it together; says why if it cannot be.
pub(super) type Connect = fn(&Arc<dyn Ranks>, &Device) -> Result<Box<dyn Collective>, String>;

/// `control`, but tensors on CUDA devices are added up by NCCL if this binary has it (Cargo feature
/// `nccl`), the library is there and its sums are those of `control`.
pub fn on_device(control: Arc<dyn Ranks>) -> Arc<dyn Ranks> {
    #[cfg(feature = "nccl")]
    let control = Arc::new(OnDevice::new(control, super::nccl::connect));
    control
}

/// Ranks with a collective for their devices, and others for all else.
#[derive(Debug)]
struct OnDevice {
    /// Nothing if it cannot be used.
    collective: OnceLock<Option<Box<dyn Collective>>>,
    connect: Connect,
    control: Arc<dyn Ranks>,
}

impl OnDevice {
    fn new(control: Arc<dyn Ranks>, connect: Connect) -> Self {
        Self {
            collective: OnceLock::new(),
            connect,
            control,
        }
    }

    /// A collective whose sums are right.
    fn checked(&self, device: &Device) -> Result<Box<dyn Collective>, String> {
        let control = self.control.as_ref();
        let collective = agreed(control, (self.connect)(&self.control, device))?;
        let mut known = known(control.rank());
        let tensor = Tensor::from_floats(known.as_slice(), device);
        let sums = collective.sum(&mut once(tensor));
        control.sum(&mut known);
        let same = sums.and_then(|mut sums| match host::read(sums.swap_remove(0)) == known {
            true => Ok(()),
            false => Err("its sums are not those of host memory".to_owned()),
        });
        agreed(control, same).map(|()| collective)
    }
}

/// Small whole numbers, whose sums have no rounding.
fn known(rank: usize) -> Vec<f32> {
    let value = |place: usize| ((7 * rank + place) % 251) as f32;
    (0..100_003).map(value).collect()
}

/// What this rank has come to if all have come to something, else what the first of the others
/// says.
pub(super) fn agreed<T>(ranks: &dyn Ranks, own: Result<T, String>) -> Result<T, String> {
    let failed = told(ranks, &own.as_ref().err().cloned());
    match failed.into_iter().flatten().next() {
        Some(why) => Err(why),
        None => own,
    }
}

impl Ranks for OnDevice {
    fn rank(&self) -> usize {
        self.control.rank()
    }

    fn size(&self) -> usize {
        self.control.size()
    }

    fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        self.control.gather(own)
    }

    fn send(&self, values: &[f32], to: usize) {
        self.control.send(values, to);
    }

    fn receive(&self, values: &mut [f32], from: usize) {
        self.control.receive(values, from);
    }

    fn abort(&self, code: u8) -> ! {
        self.control.abort(code)
    }

    fn meet(&self) {
        self.control.meet();
    }

    fn broadcast(&self, values: &mut [f32], from: usize) {
        self.control.broadcast(values, from);
    }

    fn sum(&self, values: &mut [f32]) {
        self.control.sum(values);
    }

    fn prepare(&self, device: &Device) -> Option<String> {
        let checked = self.checked(device);
        let warning = checked.as_ref().err().map(|why| {
            format!("gradients are added up in host memory, not by NCCL on the devices: {why}")
        });
        self.collective.get_or_init(|| checked.ok());
        warning
    }

    /// # Panics
    ///
    /// Panics if a collective that was right at first fails later.
    fn sum_tensors(&self, tensors: &mut dyn Iterator<Item = Tensor<1>>) -> Vec<Tensor<1>> {
        match self.collective.get().and_then(Option::as_ref) {
            Some(collective) => {
                let sums = collective.sum(tensors);
                sums.unwrap_or_else(|why| panic!("gradients cannot be added up: {why}"))
            }
            None => self.control.sum_tensors(tensors),
        }
    }
}

#[cfg(test)]
mod tests {
    use ijepa_testkit::device;

    use super::*;
    use crate::ranks::threads;

    /// Sums of `ranks`, twice as large if it `lies` about a tensor of that length.
    #[derive(Debug)]
    struct Fake {
        ranks: Arc<dyn Ranks>,
        lies: fn(usize) -> bool,
    }

    impl Collective for Fake {
        fn sum(
            &self,
            tensors: &mut dyn Iterator<Item = Tensor<1>>,
        ) -> Result<Vec<Tensor<1>>, String> {
            let sums = self.ranks.sum_tensors(tensors).into_iter();
            let told = |sum: Tensor<1>| match (self.lies)(sum.dims()[0]) {
                true => sum.mul_scalar(2.0),
                false => sum,
            };
            Ok(sums.map(told).collect())
        }
    }

    fn fake(ranks: &Arc<dyn Ranks>, lies: fn(usize) -> bool) -> Box<dyn Collective> {
        Box::new(Fake {
            ranks: Arc::clone(ranks),
            lies,
        })
    }

    /// What each of three ranks warns of, and what it takes for the sums of 1 and 10, 2 and 20, 3
    /// and 30.
    fn summed(connect: Connect) -> Vec<(Option<String>, Vec<Vec<f32>>)> {
        let ranks = threads(3);
        std::thread::scope(|scope| {
            let work = ranks.into_iter().map(|ranks| {
                scope.spawn(move || {
                    let ranks = OnDevice::new(ranks, connect);
                    let warning = ranks.prepare(&device());
                    let own = (ranks.rank() + 1) as f32;
                    let tensors = [own, 10.0 * own].map(|value| Tensor::from([value]));
                    let sums = ranks.sum_tensors(&mut tensors.into_iter());
                    (warning, sums.into_iter().map(host::read).collect())
                })
            });
            let work: Vec<_> = work.collect();
            work.into_iter().map(|it| it.join().unwrap()).collect()
        })
    }

    fn check_falls_back(connect: Connect, why: &str) {
        for (warning, sums) in summed(connect) {
            assert!(
                warning.as_ref().is_some_and(|it| it.ends_with(why)),
                "{warning:?}"
            );
            assert_eq!(sums, [[6.0], [60.0]]);
        }
    }

    #[test]
    fn a_collective_that_adds_up_correctly_is_used() {
        let lies_later: Connect = |ranks, _| Ok(fake(ranks, |values| values == 1));
        assert_eq!(
            summed(lies_later),
            vec![(None, vec![vec![12.0], vec![120.0]]); 3]
        );
    }

    #[test]
    fn ranks_without_a_library_add_up_in_host_memory() {
        check_falls_back(|_, _| Err("no library".to_owned()), ": no library");
        let only_one: Connect = |ranks, _| match ranks.rank() {
            1 => Err("not here".to_owned()),
            _ => Ok(fake(ranks, |_| false)),
        };
        check_falls_back(only_one, ": not here");
    }

    #[test]
    fn a_collective_with_wrong_sums_is_not_used() {
        let why = ": its sums are not those of host memory";
        check_falls_back(|ranks, _| Ok(fake(ranks, |_| true)), why);
        // On one rank only.
        let one_lies: Connect = |ranks, _| {
            let lies = match ranks.rank() {
                2 => |_| true,
                _ => |_| false,
            };
            Ok(fake(ranks, lies))
        };
        check_falls_back(one_lies, why);
    }
}
