//! Checks the ledger from time to time, and reports what switchyard did not write: in the log, in a
//! metric, and once a day in the audit log.

use std::collections::HashMap;
use std::time::Duration;

use runtime::logs::ErrorChain;
use tokio::time::Instant;

use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource};
use crate::metrics::Metrics;
use crate::repository::{Forgery, Repository};

/// How often every replica checks the grants and tokens.
const RIGHTS_INTERVAL: Duration = Duration::from_secs(30);

/// How often one replica checks secrets, versions and bundles.
const LEDGER_INTERVAL: Duration = Duration::from_secs(600);

/// How often the same forgery is logged, and its event asked for.
const REPEAT_INTERVAL: Duration = Duration::from_secs(3600);

/// How many forgeries are remembered as reported.
const MAX_REMEMBERED: usize = 1024;

/// Checks the grants and tokens, forever.
pub(crate) async fn watch_rights(repository: Repository) {
    loop {
        tokio::time::sleep(RIGHTS_INTERVAL).await;
        if let Err(error) = repository.check_rights().await {
            tracing::warn!(error = %ErrorChain(&error), "check grants and tokens");
        }
    }
}

/// Checks secrets, versions and bundles, forever.
pub(crate) async fn watch_ledger(repository: Repository) {
    loop {
        if let Err(error) = repository.check_ledger().await {
            tracing::warn!(error = %ErrorChain(&error), "check ledger");
        }
        tokio::time::sleep(LEDGER_INTERVAL).await;
    }
}

/// Reports what is found, until the repository is dropped.
pub(crate) async fn report_forgeries(repository: Repository, metrics: Metrics) {
    let Some(mut found) = repository.take_forgeries() else { return };
    let mut reported: HashMap<Forgery, Instant> = HashMap::new();
    while let Some(forgery) = found.recv().await {
        metrics.found_forgery();
        let is_known = reported.get(&forgery).is_some_and(|at| at.elapsed() < REPEAT_INTERVAL);
        if is_known {
            continue;
        }
        tracing::error!(
            %forgery,
            "the ledger is not as switchyard wrote it: what depends on it is refused, and \
             docs/keys.md says how to go on"
        );
        match repository.record_forgery(&event(&forgery)).await {
            Ok(()) => {
                if reported.len() >= MAX_REMEMBERED {
                    reported.clear();
                }
                reported.insert(forgery, Instant::now());
            }
            Err(error) => tracing::warn!(error = %ErrorChain(&error), "record forgery"),
        }
    }
}

fn event(forgery: &Forgery) -> Event {
    let Forgery { kind, id, scope, what } = forgery;
    Event {
        actor: Actor::System { part: "ledger" },
        action: Action::Tampered,
        resource: Resource { kind: *kind, id: id.clone(), scope: scope.clone() },
        version: None,
        outcome: Outcome::Failed,
        origin: Origin::default(),
        details: Some((*what).to_owned()),
    }
}
