//! How the application takes up a new generation: it is told to, or its containers are restarted.

use std::future::pending;

use contract::stream::{AgentMessage, FailedStep, ReloadOutcome};
use tokio::time::{Instant, sleep_until};

use super::{ReloadFuture, Supervisor, log_fields};
use crate::app::ReloadError;
use crate::error::error_chain;
use crate::schedule;

impl Supervisor {
    /// Continues what an earlier run of the agent left unfinished.
    pub(super) fn resume(&mut self) {
        let held = self.held.borrow().clone();
        if !held.is_empty() {
            tracing::info!(
                bundle = log_fields::bundles(&held),
                generation = log_fields::generations(&held),
                "existing files adopted"
            );
        }
        if !self.files.reload_pending() {
            self.clear_restart();
        } else if self.application.wants_restart() && self.files.was_restarted() {
            self.finish_restart();
        } else if self.application.wants_reload() {
            self.take_up();
        }
    }

    /// Has the application take up the current generation.
    pub(super) fn take_up(&mut self) {
        if self.application.wants_restart() {
            self.plan_restart();
        } else {
            self.start_reload();
        }
    }

    /// Plans a restart of all containers, unless one is planned already.
    fn plan_restart(&mut self) {
        if self.restart_at.is_none() {
            let changed = self.started_at.elapsed();
            let random = runtime::backoff::random();
            let at = self.started_at + schedule::restart_after(changed, random);
            self.restart_at = Some(at);
            let milliseconds = log_fields::milliseconds(at - Instant::now());
            tracing::info!(milliseconds, "all containers restart, since a value has changed");
        }
    }

    /// The application was started after the current files were written.
    fn finish_restart(&mut self) {
        if let Err(error) = self.files.clear_reload_pending() {
            tracing::warn!(error = error_chain(&error), "the restart is recorded as pending");
            return;
        }
        self.clear_restart();
        tracing::info!("all containers were restarted with the current files");
        self.report_applied(ReloadOutcome::NotNeeded);
    }

    fn clear_restart(&self) {
        if let Err(error) = self.files.clear_restart() {
            tracing::warn!(error = error_chain(&error), "record of the last restart not removed");
        }
    }

    /// Starts a reload and drops one that is in progress.
    fn start_reload(&mut self) {
        let application = self.application.clone();
        let not_before = self.last_reload.map(|at| at + schedule::MIN_RELOAD_INTERVAL);
        self.reload = Some(Box::pin(async move {
            if let Some(at) = not_before {
                sleep_until(at).await;
            }
            application.reload().await
        }));
    }

    pub(super) fn finish_reload(&mut self, result: Result<ReloadOutcome, ReloadError>) {
        self.reload = None;
        self.last_reload = Some(Instant::now());
        if let Err(error) = self.files.clear_reload_pending() {
            tracing::warn!(
                error = error_chain(&error),
                "the application will be told to reload again after a restart"
            );
        }
        let milliseconds = log_fields::milliseconds(self.swapped_at.elapsed());
        match result {
            Ok(ReloadOutcome::NotNeeded) => {
                tracing::info!("application is not running yet, no reload needed");
            }
            Ok(outcome) => tracing::info!(
                by = log_fields::method(outcome),
                milliseconds,
                "application reloaded"
            ),
            Err(error) => {
                let detail = error_chain(&error);
                tracing::error!(
                    error = detail,
                    milliseconds,
                    "application not reloaded, it may still use the old values"
                );
                // The files hold the new generation all the same, so both are reported.
                self.report_applied(ReloadOutcome::Failed);
                let wanted = self.held.borrow().clone();
                return self.report(AgentMessage::Failed {
                    wanted,
                    step: FailedStep::Reload,
                    detail,
                });
            }
        }
        self.report_applied(result.unwrap_or(ReloadOutcome::Failed));
    }
}

/// Waits for the reload in progress, or forever if there is none.
pub(super) async fn reload_finished(
    reload: &mut Option<ReloadFuture>,
) -> Result<ReloadOutcome, ReloadError> {
    match reload {
        Some(reload) => reload.await,
        None => pending().await,
    }
}
