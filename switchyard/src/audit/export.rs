//! Sends every event to the sinks that the operator names.
//!
//! The trail itself is what waits: each sink has a number up to which it has everything, and that
//! moves only when the sink has confirmed. A sink that is away loses nothing, and since each has a
//! loop of its own that holds one batch, it blocks nobody. What was sent and not confirmed is sent
//! again; an event's `sequence` tells it from a new one.

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

/// Events that are sent at once.
const BATCH: u32 = 2000;

/// How often the trail is looked at for new events.
const EVERY: Duration = Duration::from_millis(500);

/// How long a sink has for one batch.
const PATIENCE: Duration = Duration::from_secs(30);

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(15) };

/// The longest that a sink may ask to be left alone.
const LONGEST: Duration = Duration::from_secs(300);

/// A batch did not arrive, or nobody knows.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{step} {place}")]
    Io { step: &'static str, place: String, source: std::io::Error },
    #[error("post to {place}")]
    Http { place: String, source: reqwest::Error },
    #[error("post to {place}: it answered {status}")]
    Status { place: String, status: u16, rest: Option<Duration> },
    #[error("{place} did not say that it has read everything")]
    NotConfirmed { place: String },
    #[error("not done within {PATIENCE:?}")]
    Slow,
    #[error("read token file {path}: it is not a header's text")]
    Token { path: String },
}

impl SendError {
    /// How long the sink asks to be left alone.
    fn rest(&self) -> Option<Duration> {
        if let Self::Status { rest, .. } = self { *rest } else { None }
    }
}

/// How long to wait after so many failures in a row: what the sink asks for where that is longer.
fn pause(failures: u32, asked: Option<Duration>, random: f64) -> Duration {
    BACKOFF.delay(failures, random).max(asked.unwrap_or_default().min(LONGEST))
}

/// Sends to all sinks.
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

    /// Works for as long as this replica leads.
    pub(crate) async fn work(self, fence: Fence) {
        join_all(self.sinks.iter().map(|sink| self.feed(sink, &fence))).await;
    }

    /// Feeds one sink until the lease is lost.
    async fn feed(&self, sink: &SinkConfig, fence: &Fence) {
        let mut failures = 0;
        loop {
            let rest = match self.step(sink, fence).await {
                Ok(Step::Done) => Duration::ZERO,
                Ok(Step::Idle) => EVERY,
                Ok(Step::Lost) => return,
                Err(error) => {
                    self.metrics.export_failed(&sink.name);
                    if failures == 0 {
                        tracing::warn!(sink = sink.name, error = %ErrorChain(&*error), "audit events not sent, they wait");
                    }
                    failures += 1;
                    let asked = error.downcast_ref::<SendError>().and_then(SendError::rest);
                    sleep(pause(failures, asked, random())).await;
                    continue;
                }
            };
            if failures > 0 {
                tracing::info!(sink = sink.name, failures, "audit events are sent again");
                failures = 0;
            }
            sleep(rest).await;
        }
    }

    async fn step(
        &self,
        sink: &SinkConfig,
        fence: &Fence,
    ) -> Result<Step, Box<dyn std::error::Error + Send + Sync>> {
        let after = self.repository.exported(&sink.name).await?;
        let records = self
            .repository
            .audit(&AuditQuery { after, limit: BATCH, ..AuditQuery::default() })
            .await?;
        self.lag(sink, after, records.first()).await?;
        let Some(last) = records.last().map(|record| record.sequence) else {
            return Ok(Step::Idle);
        };
        let sent = timeout(PATIENCE, sink.send(&records)).await.unwrap_or(Err(SendError::Slow));
        let (sequence, words) = match &sent {
            Ok(()) => (last, None),
            Err(error) => (after, Some(ErrorChain(error).to_string())),
        };
        let held = self.repository.note_export(fence, &sink.name, sequence, words).await?;
        sent?;
        self.metrics.exported(&sink.name, records.len());
        Ok(if held { Step::Done } else { Step::Lost })
    }

    async fn lag(
        &self,
        sink: &SinkConfig,
        after: u64,
        oldest: Option<&Record>,
    ) -> Result<(), crate::repository::RepositoryError> {
        let (head, _) = self.repository.trail_head().await?;
        let age =
            oldest.map_or(0, |record| Timestamp::now().duration_since(record.at).as_secs().max(0));
        self.metrics.export_lag(&sink.name, head.saturating_sub(after), age);
        Ok(())
    }
}

enum Step {
    /// A batch has arrived.
    Done,
    /// There was nothing to send.
    Idle,
    /// Another replica sends now.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_may_ask_for_a_longer_pause_and_not_for_an_endless_one() {
        let seconds = Duration::from_secs;
        for (failures, asked, random, expected) in [
            (1, None, 1.0, seconds(1)),
            (9, None, 1.0, seconds(15)),
            (1, Some(seconds(7)), 0.5, seconds(7)),
            (9, Some(seconds(7)), 1.0, seconds(15)),
            (1, Some(Duration::MAX), 0.0, LONGEST),
        ] {
            assert_eq!(pause(failures, asked, random), expected, "{failures} {asked:?}");
        }
    }
}
