//! Waiting until Connect shows what it took.

use std::future::Future;
use std::time::Duration;

use runtime::backoff::{Backoff, random};
use tokio::time::Instant;

use super::error::ConnectError;

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1) };

/// Looks until there is something to see, for at most `limit`: `None` when that has passed. Errors
/// that may pass are waited out too, since Connect answers 500 for what it has not synchronised
/// yet.
pub(super) async fn until<T, Look, Seen>(
    limit: Duration,
    mut look: Look,
) -> Result<Option<T>, ConnectError>
where
    Look: FnMut() -> Seen,
    Seen: Future<Output = Result<Option<T>, ConnectError>>,
{
    let end = Instant::now() + limit;
    for attempt in 0.. {
        let failed = match look().await {
            Ok(Some(seen)) => return Ok(Some(seen)),
            Ok(None) => None,
            Err(error) if error.may_pass() => Some(error),
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        if now >= end {
            return failed.map_or(Ok(None), Err);
        }
        // At least half of the wait: this asks a server that works, and asks it often enough.
        tokio::time::sleep(BACKOFF.delay(attempt, 0.5 + random() / 2.0).min(end - now)).await;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_for_what_comes_and_not_for_ever() {
        let mut looks = 0;
        let seen = until(Duration::from_secs(60), || {
            looks += 1;
            let answer = match looks {
                1 => Ok(None),
                2 => Err(ConnectError::Answer { status: 500, message: String::new() }),
                _ => Ok(Some(looks)),
            };
            async move { answer }
        });
        assert_eq!(seen.await.unwrap(), Some(3));
        assert!(until(Duration::ZERO, || async { Ok(None::<()>) }).await.unwrap().is_none());
        let failed = until(Duration::ZERO, || async {
            Err::<Option<()>, _>(ConnectError::Answer { status: 500, message: String::new() })
        });
        assert!(matches!(failed.await, Err(ConnectError::Answer { status: 500, .. })));
        let refused = until(Duration::from_secs(60), || async {
            Err::<Option<()>, _>(ConnectError::NoVault(String::new()))
        });
        assert!(matches!(refused.await, Err(ConnectError::NoVault(_))));
    }
}
