//! Waiting until Connect shows what it accepted.

use std::future::Future;
use std::time::Duration;

use runtime::backoff::{Backoff, random};
use tokio::time::Instant;

use super::error::ConnectError;

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1) };

/// Calls `check` until it returns a value, or until `timeout` has passed and the result is `None`.
/// Transient errors are waited out too, since Connect answers 500 for what it has not synchronised
/// yet.
pub(super) async fn until<T, Check, Answer>(
    timeout: Duration,
    mut check: Check,
) -> Result<Option<T>, ConnectError>
where
    Check: FnMut() -> Answer,
    Answer: Future<Output = Result<Option<T>, ConnectError>>,
{
    let end = Instant::now() + timeout;
    for attempt in 0.. {
        let failed = match check().await {
            Ok(Some(seen)) => return Ok(Some(seen)),
            Ok(None) => None,
            Err(error) if error.is_transient() => Some(error),
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        if now >= end {
            return failed.map_or(Ok(None), Err);
        }
        // At least half of the delay: jitter must not turn this into a busy loop.
        tokio::time::sleep(BACKOFF.delay(attempt, 0.5 + random() / 2.0).min(end - now)).await;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_for_a_value_until_the_timeout() {
        let mut calls = 0;
        let seen = until(Duration::from_secs(60), || {
            calls += 1;
            let answer = match calls {
                1 => Ok(None),
                2 => Err(ConnectError::Status { status: 500, message: String::new() }),
                _ => Ok(Some(calls)),
            };
            async move { answer }
        });
        assert_eq!(seen.await.unwrap(), Some(3));
        assert!(until(Duration::ZERO, || async { Ok(None::<()>) }).await.unwrap().is_none());
        let failed = until(Duration::ZERO, || async {
            Err::<Option<()>, _>(ConnectError::Status { status: 500, message: String::new() })
        });
        assert!(matches!(failed.await, Err(ConnectError::Status { status: 500, .. })));
        let refused = until(Duration::from_secs(60), || async {
            Err::<Option<()>, _>(ConnectError::NoVault(String::new()))
        });
        assert!(matches!(refused.await, Err(ConnectError::NoVault(_))));
    }
}
