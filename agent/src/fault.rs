//! An error and its causes on one line, for a log line or a report. No error of this crate holds a
//! value, so neither does the line.

use std::error::Error;

/// `error: cause: cause of the cause`. A cause whose text the line ends with already is not repeated.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open volume {0}")]
    struct Outer(&'static str, #[source] std::io::Error);

    #[test]
    fn causes_follow_on_the_same_line() {
        let error = Outer("/run/secrets", std::io::Error::other("no such device"));
        assert_eq!(chain(&error), "open volume /run/secrets: no such device");
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let error = std::io::Error::other("boom");
        assert_eq!(chain(&error), "boom");
    }
}
