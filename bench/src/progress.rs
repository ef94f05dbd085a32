//! What is being measured at this moment, for whoever waits: on standard error, beside the table.

use std::io::{self, Write};

/// Says what comes next.
pub fn say(text: &str) {
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "bench: {text}");
}
