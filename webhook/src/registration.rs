//! Keeps the webhook's own registration right: `caBundle` in every entry of one
//! MutatingWebhookConfiguration, by name.
//!
//! The CA of a renewal, and the repair after somebody overwrote it. Nothing else of the object is
//! changed, and no other object is read.

mod repair;

use std::pin::{Pin, pin};
use std::time::Duration;

use certs::bundle::TrustBundle;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use runtime::backoff::{Backoff, random};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use repair::{Need, need, patch};

/// The API server cannot reach the webhook while `caBundle` is wrong, so this is short.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(2) };

/// How long one patch may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long CAs besides our own are left alone. During a turnover another replica may know of a CA
/// that this one has not read yet; after this time it has.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the registration could not be put right.
#[derive(Debug, thiserror::Error)]
enum RegistrationError {
    #[error("patch MutatingWebhookConfiguration {name}")]
    Patch { name: String, source: kube::Error },
    #[error("patch MutatingWebhookConfiguration {name}: no answer after {DEADLINE:?}")]
    Deadline { name: String },
}

/// Keeps one configuration's `caBundle`.
pub struct Registration {
    api: Api<MutatingWebhookConfiguration>,
    name: String,
    bundle: watch::Receiver<TrustBundle>,
    gate: Gate,
    metrics: Metrics,
    /// The object as it was last seen.
    seen: Option<MutatingWebhookConfiguration>,
    failures: u32,
    /// Since when there are CAs besides our own.
    untidy_since: Option<Instant>,
}

type Changes<'a> = Pin<
    &'a mut (
                dyn Stream<
        Item = Result<Option<MutatingWebhookConfiguration>, kube::runtime::watcher::Error>,
    > + Send
            ),
>;

impl Registration {
    /// The configuration `name`; `gate` is open while every entry has our CA.
    #[must_use]
    pub fn new(
        client: Client,
        name: String,
        bundle: watch::Receiver<TrustBundle>,
        gate: Gate,
        metrics: Metrics,
    ) -> Self {
        Self {
            api: Api::all(client),
            name,
            bundle,
            gate,
            metrics,
            seen: None,
            failures: 0,
            untidy_since: None,
        }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&mut self) {
        let mut changes = pin!(watch_object(self.api.clone(), &self.name));
        loop {
            let wait = self.step().await;
            if !self.changed(changes.as_mut(), wait).await {
                return;
            }
        }
    }

    /// Puts right what is wrong, and says how long to wait for news before the next look.
    async fn step(&mut self) -> Duration {
        let bundle = self.bundle.borrow_and_update().clone();
        let Some(seen) = self.seen.as_ref().filter(|_| !bundle.is_empty()) else {
            self.gate.not_ready();
            return PATIENCE;
        };
        let need = need(seen, &bundle);
        if need == Need::Repair {
            self.gate.not_ready();
        } else {
            self.gate.ready();
        }
        match need {
            Need::Nothing => {
                (self.untidy_since, self.failures) = (None, 0);
                return PATIENCE;
            }
            Need::Tidying => {
                let left = PATIENCE
                    .saturating_sub(self.untidy_since.get_or_insert_with(Instant::now).elapsed());
                if !left.is_zero() {
                    return left;
                }
            }
            Need::Repair => {}
        }
        let patch = patch(seen, &bundle);
        self.repair(patch).await
    }

    async fn repair(&mut self, patch: json_patch::Patch) -> Duration {
        let (params, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
        let patched = self.api.patch(&self.name, &params, &patch);
        let error = match tokio::time::timeout(DEADLINE, patched).await {
            Ok(Ok(now)) => {
                (self.seen, self.failures) = (Some(now), 0);
                self.metrics.registration_repaired();
                tracing::info!(configuration = self.name, "caBundle registered");
                return Duration::ZERO;
            }
            Ok(Err(source)) => RegistrationError::Patch { name: self.name.clone(), source },
            Err(_) => RegistrationError::Deadline { name: self.name.clone() },
        };
        tracing::warn!(error = %ErrorChain(&error), "registration");
        self.failures = self.failures.saturating_add(1);
        RETRY.delay(self.failures, random())
    }

    /// Waits for a change of the object, of our CA, or for `wait`; false where there will be no
    /// more.
    async fn changed(&mut self, mut changes: Changes<'_>, wait: Duration) -> bool {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(Some(object))) => self.seen = Some(object),
                Some(Ok(None)) => {
                    tracing::warn!(configuration = self.name, "the MutatingWebhookConfiguration does not exist");
                    self.seen = None;
                }
                Some(Err(error)) => {
                    tracing::warn!(error = %ErrorChain(&error), "watch the MutatingWebhookConfiguration");
                    // The watch starts over when it is asked again.
                    self.failures = self.failures.saturating_add(1);
                    tokio::time::sleep(RETRY.delay(self.failures, random())).await;
                }
                None => return false,
            },
            changed = self.bundle.changed() => return changed.is_ok(),
            () = tokio::time::sleep(wait) => {}
        }
        true
    }
}
