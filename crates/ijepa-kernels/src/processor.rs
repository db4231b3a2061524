//! What a device can do.

use burn::tensor::{DType, Device};

/// Whether `device` has matrix products of bf16 operands.
///
/// Flex has them on x86-64 with AVX512-BF16 and elsewhere computes in f32 what is asked for in
/// bf16.
pub fn has_bf16_products(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if is_flex(device) {
        return crate::flex::multiplies_bf16();
    }
    device.supports_dtype(DType::BF16)
}

/// Whether `device` has matrix products of operands of 8 bits: flex on x86-64 with AVX512-VNNI.
pub fn has_int8_products(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if is_flex(device) {
        return crate::flex::multiplies_int8();
    }
    let _ = device;
    false
}

#[cfg(feature = "flex")]
fn is_flex(device: &Device) -> bool {
    use burn::backend::DispatchDevice;
    let device = device.clone().inner();
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}
