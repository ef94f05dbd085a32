//! What the supervisor reports to the source.

use contract::FileName;
use contract::stream::{AgentMessage, FailedStep, ReloadOutcome};

use super::{KEPT_FOR_REPORTS, Supervisor, log_fields};

impl Supervisor {
    /// A variable of a running container never changes.
    pub(super) fn warn_of_stale_variables(&mut self, stale: Vec<FileName>) {
        if stale.is_empty() {
            return;
        }
        self.stale.extend(stale);
        self.status.stale(log_fields::names(&self.stale));
        tracing::warn!(
            variables = log_fields::names(&self.stale),
            "new values of variables reach the application by a rolling restart: kubectl rollout \
             restart"
        );
    }

    /// Reports what the files hold and how the application reacted. An application with variables
    /// of an older generation has not taken up this one, whatever it did.
    pub(super) fn report_applied(&mut self, reload: ReloadOutcome) {
        let holds = self.held.borrow().clone();
        if self.stale.is_empty() || reload == ReloadOutcome::Failed {
            return self.report(AgentMessage::Applied { holds, reload });
        }
        let detail = format!(
            "the variables {} keep their old values until the containers are replaced: kubectl \
             rollout restart",
            log_fields::names(&self.stale)
        );
        let failed = ReloadOutcome::Failed;
        self.report(AgentMessage::Applied { holds: holds.clone(), reload: failed });
        self.report(AgentMessage::Failed { wanted: holds, step: FailedStep::Reload, detail });
    }

    /// Sends what the application's requests are, unless other reports wait for a connection: these
    /// counts wait where they are.
    pub(super) fn report_requests(&mut self) {
        let Some(requests) = &mut self.requests else { return };
        self.status.requests(requests.status());
        if self.reports.capacity() <= KEPT_FOR_REPORTS {
            return;
        }
        if let Some(message) = requests.message() {
            self.report(message);
        }
    }

    pub(super) fn report(&mut self, message: AgentMessage) {
        if let AgentMessage::Failed { step, .. } = &message {
            self.status.failed(*step);
        }
        if self.reports.try_send(message).is_err() {
            tracing::warn!("report dropped, the next connection reports the current files");
        }
    }
}
