//! An error and its causes on one line, for a log line or a report. No error of this crate holds a
//! value, so neither does the line.

use std::error::Error;

use runtime::logs::ErrorChain;

/// `error: cause: cause of the cause`. A cause whose text the line ends with already is not
/// repeated.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    ErrorChain(error).to_string()
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
