//! What is tried again, and when. Pure but for the random number.

use std::time::Duration;

use runtime::backoff::{Backoff, random};

use super::error::ConnectError;

/// How often one call is made at most.
pub(super) const TRIES: u32 = 8;
/// How often a refusal that Connect gives by mistake is asked about.
const SPURIOUS: u32 = 4;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(80), cap: Duration::from_secs(2) };

/// What becomes of a call that is made twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The same as if it was made once.
    Safe,
    /// Something else: only what was certainly not done is tried again.
    Unsafe,
}

/// Whether a call that failed for the `tries`th time is made again.
pub(super) fn again(repeat: Repeat, error: &ConnectError, tries: u32) -> bool {
    let most = if error.is_spurious() { SPURIOUS } else { TRIES };
    tries < most && error.may_pass() && (repeat == Repeat::Safe || !error.maybe_done())
}

/// How long after its first try one call is tried again: for as long as a write may take to show,
/// and a few times where a try may take longer than that.
pub(super) fn limit(timeout: Duration, settle: Duration) -> Duration {
    (timeout * 3).max(settle)
}

/// How long to wait before the next try.
pub(super) fn wait(tries: u32) -> Duration {
    BACKOFF.delay(tries.saturating_sub(1), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> ConnectError {
        ConnectError::Answer { status, message: String::new() }
    }

    fn refusal(message: &str) -> ConnectError {
        ConnectError::Access(message.to_owned())
    }

    #[test]
    fn what_is_tried_again() {
        let token = ConnectError::Token {
            file: "token".into(),
            message: "Invalid token signature".to_owned(),
        };
        // The error, whether a read is repeated, whether a creation is.
        let table = [
            (answer(500), true, false),
            (answer(503), true, false),
            (answer(429), true, true),
            (answer(409), true, true),
            (answer(400), false, false),
            (answer(404), false, false),
            (ConnectError::Form { line: 1, column: 1 }, true, false),
            (ConnectError::TooLarge(1), false, false),
            (refusal("Authorization: token does not have access to vault"), true, true),
            (refusal("vault abc is not in scope"), false, false),
            (token, false, false),
        ];
        for (error, safe, unsafe_) in table {
            assert_eq!(again(Repeat::Safe, &error, 1), safe, "{error}");
            assert_eq!(again(Repeat::Unsafe, &error, 1), unsafe_, "{error}");
            assert!(!again(Repeat::Safe, &error, TRIES), "{error}");
        }
        assert!(!again(
            Repeat::Safe,
            &refusal("Authorization: token does not have access to vault"),
            SPURIOUS
        ));
    }

    #[test]
    fn waits_have_a_cap() {
        assert!((0..100).all(|tries| wait(tries) <= BACKOFF.cap));
    }
}
