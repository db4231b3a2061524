//! What the tests of all crates share: golden files, closeness, noise, pictures, servers and the
//! device under test.

#[cfg(feature = "tensors")]
mod close;
#[cfg(feature = "tensors")]
mod device;
#[cfg(feature = "tensors")]
mod golden;
pub mod hub;
#[cfg(feature = "tensors")]
mod launches;
mod pictures;
pub mod server;
mod source;
#[cfg(feature = "tensors")]
mod tensor;

#[cfg(feature = "tensors")]
pub use close::{assert_close, max_abs_difference, relative_difference};
#[cfg(feature = "tensors")]
pub use device::{device, device_name, tolerance};
#[cfg(feature = "tensors")]
pub use golden::Golden;
#[cfg(feature = "tensors")]
pub use launches::launches;
pub use pictures::{TURNED_JPEG, twelve_bits};
pub use source::Replaced;
#[cfg(feature = "tensors")]
pub use tensor::{noise, noise_tensor, values};
