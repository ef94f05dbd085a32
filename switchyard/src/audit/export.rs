//! Exports every audit event to the sinks that the operator configures.
//!
//! The ledger is the queue. Each sink has a position in the log that advances only when the sink
//! confirms a batch, so an unavailable sink loses nothing. Each sink has its own loop with at most
//! one batch in memory, so it does not block the others. Delivery is at least once: an unconfirmed
//! batch is sent again, and `sequence` identifies duplicates.

mod config;
mod file;
mod https;
mod syslog;

use std::time::Duration;

use audit::Record;
use futures_util::future::join_all;
use jiff::Timestamp;
use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use tokio::time::{sleep, timeout};

use crate::metrics::Metrics;
use crate::repository::{AuditQuery, Fence, Repository};

pub use config::SinksError;
pub(crate) use config::{SinkConfig, read};

/// The maximum number of events in one batch.
const MAX_BATCH: u32 = 2000;

/// How often the log is polled for new events.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The time limit for sending one batch.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(15) };

/// The longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A batch was not confirmed.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{step} {target}")]
    Io { step: &'static str, target: String, source: std::io::Error },
    #[error("post to {target}")]
    Http { target: String, source: reqwest::Error },
    #[error("post to {target}: status {status}")]
    Status { target: String, status: u16, retry_after: Option<Duration> },
    #[error("send to {target}: the server did not confirm that it read everything")]
    NotConfirmed { target: String },
    #[error("send batch: not done within {SEND_TIMEOUT:?}")]
    Slow,
    #[error("read token file {path}: not a valid header value")]
    Token { path: String },
}

impl SendError {
    /// How long the sink asks us to wait.
    fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self { *retry_after } else { None }
    }
}

/// The delay after `failures` earlier failures in a row: the backoff, or what the sink asks for if
/// that is longer.
fn delay(failures: u32, asked: Option<Duration>, random: f64) -> Duration {
    BACKOFF.delay(failures, random).max(asked.unwrap_or_default().min(MAX_RETRY_AFTER))
}

/// Exports to all sinks.
#[derive(Clone, Debug)]
pub(crate) struct Exporter {
    repository: Repository,
    sinks: Vec<SinkConfig>,
    metrics: Metrics,
}

impl Exporter {
    pub(crate) fn new(repository: Repository, sinks: Vec<SinkConfig>, metrics: Metrics) -> Self {
        Self { repository, sinks, metrics }
    }

    /// Runs while this replica holds the lease.
    pub(crate) async fn run(self, fence: Fence) {
        join_all(self.sinks.iter().map(|sink| self.export_to(sink, &fence))).await;
    }

    /// Exports to one sink until the lease is lost.
    async fn export_to(&self, sink: &SinkConfig, fence: &Fence) {
        let mut failures = 0;
        loop {
            let rest = match self.export_batch(sink, fence).await {
                Ok(BatchOutcome::Done) => Duration::ZERO,
                Ok(BatchOutcome::Idle) => POLL_INTERVAL,
                Ok(BatchOutcome::Lost) => return,
                Err(error) => {
                    self.metrics.export_failed(&sink.name);
                    if failures == 0 {
                        tracing::warn!(sink = sink.name, error = %ErrorChain(&*error), "audit \
                            events not sent, will retry");
                    }
                    let asked = error.downcast_ref::<SendError>().and_then(SendError::retry_after);
                    let wait = delay(failures, asked, random());
                    failures += 1;
                    sleep(wait).await;
                    continue;
                }
            };
            if failures > 0 {
                tracing::info!(sink = sink.name, failures, "audit export recovered");
                failures = 0;
            }
            sleep(rest).await;
        }
    }

    async fn export_batch(
        &self,
        sink: &SinkConfig,
        fence: &Fence,
    ) -> Result<BatchOutcome, Box<dyn std::error::Error + Send + Sync>> {
        let after = self.repository.exported_sequence(&sink.name).await?;
        let records = self
            .repository
            .audit(&AuditQuery { after, limit: MAX_BATCH, ..AuditQuery::default() })
            .await?;
        self.record_lag(sink, after, records.first()).await?;
        let Some(last) = records.last().map(|record| record.sequence) else {
            return Ok(BatchOutcome::Idle);
        };
        let sent = timeout(SEND_TIMEOUT, sink.send(&records)).await.unwrap_or(Err(SendError::Slow));
        let (sequence, error) = match &sent {
            Ok(()) => (last, None),
            Err(error) => (after, Some(ErrorChain(error).to_string())),
        };
        let held = self.repository.record_export(fence, &sink.name, sequence, error).await?;
        sent?;
        self.metrics.exported(&sink.name, records.len());
        Ok(if held { BatchOutcome::Done } else { BatchOutcome::Lost })
    }

    async fn record_lag(
        &self,
        sink: &SinkConfig,
        after: u64,
        oldest: Option<&Record>,
    ) -> Result<(), crate::repository::RepositoryError> {
        let (head, _) = self.repository.audit_head().await?;
        let age =
            oldest.map_or(0, |record| Timestamp::now().duration_since(record.at).as_secs().max(0));
        self.metrics.export_lag(&sink.name, head.saturating_sub(after), age);
        Ok(())
    }
}

enum BatchOutcome {
    /// A batch was confirmed.
    Done,
    /// There was nothing to send.
    Idle,
    /// The lease was lost.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_may_ask_for_a_longer_but_bounded_delay() {
        let seconds = Duration::from_secs;
        for (failures, asked, random, expected) in [
            (1, None, 1.0, seconds(1)),
            (9, None, 1.0, seconds(15)),
            (1, Some(seconds(7)), 0.5, seconds(7)),
            (9, Some(seconds(7)), 1.0, seconds(15)),
            (1, Some(Duration::MAX), 0.0, MAX_RETRY_AFTER),
        ] {
            assert_eq!(delay(failures, asked, random), expected, "{failures} {asked:?}");
        }
    }
}
