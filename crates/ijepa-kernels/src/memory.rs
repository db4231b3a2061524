//! Memory that a training process frees and needs again at every step.

/// Tells the C library's allocator to keep freed memory for reuse; for programs to call once, at
/// their start.
///
/// By default glibc maps every large buffer anew and gives it back when it is freed, so a step
/// spends several per cent of its time on page faults. The process then keeps its peak memory
/// until it ends. On other C libraries this does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu", feature = "flex"))]
    {
        /// Bytes by which the heap grows at least.
        const GROWTH: libc::c_int = 64 << 20;
        let options = [
            (libc::M_MMAP_MAX, 0),
            (libc::M_TRIM_THRESHOLD, libc::c_int::MAX),
            (libc::M_TOP_PAD, GROWTH),
        ];
        for (option, value) in options {
            #[expect(unsafe_code, reason = "a call of the C library")]
            // SAFETY: `mallopt` takes any option and value, and refuses what it does not know.
            unsafe {
                libc::mallopt(option, value);
            }
        }
    }
}
