//! Signals that stop a run.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::consts::SIGINT;

use crate::exit_code;

/// Sets `stop` at the first Ctrl-C, and where the system has them at requests to terminate and to
/// hang up and at SIGUSR1, by which batch systems say that time is nearly up; a Ctrl-C after any of
/// them ends the process at once.
#[cfg(unix)]
pub(crate) fn stop_at_signals(stop: Arc<AtomicBool>) -> io::Result<()> {
    use signal_hook::{
        consts::{SIGHUP, SIGTERM, SIGUSR1},
        iterator::Signals,
        low_level,
    };

    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    if !hangups_are_ignored() {
        signals.add_signal(SIGHUP)?;
    }
    let listen = move || {
        for signal in signals.forever() {
            let stopping = stop.swap(true, Ordering::Relaxed);
            match (stopping, signal) {
                (true, SIGINT) => low_level::exit(exit_code::INTERRUPTED.into()),
                (true, _) => (),
                (false, _) => crate::progress::say_above_bars(
                    "stopping with a checkpoint; another Ctrl-C stops at once, without one",
                ),
            }
        }
    };
    let thread = std::thread::Builder::new().name("ijepa-signals".to_owned());
    thread.spawn(listen).map(|_| ())
}

/// As on other systems, but for what is said.
#[cfg(not(unix))]
pub(crate) fn stop_at_signals(stop: Arc<AtomicBool>) -> io::Result<()> {
    let code = exit_code::INTERRUPTED.into();
    signal_hook::flag::register_conditional_shutdown(SIGINT, code, Arc::clone(&stop))?;
    signal_hook::flag::register(SIGINT, stop).map(|_| ())
}

/// Whether the process was started by `nohup`: a signal that is ignored from the start stays so.
/// Where that cannot be told the system deals with hang-ups.
#[cfg(unix)]
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status");
    status.map_or(true, |status| ignored(&status, signal_hook::consts::SIGHUP))
}

/// Whether the mask in a Linux process status has this signal.
#[cfg(unix)]
fn ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_counts_from_one() {
        let status = |mask: &str| format!("Name:\tijepa\nSigIgn:\t{mask}\nSigCgt:\t0\n");
        assert!(ignored(&status("0000000000000001"), 1));
        assert!(!ignored(&status("0000000000001002"), 1));
        assert!(ignored(&status("0000000000001002"), 2));
        assert!(ignored("another system", 1));
    }
}
