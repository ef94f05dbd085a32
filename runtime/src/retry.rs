//! Retries with a bound: how many attempts an operation gets and how long the waits between them
//! are. `max_attempts` counts calls: 3 means three calls and two waits.
//!
//! A loop that never gives up uses [`Backoff::delays`] instead.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::{Backoff, random};

/// How often an operation is attempted and how long the waits in between are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    backoff: Backoff,
    max_attempts: u32,
}

impl RetryPolicy {
    /// At most `max_attempts` calls in all. Zero counts as one: the first call is always made.
    pub const fn new(backoff: Backoff, max_attempts: u32) -> Self {
        Self { backoff, max_attempts: if max_attempts == 0 { 1 } else { max_attempts } }
    }

    /// The calls that are made at most.
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The delays between the calls.
    pub const fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// How long to wait after `failed` failed calls (1 = the first has failed), or `None` when no
    /// call is left. Pure: `random` is a number in 0..1.
    pub fn next_delay(&self, failed: u32, random: f64) -> Option<Duration> {
        (failed < self.max_attempts).then(|| self.backoff.delay(failed.saturating_sub(1), random))
    }

    /// Starts counting, for a loop that [`RetryPolicy::run`] does not fit.
    pub const fn start(self) -> Retry {
        Retry { policy: self, failed: 0 }
    }

    /// Calls `operation` until it succeeds, fails with an error that is not transient, or has had
    /// all its attempts. The argument of `operation` is the number of the attempt, from 1.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn run<T, E, F>(
        self,
        operation: impl FnMut(u32) -> F,
        is_transient: impl FnMut(&E) -> bool,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.run_before(None, operation, is_transient).await
    }

    /// As [`RetryPolicy::run`], but begins no attempt after `deadline`, and does not wait for one
    /// that it could not begin. An attempt under way is not cut short.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn run_until<T, E, F>(
        self,
        deadline: Instant,
        operation: impl FnMut(u32) -> F,
        is_transient: impl FnMut(&E) -> bool,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.run_before(Some(deadline), operation, is_transient).await
    }

    async fn run_before<T, E, F>(
        self,
        deadline: Option<Instant>,
        mut operation: impl FnMut(u32) -> F,
        mut is_transient: impl FnMut(&E) -> bool,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut retry = self.start();
        loop {
            let error = match operation(retry.failed() + 1).await {
                Ok(value) => return Ok(value),
                Err(error) if !is_transient(&error) => return Err(error),
                Err(error) => error,
            };
            let Some(delay) = retry.next_delay() else { return Err(error) };
            if deadline.is_some_and(|deadline| deadline < Instant::now() + delay) {
                return Err(error);
            }
            tokio::time::sleep(delay).await;
        }
    }
}

/// Counts the failed calls of one operation. Made by [`RetryPolicy::start`].
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    policy: RetryPolicy,
    failed: u32,
}

impl Retry {
    /// Counts a failed call and returns how long to wait before the next one, or `None` when no
    /// call is left.
    pub fn next_delay(&mut self) -> Option<Duration> {
        self.failed = self.failed.saturating_add(1);
        self.policy.next_delay(self.failed, random())
    }

    /// The calls that have failed so far.
    pub const fn failed(&self) -> u32 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) };

    /// Runs an operation that succeeds at the call `succeeds_at`; returns its result and the calls.
    async fn run(policy: RetryPolicy, succeeds_at: u32, transient: bool) -> (Result<(), u32>, u32) {
        let calls = Cell::new(0);
        let operation = |attempt| {
            calls.set(calls.get() + 1);
            assert_eq!(calls.get(), attempt);
            std::future::ready(if attempt == succeeds_at { Ok(()) } else { Err(attempt) })
        };
        let result = policy.run(operation, |_| transient).await;
        (result, calls.get())
    }

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn as_many_calls_as_attempts_and_not_one_more(attempts in 0u32..50, success in 1u32..60) {
            let policy = RetryPolicy::new(BACKOFF, attempts);
            let (result, calls) = paused().block_on(run(policy, success, true));
            let allowed = attempts.max(1);
            prop_assert_eq!(calls, success.min(allowed));
            prop_assert_eq!(result, if success <= allowed { Ok(()) } else { Err(allowed) });
        }

        #[test]
        fn a_delay_follows_each_failed_call_but_the_last(
            attempts in 1u32..200,
            random in 0.0..1.0,
        ) {
            let policy = RetryPolicy::new(BACKOFF, attempts);
            for failed in 1..attempts {
                let delay = policy.next_delay(failed, random);
                prop_assert_eq!(delay, Some(BACKOFF.delay(failed - 1, random)));
            }
            prop_assert_eq!(policy.next_delay(attempts, random), None);
            prop_assert_eq!(policy.next_delay(u32::MAX, random), None);
            let mut retry = policy.start();
            let delays = std::iter::from_fn(|| retry.next_delay()).count();
            prop_assert_eq!(u32::try_from(delays).unwrap(), attempts - 1);
        }

        #[test]
        fn no_attempt_begins_after_the_deadline(millis in 0u64..5_000) {
            let late = paused().block_on(async {
                let deadline = Instant::now() + Duration::from_millis(millis);
                let late = Cell::new(false);
                let operation = |_| {
                    late.set(late.get() || Instant::now() > deadline);
                    std::future::ready(Err::<(), ()>(()))
                };
                let policy = RetryPolicy::new(BACKOFF, 1_000);
                policy.run_until(deadline, operation, |()| true).await.unwrap_err();
                assert!(Instant::now() <= deadline, "waited in vain");
                late.get()
            });
            prop_assert!(!late);
        }
    }

    #[tokio::test]
    async fn an_error_that_stays_is_returned_at_once() {
        let result = run(RetryPolicy::new(BACKOFF, 5), u32::MAX, false).await;
        assert_eq!(result, (Err(1), 1));
    }
}
