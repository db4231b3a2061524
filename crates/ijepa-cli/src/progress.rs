//! How far a long command is: a bar redrawn in place on a terminal, a line now and then elsewhere.

use std::{
    io::{self, IsTerminal, Stderr, Write},
    sync::LazyLock,
    time::{Duration, Instant},
};

use ijepa_eval::{Progress, ProgressUnit};
use ijepa_train::run::{Columns, Measured, Observer, Resumption, Row};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::report;

/// Time between two lines of progress where they all stay.
const PAUSE: Duration = Duration::from_secs(5);
/// A bar and what it says.
const TEMPLATE: &str = "[{bar:20}] {wide_msg}";
/// What is done, where it ends, and what is left.
const BAR: &str = "=> ";

/// All bars of the terminal, so that they do not draw over each other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// The last line of stderr, or nothing.
pub(crate) enum StatusLine<W: Write = Stderr> {
    /// Of a terminal.
    Bar(ProgressBar),
    /// Where lines stay.
    Lines(Lines<W>),
    /// Of a quiet command.
    Nothing,
}

impl StatusLine {
    /// That of stderr, or nothing if the command is to be quiet.
    pub(crate) fn unless(quiet: bool) -> Self {
        match quiet {
            true => Self::Nothing,
            false if io::stderr().is_terminal() => Self::bar(&BARS),
            false => Self::Lines(Lines::new(io::stderr(), PAUSE)),
        }
    }

    /// Shows how far the computation of `what` is, how fast it goes and how long it lasts.
    pub(crate) fn watch(quiet: bool, what: &str) -> impl FnMut(Progress) + Send + use<> {
        let (mut line, what) = (Self::unless(quiet), what.to_owned());
        let started = Instant::now();
        move |at| {
            let (done, total) = (at.done as u64, at.total as u64);
            let status = rate(at, started.elapsed());
            line.show(done, total, &format!("{what}: {at}, {status}"));
        }
    }
}

impl<W: Write> StatusLine<W> {
    fn bar(bars: &MultiProgress) -> Self {
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is valid");
        let bar = ProgressBar::no_length().with_style(style.progress_chars(BAR));
        Self::Bar(bars.add(bar))
    }

    /// Shows that `done` of `total` is done, in place of what was shown before, or else if the
    /// last time is long enough ago.
    pub(crate) fn show(&mut self, done: u64, total: u64, status: &str) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(status.to_owned());
            }
            Self::Lines(lines) => lines.show(status),
            Self::Nothing => {}
        }
    }

    /// Writes a line that quiet commands say, too.
    pub(crate) fn warn(&mut self, line: &str) {
        match self {
            Self::Nothing => report::line(line),
            _ => self.say(line),
        }
    }

    /// Writes a line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        match self {
            Self::Bar(bar) => bar.println(line),
            Self::Lines(lines) => lines.say(line),
            Self::Nothing => {}
        }
    }
}

impl<W: Write> Drop for StatusLine<W> {
    /// Leaves the last status where it is.
    fn drop(&mut self) {
        match self {
            Self::Bar(bar) if bar.length().is_none() => bar.finish_and_clear(),
            Self::Bar(bar) => bar.abandon(),
            _ => {}
        }
    }
}

/// Lines that stay, of which the first and the last are always written.
pub(crate) struct Lines<W: Write> {
    stream: W,
    pause: Duration,
    said: Option<Instant>,
    pending: Option<String>,
}

impl<W: Write> Lines<W> {
    fn new(stream: W, pause: Duration) -> Self {
        Self {
            stream,
            pause,
            said: None,
            pending: None,
        }
    }

    fn show(&mut self, status: &str) {
        if self.said.is_some_and(|said| said.elapsed() < self.pause) {
            self.pending = Some(status.to_owned());
        } else {
            self.said = Some(Instant::now());
            self.pending = None;
            self.say(status);
        }
    }

    /// There is nobody to tell if this fails.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.stream, "{line}");
    }
}

impl<W: Write> Drop for Lines<W> {
    fn drop(&mut self) {
        if let Some(last) = self.pending.take() {
            self.say(&last);
        }
    }
}

/// Speed and time left after `elapsed`.
fn rate(at: Progress, elapsed: Duration) -> String {
    let per_second = at.done as f64 / elapsed.as_secs_f64();
    let left = duration(at.total.saturating_sub(at.done) as f64 / per_second);
    let unit = match at.unit {
        ProgressUnit::Images => "images",
        ProgressUnit::Steps => "steps",
    };
    format!("{per_second:.1} {unit}/s, {left} left")
}

/// What a run says on stderr while it lasts.
pub(crate) struct RunProgress {
    total_steps: u64,
    line: StatusLine,
}

impl RunProgress {
    /// Of a run of `total_steps`.
    pub(crate) fn new(total_steps: u64, quiet: bool) -> Self {
        Self {
            total_steps,
            line: StatusLine::unless(quiet),
        }
    }

    /// Writes a line that stays, unless it is to be quiet.
    pub(crate) fn say(&mut self, line: &str) {
        self.line.say(line);
    }
}

impl<L> Observer<L> for RunProgress {
    /// Says where the run goes on, and warns of settings that it does not go on with.
    fn on_resume(&mut self, from: &Resumption) {
        self.say(&format!("going on after step {}", from.step));
        if !from.changed.is_empty() {
            let changes = from.changed.iter();
            let changes = changes.map(|(key, old, new)| format!("{key} {old} -> {new}"));
            self.line.warn(&format!(
                "warning: the recipe is not that of the checkpoint: {}",
                report::list(changes)
            ));
        }
    }

    /// Shows how far the run is and how well it goes.
    fn on_log(&mut self, row: &Row, _: &Measured) {
        let number = |name| row.get(name).unwrap_or(f64::NAN);
        let status = StepStatus {
            done: row.step + 1,
            total: self.total_steps,
            loss: number("loss"),
            images_per_s: number("images_per_s"),
            step_ms: number("step_ms"),
        };
        self.line
            .show(status.done, status.total, &status.to_string());
    }

    fn on_scores(&mut self, scores: &Row) {
        let measured = self::scores(&scores.columns);
        self.say(&format!("after step {}: {measured}", scores.step));
    }

    fn on_warning(&mut self, warning: &str) {
        self.line.warn(&format!("warning: {warning}"));
    }
}

/// Scores in a line, those that were measured.
pub(crate) fn scores(scores: &Columns) -> String {
    let measured = scores.iter();
    let measured = measured.filter_map(|(name, score)| Some(format!("{name} {:.2}", score?)));
    measured.collect::<Vec<_>>().join("  ")
}

/// Writes a line that stays, above all bars; there is nobody to tell if that fails.
pub(crate) fn say_above_bars(line: &str) {
    match io::stderr().is_terminal() {
        true => drop(BARS.println(line)),
        false => report::line(line),
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
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;

    /// Shows three steps of a computation and says something in between.
    fn go_through<W: Write>(mut line: StatusLine<W>) {
        line.show(1, 4, "one");
        line.show(2, 4, "two");
        line.say("note");
        line.show(3, 4, "three");
    }

    fn written(pause: Duration) -> String {
        let mut stream = Vec::new();
        go_through(StatusLine::Lines(Lines::new(&mut stream, pause)));
        String::from_utf8(stream).unwrap()
    }

    #[test]
    fn a_terminal_has_one_status_that_is_redrawn() {
        let terminal = InMemoryTerm::new(10, 40);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bars = MultiProgress::with_draw_target(target);
        go_through(StatusLine::<Stderr>::bar(&bars));
        let expected = "note\n[===============>    ] three";
        assert_eq!(terminal.contents(), expected);
    }

    #[test]
    fn two_bars_stand_below_each_other() {
        let terminal = InMemoryTerm::new(10, 40);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bars = MultiProgress::with_draw_target(target);
        let mut run = StatusLine::<Stderr>::bar(&bars);
        run.show(1, 4, "step 1");
        let mut evaluation = StatusLine::<Stderr>::bar(&bars);
        evaluation.show(2, 2, "evaluated");
        drop(evaluation);
        run.show(4, 4, "step 4");
        drop(run);
        let expected = "[====================] step 4\n[====================] evaluated";
        assert_eq!(terminal.contents(), expected);
    }

    #[test]
    fn elsewhere_a_status_is_a_line_that_stays() {
        assert_eq!(written(Duration::ZERO), "one\ntwo\nnote\nthree\n");
    }

    #[test]
    fn elsewhere_the_first_and_the_last_status_are_said_whatever_the_pause() {
        assert_eq!(written(Duration::MAX), "one\nnote\nthree\n");
    }

    #[test]
    fn progress_says_how_far_how_fast_and_how_long() {
        let at = Progress {
            done: 640,
            total: 5000,
            unit: ProgressUnit::Images,
        };
        assert_eq!(at.to_string(), "640 of 5000 images");
        assert_eq!(
            rate(at, Duration::from_secs(5)),
            "128.0 images/s, 34 s left"
        );
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
