//! The heap, counted: memory of C libraries is not on it, and left to `-rss_limit_mb`.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    backtrace::Backtrace,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's allocator, which ends the process where more is asked for than may be held.
struct Counted;

#[global_allocator]
static HEAP: Counted = Counted;

/// From now on, `bytes` more may be held than are held now.
pub(crate) fn limit(bytes: usize) {
    MOST.store(HELD.load(Relaxed).saturating_add(bytes), Relaxed);
}

pub(crate) fn no_limit() {
    MOST.store(usize::MAX, Relaxed);
}

fn take(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    let most = MOST.load(Relaxed);
    if held > most {
        no_limit();
        let place = Backtrace::force_capture();
        eprintln!(
            "{bytes} bytes asked for, {} too many:\n{place}",
            held - most
        );
        std::process::abort();
    }
}

fn give(bytes: usize) {
    HELD.fetch_sub(bytes, Relaxed);
}

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        give(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
