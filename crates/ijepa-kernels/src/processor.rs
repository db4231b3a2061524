//! What the processor can do.

/// Whether products of flex take operands in bf16: on x86-64 with AVX512-BF16. Elsewhere they
/// compute in f32 what is asked for in bf16.
pub fn multiplies_bf16() -> bool {
    #[cfg(feature = "flex")]
    return crate::flex::multiplies_bf16();
    #[cfg(not(feature = "flex"))]
    false
}
