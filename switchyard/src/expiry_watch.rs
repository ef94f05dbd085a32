//! Tells operators of credentials that ended at their issuer or end soon. Nothing is changed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime::logs::ErrorChain;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::repository::{ExpiryCounts, Repository};

const INTERVAL: Duration = Duration::from_secs(60);

/// How long the log says nothing of what has not changed.
const REPEAT: Duration = Duration::from_secs(24 * 60 * 60);

/// Counts credentials that end. Every replica does, since each has its own metrics.
pub(crate) struct ExpiryWatch {
    repository: Repository,
    metrics: Metrics,
    /// From how long before its end on a credential ends soon.
    warning: SignedDuration,
    /// What the log said last.
    said: Option<(ExpiryCounts, Instant)>,
}

impl ExpiryWatch {
    pub(crate) fn new(repository: Repository, metrics: Metrics, warning: SignedDuration) -> Self {
        Self { repository, metrics, warning, said: None }
    }

    /// Counts again and again.
    pub(crate) async fn run(mut self) {
        loop {
            let now = Timestamp::now();
            let soon = now.checked_add(self.warning).unwrap_or(Timestamp::MAX);
            match self.repository.expiring(now, soon).await {
                Ok(counts) => self.tell(counts, Instant::now()),
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "count expiring credentials");
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn tell(&mut self, counts: ExpiryCounts, now: Instant) {
        self.metrics.credentials_expiring(counts.ended, counts.soon);
        if !is_news(self.said.as_ref(), &counts, now) {
            return;
        }
        let ExpiryCounts { ended, soon, first } = &counts;
        if *ended + *soon == 0 {
            tracing::info!("no credential has ended or ends soon any more");
        } else {
            let first: Vec<_> =
                first.iter().map(|(name, at)| format!("{name} at {at:.0}")).collect();
            tracing::warn!(
                ended,
                soon,
                first = first.join(", "),
                "credentials have ended at their issuer, or end soon: rotate them, or change the \
                 expiry of those that were renewed"
            );
        }
        self.said = Some((counts, now));
    }
}

/// Whether the log should say it: it changed, or a day has passed and there still is something.
fn is_news(said: Option<&(ExpiryCounts, Instant)>, counts: &ExpiryCounts, now: Instant) -> bool {
    let is_empty = *counts == ExpiryCounts::default();
    match said {
        None => !is_empty,
        Some((last, at)) => last != counts || (!is_empty && now.duration_since(*at) >= REPEAT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_changed_is_said_once_a_day() {
        let (none, now) = (ExpiryCounts::default(), Instant::now());
        let at: Timestamp = "2027-01-31T00:00:00Z".parse().unwrap();
        let one = ExpiryCounts { ended: 0, soon: 1, first: vec![("shop/A".to_owned(), at)] };
        let ended = ExpiryCounts { ended: 1, soon: 0, ..one.clone() };
        let day = now + REPEAT;
        for (said, counts, at, expected) in [
            (None, &none, now, false),
            (None, &one, now, true),
            (Some(&one), &one, now, false),
            (Some(&one), &one, day, true),
            (Some(&one), &ended, now, true),
            (Some(&one), &none, now, true),
            (Some(&none), &none, day, false),
        ] {
            let said = said.map(|it| (it.clone(), now));
            assert_eq!(is_news(said.as_ref(), counts, at), expected, "{said:?} {counts:?}");
        }
    }
}
