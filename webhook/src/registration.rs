//! Keeps `caBundle` correct in every entry of one registration of webhooks.
//!
//! It writes a new CA after a rotation, and the current CA after someone has overwritten it. It
//! changes nothing else in the object and reads no other object. The certificate keeper runs it,
//! not the webhook: whoever may patch the object can have the API server send every object
//! anywhere.

mod kind;
mod repair;

use std::pin::{Pin, pin};
use std::time::Duration;

use certs::bundle::TrustBundle;
use futures_util::{Stream, StreamExt};
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client};
use runtime::backoff::{Backoff, Delays};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::keeper_metrics::KeeperMetrics;
pub use kind::RegistrationKind;
use repair::{CaBundleStatus, ForeignCas, has_foreign, is_older, patch, status};

/// Short, because the API server cannot reach the webhook while `caBundle` is wrong.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(2) };

/// The timeout of one patch.
const PATCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long foreign CAs are left in place. Webhooks may still serve under a CA that the keeper does
/// not know (any more), because the Secret with it is gone, or another keeper has just made one
/// that this one has not read yet. After this time they have all moved on.
pub const FOREIGN_CA_GRACE_PERIOD: Duration = Duration::from_secs(60);

/// How often the registration is looked at without a change.
const RESYNC_INTERVAL: Duration = Duration::from_secs(60);

/// The registration could not be repaired.
#[derive(Debug, thiserror::Error)]
enum RegistrationError {
    #[error("patch registration {name}")]
    Patch { name: String, source: kube::Error },
    #[error("patch registration {name}: no response after {PATCH_TIMEOUT:?}")]
    Timeout { name: String },
}

/// Whether a registration has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Without it no pod is injected.
    Required,
    /// An installation may do without it. It holds up nothing while it does not exist.
    Optional,
}

/// Maintains the `caBundle` of one configuration.
pub struct CaBundleReconciler<K> {
    api: Api<K>,
    name: String,
    presence: Presence,
    trust_bundle: watch::Receiver<TrustBundle>,
    registered: watch::Sender<TrustBundle>,
    gate: Gate,
    metrics: KeeperMetrics,
    grace_period: Duration,
    /// The latest state of the object.
    configuration: Option<K>,
    /// Whether the API server has said that there is no such object.
    is_absent: bool,
    retry_delays: Delays,
    /// When foreign CAs were first seen in the object.
    foreign_since: Option<Instant>,
}

type Change<K> = Result<Option<K>, watcher::Error>;
type Changes<'a, K> = Pin<&'a mut (dyn Stream<Item = Change<K>> + Send)>;

impl<K: RegistrationKind> CaBundleReconciler<K> {
    /// Maintains the configuration `name`; `gate` is open while every entry has the keeper's CAs.
    /// CAs of others are removed after `grace_period`, normally [`FOREIGN_CA_GRACE_PERIOD`].
    #[must_use]
    pub fn new(
        client: Client,
        (name, presence): (String, Presence),
        trust_bundle: watch::Receiver<TrustBundle>,
        gate: Gate,
        metrics: KeeperMetrics,
        grace_period: Duration,
    ) -> Self {
        Self {
            api: Api::all(client),
            name,
            presence,
            trust_bundle,
            registered: watch::Sender::new(TrustBundle::default()),
            gate,
            metrics,
            grace_period,
            configuration: None,
            is_absent: false,
            retry_delays: RETRY.delays(),
            foreign_since: None,
        }
    }

    /// The bundle that every entry has; empty while one has not.
    #[must_use]
    pub fn registered(&self) -> watch::Receiver<TrustBundle> {
        self.registered.subscribe()
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.reconcile_loop()).await;
    }

    async fn reconcile_loop(&mut self) {
        let mut changes = pin!(watch_object(self.api.clone(), &self.name).default_backoff());
        loop {
            let wait = self.reconcile().await;
            if !self.wait_for_change(changes.as_mut(), wait).await {
                return;
            }
        }
    }

    /// Repairs the registration if needed. Returns how long to wait for a change before the next
    /// reconciliation.
    async fn reconcile(&mut self) -> Duration {
        let trust_bundle = self.trust_bundle.borrow_and_update().clone();
        let Some(configuration) = self.configuration.as_ref().filter(|_| !trust_bundle.is_empty())
        else {
            // What another object will have is seen anew.
            self.foreign_since = None;
            let may_lack = self.is_absent && self.presence == Presence::Optional;
            self.report((may_lack && !trust_bundle.is_empty()).then_some(trust_bundle));
            return RESYNC_INTERVAL;
        };
        let status = status(configuration, &trust_bundle);
        self.report((status != CaBundleStatus::Missing).then(|| trust_bundle.clone()));
        let left = if has_foreign(configuration, &trust_bundle) {
            let since = self.foreign_since.get_or_insert_with(Instant::now);
            self.grace_period.saturating_sub(since.elapsed())
        } else {
            self.foreign_since = None;
            Duration::ZERO
        };
        let others = if left.is_zero() { ForeignCas::Remove } else { ForeignCas::Keep };
        match status {
            CaBundleStatus::Correct => {
                self.retry_delays.reset();
                RESYNC_INTERVAL
            }
            CaBundleStatus::HasForeign if others == ForeignCas::Keep => left,
            CaBundleStatus::HasForeign | CaBundleStatus::Missing => {
                let patch = patch(configuration, &trust_bundle, others);
                self.repair(patch).await
            }
        }
    }

    /// Tells the other tasks which bundle every entry has.
    fn report(&self, registered: Option<TrustBundle>) {
        let is_registered = registered.is_some();
        let registered = registered.unwrap_or_default();
        self.registered.send_if_modified(|known| {
            let differs = *known != registered;
            *known = registered;
            differs
        });
        if is_registered {
            self.gate.ready();
        } else {
            self.gate.not_ready();
        }
    }

    async fn repair(&mut self, patch: json_patch::Patch) -> Duration {
        let (params, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
        let patched = self.api.patch(&self.name, &params, &patch);
        let error = match tokio::time::timeout(PATCH_TIMEOUT, patched).await {
            Ok(Ok(object)) => {
                self.configuration = Some(object);
                self.retry_delays.reset();
                self.metrics.record_registration_repair();
                tracing::info!(configuration = self.name, "caBundle repaired");
                return Duration::ZERO;
            }
            Ok(Err(source)) => RegistrationError::Patch { name: self.name.clone(), source },
            Err(_) => RegistrationError::Timeout { name: self.name.clone() },
        };
        tracing::warn!(error = %ErrorChain(&error), "repair registration");
        self.retry_delays.next_delay()
    }

    /// Waits for a change of the object or of the CA, for at most `wait`. False if a source of
    /// changes has ended.
    async fn wait_for_change(&mut self, mut changes: Changes<'_, K>, wait: Duration) -> bool {
        tokio::select! {
            change = changes.next() => match change {
                Some(Ok(Some(object))) => self.observe(object),
                Some(Ok(None)) => {
                    if self.presence == Presence::Required {
                        tracing::warn!(configuration = self.name, "the registration is missing");
                    }
                    (self.configuration, self.is_absent) = (None, true);
                }
                Some(Err(error)) => {
                    let error = ErrorChain(&error);
                    tracing::warn!(%error, "watch registration");
                }
                None => return false,
            },
            changed = self.trust_bundle.changed() => return changed.is_ok(),
            () = tokio::time::sleep(wait) => {}
        }
        true
    }

    /// Takes what the watch says, unless the answer to a patch was newer.
    fn observe(&mut self, object: K) {
        self.is_absent = false;
        let known = self.configuration.as_ref();
        if known.is_none_or(|known| !is_older(object.meta(), known.meta())) {
            self.configuration = Some(object);
        }
    }
}

/// What all of these registrations have; nothing while they differ. Ends with the first of them.
pub async fn follow_all(
    mut registered: [watch::Receiver<TrustBundle>; 2],
    common: watch::Sender<TrustBundle>,
    stop: CancellationToken,
) {
    loop {
        let [first, second] = &mut registered;
        let bundle = {
            let (first, second) = (first.borrow_and_update(), second.borrow_and_update());
            if *first == *second { first.clone() } else { TrustBundle::default() }
        };
        common.send_if_modified(|known| {
            let differs = *known != bundle;
            *known = bundle;
            differs
        });
        let changed = tokio::select! {
            changed = first.changed() => changed,
            changed = second.changed() => changed,
            () = stop.cancelled() => return,
        };
        if changed.is_err() {
            return;
        }
    }
}
