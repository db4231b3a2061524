//! What the tests of all crates share: golden files, closeness, noise, pictures, servers and the
//! device under test.

mod close;
mod device;
mod golden;
pub mod hub;
mod pictures;
pub mod server;
mod source;
mod tensor;

pub use close::{assert_close, max_abs_difference, relative_difference};
pub use device::{device, device_name, tolerance};
pub use golden::Golden;
pub use pictures::{TURNED_JPEG, twelve_bits};
pub use source::Replaced;
pub use tensor::{noise, noise_tensor, values};
