//! Whether a request is tried again, and after how long. Pure: the random number is an argument.
//!
//! A torn connection leaves open whether a write was done; its idempotency key makes another try
//! safe. Who cannot be reached at all at the first try is told so at once: a wrong address gets no
//! better.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use runtime::backoff::Backoff;

/// What went wrong, as far as another try is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It will be the same next time.
    Final,
    /// The connection ended before the answer did.
    Torn,
    /// Switchyard, or what stands in front of it, asks for patience.
    Busy(Option<Duration>),
}

/// The most tries after the first.
const MOST: u32 = 4;

/// A server that asks for more patience than this is told of instead.
const LONGEST: Duration = Duration::from_secs(60);

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(5) };

/// What an answer that is no success means.
pub(super) fn answered(status: StatusCode, headers: &HeaderMap) -> Failure {
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let seconds = headers
                .get(RETRY_AFTER)
                .and_then(|it| it.to_str().ok())
                .and_then(|it| it.trim().parse().ok());
            Failure::Busy(seconds.map(Duration::from_secs))
        }
        _ => Failure::Final,
    }
}

/// What an error of the connection means to a client that has `spoken` with the server before.
pub(super) fn failed(error: &reqwest::Error, spoken: bool) -> Failure {
    let never_there = error.is_connect() && !spoken;
    if error.is_timeout() || error.is_builder() || never_there {
        Failure::Final
    } else {
        Failure::Torn
    }
}

/// How long to wait after `attempt` failures (0 = the first). `None`: give up.
pub(super) fn wait(attempt: u32, failure: Failure, random: f64) -> Option<Duration> {
    if attempt >= MOST {
        return None;
    }
    let jitter = BACKOFF.delay(attempt, random);
    match failure {
        Failure::Final => None,
        Failure::Torn | Failure::Busy(None) => Some(jitter),
        Failure::Busy(Some(asked)) if asked > LONGEST => None,
        // Never before the time that was asked for, and not all at it.
        Failure::Busy(Some(asked)) => Some(asked.saturating_add(jitter)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn what_an_answer_means() {
        let header = |text: &'static str| {
            HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))])
        };
        let busy = |seconds| Failure::Busy(Some(Duration::from_secs(seconds)));
        for (status, headers, expected) in [
            (429, header("3"), busy(3)),
            (503, header("0"), busy(0)),
            (503, HeaderMap::new(), Failure::Busy(None)),
            (503, header("Tue, 24 Nov 2026 16:00:00 GMT"), Failure::Busy(None)),
            (502, HeaderMap::new(), Failure::Busy(None)),
            (500, header("3"), Failure::Final),
            (409, HeaderMap::new(), Failure::Final),
            (412, HeaderMap::new(), Failure::Final),
        ] {
            assert_eq!(
                answered(StatusCode::from_u16(status).unwrap(), &headers),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn patience_ends() {
        assert_eq!(wait(0, Failure::Final, 0.5), None);
        assert_eq!(wait(MOST, Failure::Torn, 0.5), None);
        assert_eq!(wait(0, Failure::Busy(Some(Duration::from_secs(61))), 0.5), None);
    }

    proptest! {
        #[test]
        fn never_before_it_was_asked_for(attempt in 0..MOST, asked in 0u64..=60, random: f64) {
            let asked = Duration::from_secs(asked);
            let waited = wait(attempt, Failure::Busy(Some(asked)), random).unwrap();
            prop_assert!(waited >= asked && waited <= asked + BACKOFF.cap);
        }
    }
}
