//! Which kernels work launches, on devices that launch any.

use std::collections::BTreeMap;
#[cfg(feature = "cube")]
use std::{
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

#[cfg(feature = "cube")]
use burn_cubecl::cubecl::logging::{LaunchObservation, LaunchObserver};

#[cfg(feature = "cube")]
struct Counter {
    thread: ThreadId,
    launches: Mutex<BTreeMap<String, usize>>,
}

#[cfg(feature = "cube")]
impl LaunchObserver for Counter {
    /// It is called on the thread that launches.
    fn launched(&self, kernel: &'static str) {
        if thread::current().id() == self.thread {
            let mut launches = self.launches.lock().expect("no counter panics");
            *launches.entry(kind(kernel)).or_default() += 1;
        }
    }
}

/// Crate and function of a kernel, of whose type the name is given.
#[cfg(any(feature = "cube", test))]
fn kind(kernel: &str) -> String {
    let path = kernel.split('<').next().unwrap_or(kernel);
    let origin = path.split("::").next().unwrap_or(path);
    let function = path.rsplit("::").nth(1).unwrap_or(path);
    format!("{origin}::{function}")
}

/// How many kernels of each kind `work` launches from this thread. One count at a time is taken in
/// a process.
///
/// # Panics
///
/// Panics if `work` does.
#[cfg(feature = "cube")]
pub fn launches(work: impl FnOnce()) -> BTreeMap<String, usize> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let counter = Arc::new(Counter {
        thread: thread::current().id(),
        launches: Mutex::default(),
    });
    let observation = LaunchObservation::new(counter.clone());
    work();
    drop(observation);
    let mut launches = counter.launches.lock().expect("no counter panics");
    std::mem::take(&mut launches)
}

/// None of `work`, as no backend is compiled in that launches kernels.
#[cfg(not(feature = "cube"))]
pub fn launches(work: impl FnOnce()) -> BTreeMap<String, usize> {
    work();
    BTreeMap::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_by_crate_and_function() {
        let name = "ours::cube::norm::norm_kernel::NormKernel<other::Type<u8>>";
        assert_eq!(kind(name), "ours::norm_kernel");
    }
}
