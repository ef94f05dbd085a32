//! Which calls are retried, and when. Pure but for the random number.

use std::time::Duration;

use runtime::backoff::{Backoff, random};
use runtime::retry::RetryPolicy;

use super::error::ConnectError;

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(80), cap: Duration::from_secs(2) };
const TRANSIENT: RetryPolicy = RetryPolicy::new(BACKOFF, 8);
/// For a refusal that Connect gives by mistake.
const SPURIOUS: RetryPolicy = RetryPolicy::new(BACKOFF, 4);

/// Whether a call may be made twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idempotency {
    /// Twice has the same effect as once.
    Idempotent,
    /// It is retried only if the first attempt certainly had no effect.
    NotIdempotent,
}

/// How long to wait before a call that failed `attempts` times is made again, or `None` if it is
/// not.
pub(super) fn next_delay(
    idempotency: Idempotency,
    error: &ConnectError,
    attempts: u32,
) -> Option<Duration> {
    let policy = if error.is_spurious() { SPURIOUS } else { TRANSIENT };
    let may_repeat = idempotency == Idempotency::Idempotent || !error.may_have_succeeded();
    (error.is_transient() && may_repeat).then(|| policy.next_delay(attempts, random())).flatten()
}

/// For how long one call is retried: as long as a write may take to become visible, and at least
/// three times a call's own timeout.
pub(super) fn timeout(call_timeout: Duration, visibility_timeout: Duration) -> Duration {
    (call_timeout * 3).max(visibility_timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> ConnectError {
        ConnectError::Status { status, message: String::new() }
    }

    fn refusal(message: &str) -> ConnectError {
        ConnectError::Access(message.to_owned())
    }

    #[test]
    fn only_transient_failures_are_retried() {
        let token = ConnectError::Token {
            file: "token".into(),
            message: "Invalid token signature".to_owned(),
        };
        // The error, whether a read is retried, whether a creation is.
        let table = [
            (answer(500), true, false),
            (answer(503), true, false),
            (answer(429), true, true),
            (answer(409), true, true),
            (answer(400), false, false),
            (answer(404), false, false),
            (ConnectError::MalformedAnswer { line: 1, column: 1 }, true, false),
            (ConnectError::TooLarge(1), false, false),
            (refusal("Authorization: token does not have access to vault"), true, true),
            (refusal("vault abc is not in scope"), false, false),
            (token, false, false),
        ];
        let retried = |idempotency, error: &ConnectError, attempts| {
            next_delay(idempotency, error, attempts).is_some()
        };
        for (error, read, creation) in table {
            assert_eq!(retried(Idempotency::Idempotent, &error, 1), read, "{error}");
            assert_eq!(retried(Idempotency::NotIdempotent, &error, 1), creation, "{error}");
            assert!(!retried(Idempotency::Idempotent, &error, TRANSIENT.max_attempts()), "{error}");
        }
        let spurious = refusal("Authorization: token does not have access to vault");
        assert!(!retried(Idempotency::Idempotent, &spurious, SPURIOUS.max_attempts()));
    }

    #[test]
    fn delays_have_a_cap() {
        let error = answer(503);
        let delays = (1..100).filter_map(|it| next_delay(Idempotency::Idempotent, &error, it));
        assert!(delays.max().is_some_and(|longest| longest <= BACKOFF.cap));
    }
}
