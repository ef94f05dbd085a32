//! Progress messages on standard error.

use std::io::{self, Write};

/// Prints the next step.
pub fn print_progress(text: &str) {
    // If standard error is closed, nobody can be told.
    let _ = writeln!(io::stderr(), "bench: {text}");
}
