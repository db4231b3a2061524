//! Running on the threads that the kernels compute on.

use burn::tensor::Device;

/// Runs `work`, which computes on `device`, on one of the threads that flex computes on.
///
/// Every kernel that a foreign thread starts wakes the threads of the pool and sleeps until they
/// are done; started by one of them it costs neither. For small models that is a third of a step.
/// On other backends `work` runs where it is called.
pub fn on_workers<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "flex")]
    {
        use burn::backend::DispatchDevice;
        let device = device.clone().inner();
        if matches!(device.as_dispatch(), DispatchDevice::Flex(_)) {
            return rayon::scope(|_| work());
        }
    }
    let _ = device;
    work()
}
