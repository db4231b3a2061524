//! How far a long command is: one line redrawn in place on a terminal, a line now and then
//! elsewhere.

use std::{
    io::{self, IsTerminal, Stderr, Write},
    time::{Duration, Instant},
};

use ijepa_train::Lap;

use crate::report;

/// Time between two lines of progress where they all stay.
const PAUSE: Duration = Duration::from_secs(5);

/// To the beginning of the line, and everything on it away.
const CLEAR: &str = "\r\x1b[K";

/// The last line of a stream, which may be redrawn.
pub(crate) struct StatusLine<W: Write> {
    stream: W,
    in_place: bool,
    drawn: bool,
    pause: Duration,
    said: Option<Instant>,
    pending: Option<String>,
}

impl StatusLine<Stderr> {
    /// Stderr, redrawn if it is a terminal.
    pub(crate) fn stderr() -> Self {
        let stream = io::stderr();
        let in_place = stream.is_terminal();
        Self::new(stream, in_place, PAUSE)
    }
}

impl<W: Write> StatusLine<W> {
    fn new(stream: W, in_place: bool, pause: Duration) -> Self {
        Self {
            stream,
            in_place,
            drawn: false,
            pause,
            said: None,
            pending: None,
        }
    }

    /// Shows how far it is, in place of what was shown before, or else if the last time is long
    /// enough ago; there is nobody to tell if that fails.
    pub(crate) fn show(&mut self, status: &str) {
        if self.in_place {
            let _ = write!(self.stream, "{CLEAR}{status}");
            let _ = self.stream.flush();
            self.drawn = true;
        } else if self.said.is_some_and(|said| said.elapsed() < self.pause) {
            self.pending = Some(status.to_owned());
        } else {
            self.said = Some(Instant::now());
            self.pending = None;
            self.say(status);
        }
    }

    /// Writes a line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        let clear = if self.drawn { CLEAR } else { "" };
        let _ = writeln!(self.stream, "{clear}{line}");
        self.drawn = false;
    }
}

impl<W: Write> Drop for StatusLine<W> {
    /// Leaves the last status where it is and the cursor below it.
    fn drop(&mut self) {
        if self.drawn {
            let _ = writeln!(self.stream);
        } else if let Some(last) = self.pending.take() {
            self.say(&last);
        }
    }
}

/// What a run says on stderr while it lasts.
pub(crate) struct RunProgress {
    total_steps: u64,
    quiet: bool,
    line: StatusLine<Stderr>,
}

impl RunProgress {
    /// Of a run of `total_steps`.
    pub(crate) fn new(total_steps: u64, quiet: bool) -> Self {
        Self {
            total_steps,
            quiet,
            line: StatusLine::stderr(),
        }
    }

    /// Writes a line that stays, unless it is to be quiet.
    pub(crate) fn say(&mut self, line: &str) {
        if !self.quiet {
            self.line.say(line);
        }
    }

    /// Says where the run goes on, and warns of settings that it does not go on with.
    pub(crate) fn resumed(&mut self, step: u64, changed: &[(String, String, String)]) {
        self.say(&format!("going on after step {step}"));
        if !changed.is_empty() {
            let changes = changed.iter();
            let changes = changes.map(|(key, old, new)| format!("{key} {old} -> {new}"));
            self.line.say(&format!(
                "warning: the recipe is not that of the checkpoint: {}",
                report::list(changes)
            ));
        }
    }

    /// Shows how far the run is after step `step`, counted from 0, and how well it goes.
    pub(crate) fn stepped(&mut self, step: u64, loss: f64, times: Lap) {
        if !self.quiet {
            let status = StepStatus {
                done: step + 1,
                total: self.total_steps,
                loss,
                images_per_s: times.images_per_s,
                step_ms: times.step_ms,
            };
            self.line.show(&status.to_string());
        }
    }
}

/// A step of a run as a status.
struct StepStatus {
    /// Steps that are done, at least one.
    done: u64,
    total: u64,
    loss: f64,
    images_per_s: f64,
    step_ms: f64,
}

impl std::fmt::Display for StepStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let left = self.total.saturating_sub(self.done) as f64 * self.step_ms / 1e3;
        write!(
            f,
            "step {}/{}  loss {:.4}  {:.1} images/s  {} left",
            self.done,
            self.total,
            self.loss,
            self.images_per_s,
            duration(left)
        )
    }
}

/// Seconds in the two largest units that matter.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {:02} s", seconds % 60),
        (0, _, _) => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(in_place: bool, pause: Duration) -> String {
        let mut stream = Vec::new();
        let mut line = StatusLine::new(&mut stream, in_place, pause);
        line.show("one");
        line.show("two");
        line.say("note");
        line.show("three");
        drop(line);
        String::from_utf8(stream).unwrap()
    }

    #[test]
    fn a_terminal_has_one_status_that_is_redrawn() {
        let clear = CLEAR;
        let expected = format!("{clear}one{clear}two{clear}note\n{clear}three\n");
        assert_eq!(written(true, Duration::MAX), expected);
    }

    #[test]
    fn elsewhere_a_status_is_a_line_that_stays() {
        assert_eq!(written(false, Duration::ZERO), "one\ntwo\nnote\nthree\n");
    }

    #[test]
    fn elsewhere_the_first_and_the_last_status_are_said_whatever_the_pause() {
        assert_eq!(written(false, Duration::MAX), "one\nnote\nthree\n");
    }

    #[test]
    fn a_step_says_how_far_how_fast_how_long_and_how_well() {
        let status = StepStatus {
            done: 120,
            total: 5000,
            loss: 0.43211,
            images_per_s: 1234.56,
            step_ms: 41.5,
        };
        let expected = "step 120/5000  loss 0.4321  1234.6 images/s  3 min 23 s left";
        assert_eq!(status.to_string(), expected);
        let last = StepStatus {
            done: 5000,
            ..status
        };
        assert!(last.to_string().ends_with("  0 s left"));
    }

    #[test]
    fn durations_have_two_units() {
        let pairs = [
            (0.4, "0 s"),
            (59.6, "1 min 00 s"),
            (3599.0, "59 min 59 s"),
            (7500.0, "2 h 05 min"),
            (200_000.0, "2 d 07 h"),
        ];
        for (seconds, expected) in pairs {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }
}
