//! Error chains as one line of text, for log lines and reports.
//!
//! No error of this crate holds a value, so neither does the line.

use std::error::Error;

use runtime::logs::ErrorChain;

/// `error: cause: cause of the cause`. A cause whose text the line already ends with is not
/// repeated.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    ErrorChain(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open volume {0}")]
    struct OpenVolume(&'static str, #[source] std::io::Error);

    #[test]
    fn causes_follow_on_the_same_line() {
        let error = OpenVolume("/run/secrets", std::io::Error::other("no such device"));
        assert_eq!(error_chain(&error), "open volume /run/secrets: no such device");
    }

    #[test]
    fn a_repeated_cause_is_written_once() {
        let error = std::io::Error::other("boom");
        assert_eq!(error_chain(&error), "boom");
    }
}
