//! What a device can do.

use burn::tensor::{DType, Device};

/// Whether `device` has matrix products of bf16 operands.
///
/// Flex has them on x86-64 with AVX512-BF16 and elsewhere computes in f32 what is asked for in
/// bf16.
pub fn has_bf16_products(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    {
        use burn::backend::DispatchDevice;
        if matches!(
            device.clone().inner().as_dispatch(),
            DispatchDevice::Flex(_)
        ) {
            return crate::flex::multiplies_bf16();
        }
    }
    device.supports_dtype(DType::BF16)
}
