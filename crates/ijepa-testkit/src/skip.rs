//! Tests that cannot run everywhere.

use std::{
    fmt::Display,
    io::{Write as _, stderr},
};

/// Says what a test cannot check here, and why; also where the output of tests that pass is hidden.
pub fn skip(why: impl Display) {
    // Nobody may be listening.
    drop(writeln!(stderr(), "not run: {why}"));
}
