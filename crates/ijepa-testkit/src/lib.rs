//! What the tests of all crates share: golden files, closeness, noise, pictures, servers, the device
//! under test, and what a test says that cannot run.

#[cfg(feature = "tensors")]
mod close;
#[cfg(feature = "tensors")]
mod device;
mod environment;
#[cfg(feature = "tensors")]
mod golden;
pub mod hub;
#[cfg(feature = "tensors")]
mod launches;
mod npy;
mod pictures;
pub mod run;
pub mod server;
mod skip;
mod source;
#[cfg(feature = "tensors")]
mod tensor;

#[cfg(feature = "tensors")]
pub use close::{assert_close, max_abs_difference, relative_difference};
#[cfg(feature = "tensors")]
pub use device::{device, device_name, is_software, tolerance};
pub use environment::undisturbed;
#[cfg(feature = "tensors")]
pub use golden::Golden;
#[cfg(feature = "tensors")]
pub use launches::launches;
pub use npy::npy;
pub use pictures::{TURNED_JPEG, twelve_bits};
pub use skip::skip;
pub use source::Replaced;
#[cfg(feature = "tensors")]
pub use tensor::{noise, noise_tensor, values};
