//! The same features on every backend of this build.
//!
//! Run:     cargo run --release --example swap_backend --features ndarray,wgpu
//! Needs:   nothing; a GPU driver for wgpu
//! Time:    seconds
//! Prints:  one line a backend, with the same numbers
#![expect(clippy::print_stdout, reason = "an example prints")]

use ijepa_model::{Normalization, Pooling, VisionTransformerConfig};
use ijepa_train::{Backend, DeviceSpec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = VisionTransformerConfig::variant("vit_ti16")?.with_image_size([64, 64]);
    let pixels: Vec<u8> = (0..64 * 64 * 3).map(|i| (i % 251) as u8).collect();
    for backend in Backend::compiled_in() {
        let device = DeviceSpec { backend, index: 0 }.open()?;
        let encoder = config.init(&device);
        let images = Normalization::IMAGENET.images(&pixels, [1, 64, 64], &device);
        let features = encoder.forward_pooled(images, Pooling::Mean);
        let first: Vec<f32> = features
            .narrow(1, 0, 4)
            .into_data()
            .convert::<f32>()
            .try_into_vec()?;
        println!("{:8} {first:.4?}", backend.name());
    }
    Ok(())
}
