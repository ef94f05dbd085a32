//! Whether a request is retried, and after which delay. Pure: the random number is an argument.
//!
//! After a broken connection it is unknown whether a write took effect; its idempotency key makes a
//! retry safe. If the first connection cannot be made at all, there is no retry: a wrong address
//! does not become right.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use runtime::backoff::Backoff;
use runtime::retry::RetryPolicy;

/// What a failed request means for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFailure {
    /// A retry would fail the same way.
    Permanent,
    /// The connection broke before the response was complete.
    Disconnected,
    /// Switchyard or a proxy in front of it is overloaded; with the `Retry-After` it sent.
    Busy(Option<Duration>),
}

/// A longer `Retry-After` is an error at once.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(5) };

const POLICY: RetryPolicy = RetryPolicy::new(BACKOFF, 5);

/// What a response that is not a success means.
pub(super) fn of_response(status: StatusCode, headers: &HeaderMap) -> RequestFailure {
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let seconds = headers
                .get(RETRY_AFTER)
                .and_then(|it| it.to_str().ok())
                .and_then(|it| it.trim().parse().ok());
            RequestFailure::Busy(seconds.map(Duration::from_secs))
        }
        _ => RequestFailure::Permanent,
    }
}

/// What a connection error means. `connected`: the client has reached the server before.
pub(super) fn of_error(error: &reqwest::Error, connected: bool) -> RequestFailure {
    let never_connected = error.is_connect() && !connected;
    if error.is_timeout() || error.is_builder() || never_connected {
        RequestFailure::Permanent
    } else {
        RequestFailure::Disconnected
    }
}

/// The delay after `failed` failed attempts. `None`: give up.
pub(super) fn delay(failed: u32, failure: RequestFailure, random: f64) -> Option<Duration> {
    let jitter = POLICY.next_delay(failed, random)?;
    match failure {
        RequestFailure::Permanent => None,
        RequestFailure::Disconnected | RequestFailure::Busy(None) => Some(jitter),
        RequestFailure::Busy(Some(asked)) if asked > MAX_RETRY_AFTER => None,
        // Never earlier than asked, and not every client at the same moment.
        RequestFailure::Busy(Some(asked)) => Some(asked.saturating_add(jitter)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn statuses_are_classified() {
        let header = |text: &'static str| {
            HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))])
        };
        let busy = |seconds| RequestFailure::Busy(Some(Duration::from_secs(seconds)));
        for (status, headers, expected) in [
            (429, header("3"), busy(3)),
            (503, header("0"), busy(0)),
            (503, HeaderMap::new(), RequestFailure::Busy(None)),
            (503, header("Tue, 24 Nov 2026 16:00:00 GMT"), RequestFailure::Busy(None)),
            (502, HeaderMap::new(), RequestFailure::Busy(None)),
            (500, header("3"), RequestFailure::Permanent),
            (409, HeaderMap::new(), RequestFailure::Permanent),
            (412, HeaderMap::new(), RequestFailure::Permanent),
        ] {
            assert_eq!(
                of_response(StatusCode::from_u16(status).unwrap(), &headers),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn it_gives_up() {
        assert_eq!(delay(1, RequestFailure::Permanent, 0.5), None);
        assert_eq!(delay(POLICY.max_attempts(), RequestFailure::Disconnected, 0.5), None);
        assert_eq!(delay(1, RequestFailure::Busy(Some(Duration::from_secs(61))), 0.5), None);
    }

    proptest! {
        #[test]
        fn no_retry_comes_before_retry_after(
            failed in 1..POLICY.max_attempts(),
            asked in 0u64..=60,
            random: f64,
        ) {
            let asked = Duration::from_secs(asked);
            let waited = delay(failed, RequestFailure::Busy(Some(asked)), random).unwrap();
            prop_assert!(waited >= asked && waited <= asked + BACKOFF.cap);
        }
    }
}
