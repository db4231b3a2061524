//! Memory that a training process frees and needs again at every step.

#[cfg(all(target_os = "linux", target_env = "gnu", feature = "flex"))]
use libc::{M_ARENA_MAX, M_MMAP_MAX, M_TOP_PAD, M_TRIM_THRESHOLD, c_int};

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
        const GROWTH: c_int = 64 << 20;
        set(M_MMAP_MAX, 0);
        set(M_TRIM_THRESHOLD, c_int::MAX);
        set(M_TOP_PAD, GROWTH);
    }
}

/// Gives the threads that start from now on one heap between them; for programs to call before a
/// CPU computes.
///
/// By default glibc makes several heaps, and what a thread frees in one does not serve the threads
/// of another: with [`keep_freed_memory`] a step then holds up to half as much again as it needs,
/// and another amount in every run. Threads that decode images for a GPU are better left with
/// heaps of their own. On other C libraries this does nothing.
pub fn share_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu", feature = "flex"))]
    set(M_ARENA_MAX, 1);
}

#[cfg(all(target_os = "linux", target_env = "gnu", feature = "flex"))]
fn set(option: c_int, value: c_int) {
    #[expect(unsafe_code, reason = "a call of the C library")]
    // SAFETY: `mallopt` takes any option and value, and refuses what it does not know.
    unsafe {
        libc::mallopt(option, value);
    }
}
