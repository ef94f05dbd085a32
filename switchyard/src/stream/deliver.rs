//! Delivers generations to a pod: only after its access is checked again and the read is recorded
//! in the audit log.

use std::sync::Arc;

use contract::stream::BundleGeneration;
use runtime::logs::ErrorChain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::connection::Connection;
use super::framed_io::FramedIo;
use super::holdings::PodHoldings;
use super::login::{BundleAdmission, record_denial};
use super::stream_end::StreamEnd;
use crate::access::AccessError;
use crate::app::{BundleSelection, FrameError, ReportsDue};
use crate::audit::{Action, Event, Outcome, Resource, ResourceKind, sanitize};
use crate::delivery::generation_for;
use crate::metrics::{Operation, OperationOutcome};
use crate::policy::{BundleAllowed, BundleRule};

/// What an agent says of one delivery at most: checks before the swap, the swap, the checks after
/// it, the failure, and of what it restores the swap and the checks.
const REPORTS_PER_DELIVERY: u32 = 6;

/// The most reports that are expected at a time. An agent is sent more generations while it works
/// on one.
const MAX_EXPECTED: u32 = 100 * REPORTS_PER_DELIVERY;

/// What is delivered of one bundle. All of it comes from one admission, so that a bundle can never
/// be sent with the grant of another.
struct BundleDelivery {
    selection: BundleSelection,
    rule: BundleRule,
    published_at: Instant,
    /// Whether it is what the pod holds, because it refuses the generation that it should hold.
    is_kept: bool,
}

impl BundleAdmission {
    /// The delivery of this bundle to a pod. `None` until the bundle's first update.
    fn delivery(&self, pod_uid: &str, holdings: &PodHoldings) -> Option<BundleDelivery> {
        let update = self.current.as_ref()?;
        let generation = generation_for(&update.bundle.rollout, pod_uid);
        let tag = update.bundle.tag_of(generation);
        let wanted = BundleGeneration { bundle: update.bundle.name.clone(), generation, tag };
        let kept = holdings.kept_instead(&wanted);
        let (generation, bundle) = match kept {
            Some(held) => {
                let bundle = update.bundle.at(held.generation, held.tag.clone());
                (held.generation, Arc::new(bundle))
            }
            None => (generation, Arc::clone(&update.bundle)),
        };
        let selection = BundleSelection { generation, bundle, filter: self.filter.clone() };
        let (rule, published_at) = (self.rule, update.published_at);
        Some(BundleDelivery { selection, rule, published_at, is_kept: kept.is_some() })
    }

    /// Whether the pod has all of what it may read of this bundle and nothing else. The hello of an
    /// agent names generations but not secrets, so a bundle of which a grant selects secrets is
    /// sent again on a new stream.
    fn has_current_filter(&self) -> bool {
        match &self.sent {
            Some(sent) => *sent == self.filter,
            None => self.current.is_none() || self.rule == BundleRule::OwnService,
        }
    }
}

impl BundleDelivery {
    fn held(&self) -> BundleGeneration {
        let BundleSelection { bundle, generation, .. } = &self.selection;
        BundleGeneration {
            bundle: bundle.name.clone(),
            generation: *generation,
            tag: bundle.tag_of(*generation),
        }
    }
}

impl Connection {
    /// Tells the pod what to hold, unless it holds that already.
    pub(super) async fn deliver<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        framed: &mut FramedIo<I>,
    ) -> Result<(), StreamEnd> {
        for admission in &mut self.pod.bundles {
            admission.current.clone_from(&admission.subscription.borrow_and_update());
        }
        let deliveries = self.deliveries();
        let holds: Vec<BundleGeneration> = deliveries.iter().map(BundleDelivery::held).collect();
        let has_filters = self.pod.bundles.iter().all(BundleAdmission::has_current_filter);
        if (holds == self.holdings.told() && has_filters) || !self.knows_kept(deliveries).await? {
            return Ok(());
        }
        self.check_access().await?;
        let deliveries = self.deliveries();
        // Before the files change, so that there is something to compare with.
        self.ask_for_requests(framed).await?;
        let outcome = self.send(framed, &deliveries).await;
        let counted = if outcome.is_ok() { OperationOutcome::Ok } else { OperationOutcome::Failed };
        self.app.metrics.count(Operation::Deliver, counted);
        if let Err(StreamEnd::Frame(error)) = &outcome
            && deliveries.iter().any(|it| it.is_kept)
        {
            // A value of it may have been destroyed. A new stream would not bring it back.
            tracing::warn!(pod = self.pod.pod.name, namespace = self.pod.pod.namespace,
                error = %ErrorChain(error), "open generation that a pod keeps: it gets nothing");
            return Ok(());
        }
        outcome?;
        self.reports_due = Some(ReportsDue::from_now());
        self.expected_reports = (self.expected_reports + REPORTS_PER_DELIVERY).min(MAX_EXPECTED);
        for admission in self.pod.bundles.iter_mut().filter(|it| it.current.is_some()) {
            admission.sent = Some(admission.filter.clone());
        }
        for delivery in &deliveries {
            let held = delivery.held();
            let is_known = self.holdings.told().iter().any(|it| it.bundle == held.bundle);
            // Only an update that came while the stream was open says how fast a delivery is.
            if is_known && !self.holdings.told().contains(&held) {
                self.app.metrics.delivered(delivery.published_at.elapsed());
            }
        }
        self.holdings.tell(holds);
        Ok(())
    }

    /// Whether the ledger has the generations that the pod keeps. Only whoever was sent one knows
    /// its tag, so a pod cannot ask for an older one that it never had.
    async fn knows_kept(&mut self, deliveries: Vec<BundleDelivery>) -> Result<bool, StreamEnd> {
        for delivery in deliveries.into_iter().filter(|it| it.is_kept) {
            let BundleSelection { bundle, generation, .. } = delivery.selection;
            let known = self.app.repository.generation_tag(bundle.id, generation).await;
            if known.map_err(StreamEnd::Ledger)? != bundle.tag_of(generation) {
                tracing::info!(pod = self.pod.pod.name, namespace = self.pod.pod.namespace,
                    bundle = %bundle.name, %generation, "the pod refuses the current generation \
                    and keeps one that the ledger does not have: it gets nothing");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks access again and delivers what changed, if a grant decides about a bundle of the pod.
    pub(super) async fn recheck_grants<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        framed: &mut FramedIo<I>,
    ) -> Result<(), StreamEnd> {
        if self.pod.bundles.iter().all(|it| it.rule == BundleRule::OwnService) {
            return Ok(());
        }
        self.check_access().await?;
        self.deliver(framed).await
    }

    /// Checks that the pod may still read each of its bundles, and updates how much of it.
    pub(super) async fn check_access(&mut self) -> Result<(), StreamEnd> {
        for admission in &mut self.pod.bundles {
            match self.app.access.check(&self.pod.pod, &admission.name).await {
                Ok(BundleAllowed { scope, filter, rule }) if scope == admission.scope => {
                    admission.filter = filter;
                    admission.rule = rule;
                }
                Ok(_) => return Err(StreamEnd::NamespaceMoved),
                Err(AccessError::Denied(denied)) => {
                    self.app.metrics.count(Operation::Deliver, OperationOutcome::Denied);
                    record_denial(&self.app, &self.caller, &denied).await;
                    return Err(StreamEnd::Refused(denied.to_string()));
                }
                Err(error) => return Err(StreamEnd::Access(error)),
            }
        }
        Ok(())
    }

    fn deliveries(&self) -> Vec<BundleDelivery> {
        self.pod
            .bundles
            .iter()
            .filter_map(|it| it.delivery(&self.pod.pod.uid, &self.holdings))
            .collect()
    }

    /// Opens the values, records who reads them, then sends them.
    async fn send<I: AsyncRead + AsyncWrite + Unpin>(
        // Not shared: a review in flight cannot be.
        &mut self,
        framed: &mut FramedIo<I>,
        deliveries: &[BundleDelivery],
    ) -> Result<(), StreamEnd> {
        let selection: Vec<_> = deliveries.iter().map(|it| it.selection.clone()).collect();
        let frame = match self.app.streams.frames.frame(&self.app.secrets, &selection).await {
            Ok(frame) => frame,
            // A reconnect would not change that.
            Err(error @ FrameError::Message(_)) => {
                return Err(StreamEnd::Refused(error.to_string()));
            }
            Err(error) => return Err(StreamEnd::Frame(error)),
        };
        let waiting = self.app.streams.waiting_values.begin();
        let events = deliveries.iter().map(|it| self.read_event(it)).collect();
        self.app.audit.record_all(events).await?;
        drop(waiting);
        if let Some(bytes) = frame.get() {
            framed.send(bytes).await?;
        }
        Ok(())
    }

    fn read_event(&self, delivery: &BundleDelivery) -> Event {
        let BundleSelection { bundle, generation, filter } = &delivery.selection;
        Event {
            actor: self.caller.actor.clone(),
            action: Action::Read,
            resource: Resource {
                kind: ResourceKind::Bundle,
                id: bundle.name.as_str().to_owned(),
                scope: Some(bundle.scope.to_string()),
            },
            version: Some(generation.0),
            outcome: Outcome::Allowed,
            origin: self.caller.origin.clone(),
            details: Some(sanitize(&delivery.rule.with(filter))),
        }
    }
}
