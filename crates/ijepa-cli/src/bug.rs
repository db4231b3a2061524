//! Panics, which are bugs of this program.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Mutex,
};

use ijepa_model::files::one_line;

use crate::{exit_code, report};

/// The last panic. Libraries catch some (of image decoders), so only the one that ends the
/// program may be printed.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Keeps panics quiet until it is known whether somebody catches them.
pub(crate) fn record_panics() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST.lock() {
            *last = Some(describe(info));
        }
    }));
}

/// Runs the command; a panic becomes a request to report it.
pub(crate) fn guard(run: impl FnOnce() -> u8) -> u8 {
    guard_saying(run, report::line)
}

/// Runs something whose panics somebody catches who cannot say them.
pub(crate) fn told<T>(run: impl FnOnce() -> T) -> T {
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        report::line(&last_message());
        panic::resume_unwind(panic)
    })
}

fn guard_saying(run: impl FnOnce() -> u8, say: impl FnOnce(&str)) -> u8 {
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        say(&last_message());
        exit_code::BUG
    })
}

fn last_message() -> String {
    let what = LAST.lock().ok().and_then(|mut last| last.take());
    message(what.as_deref().unwrap_or("unknown cause"))
}

fn message(what: &str) -> String {
    let page = concat!(env!("CARGO_PKG_REPOSITORY"), "/issues");
    let version = env!("CARGO_PKG_VERSION");
    format!("error: this is a bug in ijepa {version}, please report it at {page}: {what}")
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let what = one_line(info.payload_as_str().unwrap_or("panic"));
    let place = info
        .location()
        .map_or_else(String::new, |place| format!(" ({place})"));
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("{what}{place}\n{backtrace}"),
        _ => format!("{what}{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_exits_with_the_code_of_a_bug() {
        let mut said = String::new();
        let code = guard_saying(|| panic!("out of bounds"), |line| said = line.to_owned());
        assert_eq!(code, 70);
        assert!(said.starts_with("error: this is a bug in ijepa "), "{said}");
        assert_eq!(guard(|| 0), 0);
    }

    #[test]
    fn the_message_says_where_to_report() {
        assert_eq!(
            message("boom (a.rs:1:2)"),
            format!(
                "error: this is a bug in ijepa {}, please report it at \
                 https://github.com/ijepa-rs/ijepa/issues: boom (a.rs:1:2)",
                env!("CARGO_PKG_VERSION")
            )
        );
    }
}
