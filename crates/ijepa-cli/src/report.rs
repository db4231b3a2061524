//! What a command has to say, and the two streams it is said on.

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

use crate::error::CliError;

/// The result of a command, for people and for programs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Text with a line feed at its end.
    pub(crate) text: String,
    /// One object.
    pub(crate) json: Value,
}

impl Report {
    /// Prints one of the two on stdout; a reader that closed the pipe has seen enough.
    pub(crate) fn print(&self, json: bool) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        let printed = if json {
            writeln!(stdout, "{}", self.json)
        } else {
            stdout.write_all(self.text.as_bytes())
        };
        match printed.and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Print(error)),
            _ => Ok(()),
        }
    }
}

/// Writes a line to stderr; there is nobody to tell if that fails.
pub(crate) fn line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// `values` separated by commas.
pub(crate) fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    values.join(", ")
}

/// Bytes in MiB or GiB.
pub(crate) fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 {
        format!("{mib:.1} MiB")
    } else {
        format!("{:.1} GiB", mib / 1024.0)
    }
}
