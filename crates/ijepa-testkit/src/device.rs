//! The backend that a test run is for.

use burn::tensor::Device;

/// Environment variable that names the backend of a test run.
const VARIABLE: &str = "IJEPA_TEST_DEVICE";

/// Name of the backend under test: `flex` unless the environment says otherwise.
pub fn device_name() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| "flex".into())
}

/// The device under test.
///
/// # Panics
///
/// Panics if the backend is not compiled in, so that a test run can never silently use another.
pub fn device() -> Device {
    match device_name().as_str() {
        #[cfg(feature = "flex")]
        "flex" => Device::flex(),
        #[cfg(feature = "ndarray")]
        "ndarray" =>
        {
            #[expect(deprecated, reason = "ndarray is a promised backend")]
            Device::ndarray()
        }
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::wgpu(burn::tensor::DeviceKind::default()),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(0),
        other => panic!("backend `{other}` is not compiled into this test run"),
    }
}

/// Whether the device under test is a processor in the place of a graphics card.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub fn is_software() -> bool {
    let identity = device().identity();
    identity.is_some_and(|identity| identity.physical.is_none())
}

/// No device is compiled in that could be one.
#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
pub fn is_software() -> bool {
    false
}

/// The relative tolerance of the device under test: `cpu` on CPUs, 1e-4 on wgpu, whose drivers
/// may approximate elementary functions, 2e-3 on CUDA, where matrix units round the factors of
/// f32 products to 11 bits (TF32).
pub fn tolerance(cpu: f64) -> f64 {
    match device_name().as_str() {
        "wgpu" => cpu.max(1e-4),
        "cuda" => cpu.max(2e-3),
        _ => cpu,
    }
}
