//! How the application takes up a new generation: it is told to, or its containers are restarted.

use std::future::pending;

use contract::stream::{AgentMessage, FailedStep, ReloadOutcome};
use tokio::time::{Instant, sleep_until};

use super::{ReloadFuture, Supervisor, log_fields};
use crate::app::{ReloadError, Told};
use crate::error::error_chain;
use crate::plan::{CurrentFiles, FileContents};
use crate::schedule;

impl Supervisor {
    /// Continues what an earlier run of the agent left unfinished.
    pub(super) fn resume(&mut self) {
        let held = self.held.borrow().clone();
        if !held.is_empty() {
            self.status.holds(&self.bundles, &held);
            tracing::info!(
                bundle = log_fields::bundles(&held),
                generation = log_fields::generations(&held),
                "existing files adopted"
            );
        }
        if self.files.is_unproven() {
            self.resume_verification();
        }
        if !self.files.reload_pending() {
            self.clear_restart();
            if self.unverified.is_some() && self.start_verification(Ok(Told::NOT_NEEDED)).is_some()
            {
                self.mark_proven();
            }
        } else if self.application.wants_restart() && self.files.was_restarted() {
            self.finish_restart();
        } else if self.application.wants_reload() {
            self.take_up();
        }
    }

    /// Has the application take up the current generation.
    pub(super) fn take_up(&mut self) {
        if self.application.wants_restart() {
            self.mark_proven();
            self.plan_restart();
        } else {
            self.tell();
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

    /// Tells the application, and drops what is in progress of an earlier generation.
    pub(super) fn tell(&mut self) {
        self.verification = None;
        self.is_not_up_said = false;
        let now = Instant::now();
        // One that is in progress counts, but not one that still waits for its time: many
        // generations in a row would put it off for ever.
        if self.reload.as_ref().is_some_and(|(at, _)| *at <= now) {
            self.last_reload = Some(now);
        }
        if self.files.is_signal_fatal()
            && let Some(error) = self.application.known_fatal()
        {
            self.reload = None;
            return self.finish_reload(Err(error));
        }
        self.tell_at(now + schedule::reload_delay(self.last_reload.map(|at| now - at)));
    }

    fn tell_at(&mut self, at: Instant) {
        let application = self.application.clone();
        // Only those that need values get them.
        let files = match application.can_refuse().then(|| self.files.current()) {
            Some(CurrentFiles::Readable(files)) => files,
            Some(CurrentFiles::None | CurrentFiles::Unreadable) | None => FileContents::new(),
        };
        let reload = async move {
            sleep_until(at).await;
            application.reload(&files).await
        };
        self.reload = Some((at, Box::pin(reload)));
    }

    /// Looks whether the application has taken up the generation, if there is something to look at.
    pub(super) fn finish_reload(&mut self, told: Result<Told, ReloadError>) {
        self.reload = None;
        self.last_reload = Some(Instant::now());
        if let Some(error) = told.as_ref().err().filter(|error| error.is_not_up()) {
            return self.tell_later(error);
        }
        if let Some(told) = self.start_verification(told) {
            self.mark_proven();
            self.taken_up(told.map(|told| told.outcome));
        }
    }

    /// The application is not up. It is told once it is, and its checks are made then: what it has
    /// read before is not known, and a check would find nobody.
    fn tell_later(&mut self, error: &ReloadError) {
        let detail = error_chain(error);
        self.tell_at(Instant::now() + schedule::not_up_delay(runtime::backoff::random()));
        if std::mem::replace(&mut self.is_not_up_said, true) {
            return;
        }
        tracing::warn!(error = detail, "application is not up, it is told once it is");
        let took = self.swapped_at.elapsed();
        self.status.reloaded(ReloadOutcome::Failed, took, Some(detail.clone()));
        self.report_applied(ReloadOutcome::Failed);
        let wanted = self.held.borrow().clone();
        self.report(AgentMessage::Failed { wanted, step: FailedStep::Reload, detail });
    }

    /// Remembers that the signal has ended the application, so that it is not sent again.
    pub(super) fn record_fatal_signal(&self, told: &Result<ReloadOutcome, ReloadError>) {
        let is_fatal = told.as_ref().is_err_and(ReloadError::is_fatal_signal);
        if is_fatal && let Err(error) = self.files.record_fatal_signal() {
            tracing::warn!(error = error_chain(&error), "the signal may be sent once more");
        }
    }

    /// Reports how the application has taken up the current generation.
    pub(super) fn taken_up(&mut self, result: Result<ReloadOutcome, ReloadError>) {
        if let Err(error) = self.files.clear_reload_pending() {
            tracing::warn!(
                error = error_chain(&error),
                "the application will be told to reload again after a restart"
            );
        }
        let took = self.swapped_at.elapsed();
        let milliseconds = log_fields::milliseconds(took);
        if self.application.wants_reload() {
            let outcome = result.as_ref().map_or(ReloadOutcome::Failed, |outcome| *outcome);
            self.status.reloaded(outcome, took, result.as_ref().err().map(|it| error_chain(it)));
        }
        match result {
            Ok(outcome) if !self.application.wants_reload() => self.report_applied(outcome),
            Ok(outcome) => {
                match outcome {
                    ReloadOutcome::NotNeeded => {
                        tracing::info!("application is not running yet, no reload needed");
                    }
                    _ => tracing::info!(
                        by = self.application.method(),
                        milliseconds,
                        "application reloaded"
                    ),
                }
                self.report_applied(outcome);
            }
            Err(error) => self.not_taken_up(&error, milliseconds),
        }
    }

    fn not_taken_up(&mut self, error: &ReloadError, milliseconds: f64) {
        let detail = error_chain(error);
        tracing::error!(
            error = detail,
            milliseconds,
            "application not reloaded, it may still use the old values"
        );
        // The files hold the new generation all the same, so both are reported.
        self.report_applied(ReloadOutcome::Failed);
        let wanted = self.held.borrow().clone();
        self.report(AgentMessage::Failed { wanted, step: FailedStep::Reload, detail });
    }
}

/// Waits for the reload in progress, or forever if there is none.
pub(super) async fn reload_finished(
    reload: &mut Option<(Instant, ReloadFuture)>,
) -> Result<Told, ReloadError> {
    match reload {
        Some((_, reload)) => reload.await,
        None => pending().await,
    }
}
