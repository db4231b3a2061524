//! Panics: those that the library catches are told once a place, others end the process.

use std::{
    backtrace::Backtrace,
    collections::BTreeSet,
    panic::set_hook,
    sync::{Mutex, Once, PoisonError},
};

static LAST: Mutex<Option<(String, Backtrace)>> = Mutex::new(None);
static PLACES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Takes the place of libFuzzer's hook, which ends the process at any panic.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            let place = place.unwrap_or_default();
            let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
            if places.insert(place) {
                eprintln!("a panic, {panic}");
            }
            let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((panic.to_string(), Backtrace::force_capture()));
        }));
    });
}

pub(crate) fn tell_last() {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((panic, place)) = &*last {
        eprintln!("{panic}, which nobody caught:\n{place}");
    }
}
