//! What the reports of a pod mean: what it holds and refuses, the audit log, and events on the pod.

use std::sync::Arc;

use contract::check::MAX_CHECKS;
use contract::stream::{BundleGeneration, CheckResult, CheckStage, FailedStep, ReloadOutcome};
use jiff::Timestamp;

use super::connection::Connection;
use super::reports::{ReportRecord, Reporter, stored_checks, summary};
use super::stream_end::StreamEnd;
use crate::audit::sanitize;
use crate::cluster::{PodEvent, PodEventReason};
use crate::repository::Bundle;

impl Connection {
    /// The bundles of which the pod may report something.
    fn reported_bundles(&self) -> Vec<Arc<Bundle>> {
        let current = self.pod.bundles.iter().filter_map(|it| it.current.as_ref());
        current.map(|it| Arc::clone(&it.bundle)).collect()
    }

    fn reporter<'a>(&'a self, authorized: &'a [Arc<Bundle>]) -> Reporter<'a> {
        Reporter { caller: &self.caller, pod: &self.pod.pod, authorized }
    }

    pub(super) async fn handle_applied(
        &mut self,
        holds: Vec<BundleGeneration>,
        reload: ReloadOutcome,
    ) -> Result<(), StreamEnd> {
        let bundles = self.reported_bundles();
        let records = self.reporter(&bundles).applied(&holds, reload);
        for _ in &records {
            self.app.metrics.generation_reported(true);
        }
        let refused_before = self.holdings.refused().len();
        self.holdings.applied(holds);
        if self.holdings.refused().len() != refused_before {
            self.tell_refused();
        }
        self.record(records).await
    }

    /// Returns whether the pod refuses a generation that it was sent.
    pub(super) async fn handle_failed(
        &mut self,
        mut wanted: Vec<BundleGeneration>,
        step: FailedStep,
        detail: &str,
    ) -> Result<bool, StreamEnd> {
        let bundles = self.reported_bundles();
        // What cannot become files fails again beside every other bundle's next generation, too. It
        // is tried once more on each stream, since the agent may have another template by then.
        let is_refused = matches!(step, FailedStep::Check | FailedStep::Plan);
        if is_refused {
            let names: Vec<_> = bundles.iter().map(|it| &it.name).collect();
            let failed = self.holdings.failed_check(&names, wanted.clone());
            // The others of the snapshot are as they were.
            wanted = if failed.is_empty() { wanted } else { failed };
            self.tell_refused();
        }
        if step == FailedStep::Check {
            let subject = self.reporter(&bundles).names(&wanted);
            let note = format!("{subject} failed a check and is not used: {}", sanitize(detail));
            self.publish(PodEventReason::CheckFailed, subject, note);
        }
        let records = self.reporter(&bundles).failed(&wanted, step, detail);
        for _ in &records {
            self.app.metrics.generation_reported(false);
        }
        self.record(records).await?;
        Ok(is_refused)
    }

    pub(super) async fn handle_checked(
        &mut self,
        wanted: Vec<BundleGeneration>,
        stage: CheckStage,
        checks: Vec<CheckResult>,
    ) -> Result<(), StreamEnd> {
        for it in checks.iter().take(MAX_CHECKS) {
            self.app.metrics.checked(stage, it.outcome);
        }
        if let Some(agent) = &self.agent {
            agent.checked(stage, stored_checks(stage, &checks, Timestamp::now()));
        }
        let bundles = self.reported_bundles();
        let records = self.reporter(&bundles).checked(&wanted, stage, &checks);
        if stage == CheckStage::Restored {
            for _ in &records {
                self.app.metrics.generation_restored();
            }
            let subject = self.reporter(&bundles).names(&wanted);
            let note = format!("{subject} is in the files again: {}", summary(&checks));
            self.publish(PodEventReason::GenerationRestored, subject, note);
            self.holdings.restored(wanted);
        }
        self.record(records).await
    }

    fn tell_refused(&self) {
        if let Some(agent) = &self.agent {
            agent.refuses(self.holdings.refused().to_vec());
        }
    }

    fn publish(&self, reason: PodEventReason, subject: String, note: String) {
        // A report about no bundle of the pod.
        if !subject.is_empty() {
            let pod = self.pod.pod.clone();
            self.app.pod_events.publish(PodEvent { pod, reason, subject, note });
        }
    }

    // Not shared: a review in flight cannot be.
    async fn record(&mut self, records: Vec<ReportRecord>) -> Result<(), StreamEnd> {
        for ReportRecord { event, report } in records {
            match report {
                Some(report) => self.app.audit.record_with_report(event, report).await?,
                None => self.app.audit.record(event).await?,
            }
        }
        Ok(())
    }
}
