//! Whether a generation works: looked at before its files are written and after the application
//! was told. One that does not is taken back.

use std::future::{Future, pending};
use std::pin::Pin;

use contract::stream::{
    AgentMessage, BundleGeneration, CheckResult, CheckStage, FailedStep, ReloadOutcome,
};
use tokio::time::Instant;

use super::status::now;
use super::{Supervisor, log_fields};
use crate::app::{ReloadError, Told};
use crate::error::error_chain;
use crate::files::restore_all;
use crate::plan::{CurrentFiles, DesiredFiles, FilesChange};
use crate::verify::{self, BeforeWrite, GenerationChecks};

/// A generation that is looked at before it is written.
pub(super) struct Trial {
    desired: DesiredFiles,
    received_at: Instant,
    checks: Pin<Box<dyn Future<Output = BeforeWrite> + Send>>,
}

/// The current generation, until it is known whether it works.
#[derive(Debug, Default)]
pub(super) struct Unverified {
    checks: GenerationChecks,
    /// What failed, if it is an earlier generation that has come back.
    restores: Option<RestoredFrom>,
}

/// The generation that was taken back.
#[derive(Clone, Debug)]
pub(super) struct RestoredFrom {
    failed: Vec<BundleGeneration>,
    reason: String,
}

/// The checks in progress.
pub(super) struct Verification {
    /// What failed, if it is an earlier generation that has come back.
    restores: Option<RestoredFrom>,
    end: Pin<Box<dyn Future<Output = VerificationEnd> + Send>>,
}

/// What the checks have seen.
pub(super) struct VerificationEnd {
    /// How the application was told, and whether it has survived that.
    told: Result<ReloadOutcome, ReloadError>,
    results: Vec<CheckResult>,
}

impl Unverified {
    /// Whether there is anything to look at.
    pub(super) fn has_checks(&self) -> bool {
        !self.checks.is_empty()
    }
}

impl Supervisor {
    /// Looks at a generation before it is written, if there is something to look at. Otherwise it
    /// gives the generation back.
    pub(super) fn start_trial(
        &mut self,
        desired: DesiredFiles,
        received_at: Instant,
    ) -> Option<DesiredFiles> {
        self.trial = None;
        let current = self.files.current();
        let is_change = crate::plan::compare(&desired, &current) == FilesChange::Changed;
        // Without files, the application has not started, and needs some.
        if self.verifier.is_empty() || self.mode == super::Mode::Once || !is_change {
            return Some(desired);
        }
        let checks = Box::pin(self.verifier.before_write(&desired.files, current.readable()));
        self.trial = Some(Trial { desired, received_at, checks });
        None
    }

    /// Writes the generation, or refuses it if a check says that it does not work.
    pub(super) fn finish_trial(&mut self, before: BeforeWrite) {
        let Some(Trial { desired, received_at, .. }) = self.trial.take() else { return };
        self.report_checks(&desired.held, CheckStage::Before, &before.results);
        if before.has_failed() {
            let detail = verify::failures(&before.results);
            tracing::error!(
                bundle = log_fields::bundles(&desired.held),
                generation = log_fields::generations(&desired.held),
                reason = detail,
                "generation does not work, files unchanged"
            );
            let held = self.held.borrow().clone();
            return self.refuse(&desired.held, &held, detail);
        }
        self.write_files(desired, received_at, Some(&before));
    }

    /// Remembers what to look at once the application has taken up the generation that replaces
    /// the current one.
    pub(super) fn prepare_verification(
        &self,
        desired: &DesiredFiles,
        before: Option<&BeforeWrite>,
    ) -> Option<Unverified> {
        let has_previous = self.files.has_generation() && self.mode == super::Mode::Serve;
        // Kubelet restarts the agent with all others, and their probes tell.
        if !has_previous || self.application.wants_restart() {
            return None;
        }
        let current = self.files.current();
        let files = (&desired.files, current.readable());
        let checks = self.verifier.of_generation(files, &desired.held, before);
        Some(Unverified { checks, restores: None })
    }

    /// Starts the checks of the current generation, after the application was told or could not
    /// be. Gives `told` back if there is nothing to look at.
    pub(super) fn start_verification(
        &mut self,
        told: Result<Told, ReloadError>,
    ) -> Option<Result<Told, ReloadError>> {
        // What an application says that looks at its new files is as good as a check.
        let said = match &told {
            Ok(told) => told.taken_up.clone().map(|it| Ok((it.detail, it.in_use))),
            Err(error) => error.refusal().map(Err),
        };
        let is_refused = matches!(said, Some(Err(_)));
        let is_signalled = told.as_ref().is_ok_and(|told| told.outcome == ReloadOutcome::Signalled);
        let Unverified { checks, restores } = self.unverified.take().unwrap_or_default();
        // An application that is not running reads the new files when it starts.
        let is_absent = self.application.wants_reload()
            && told.as_ref().is_ok_and(|told| told.outcome == ReloadOutcome::NotNeeded);
        // One that does not take the new files needs no other check.
        let checks = if is_absent || is_refused { Default::default() } else { checks };
        if checks.is_empty() && restores.is_none() && said.is_none() && !is_signalled {
            return Some(told);
        }
        let (application, swapped_at) = (self.application.clone(), self.swapped_at);
        let end = Box::pin(async move {
            let watch = async {
                let told = told?;
                application.watch(&told).await.map(|()| told.outcome)
            };
            let (told, mut results) = tokio::join!(watch, checks.run(swapped_at));
            results.extend(said.map(verify::reload_result));
            VerificationEnd { told, results }
        });
        self.verification = Some(Verification { restores, end });
        None
    }

    /// Reports that the application has taken up the generation, or takes the generation back.
    pub(super) fn finish_verification(&mut self, end: VerificationEnd) {
        let Some(Verification { restores, .. }) = self.verification.take() else { return };
        let VerificationEnd { told, results } = end;
        self.record_fatal_signal(&told);
        let held = self.held.borrow().clone();
        let stage = match restores {
            Some(_) => CheckStage::Restored,
            None => CheckStage::After,
        };
        self.report_checks(&held, stage, &results);
        let failed = verify::has_failed(&results);
        if !failed && !results.is_empty() {
            tracing::info!(
                bundle = log_fields::bundles(&held),
                generation = log_fields::generations(&held),
                checks = results.len(),
                milliseconds = log_fields::milliseconds(self.swapped_at.elapsed()),
                "generation checked"
            );
        }
        if failed && restores.is_none() {
            if self.application.wants_reload() {
                self.status.count_reload(told.unwrap_or(ReloadOutcome::Failed));
            }
            return self.restore(&held, &results);
        }
        if !failed {
            self.mark_proven();
        } else {
            tracing::error!(
                reason = verify::failures(&results),
                "the previous generation is back and its checks fail too"
            );
        }
        self.taken_up(told);
        if let Some(RestoredFrom { failed, reason }) = restores {
            self.report(AgentMessage::Failed {
                wanted: failed,
                step: FailedStep::Check,
                detail: reason,
            });
        }
    }

    /// The current generation works, or nothing says that it does not.
    pub(super) fn mark_proven(&mut self) {
        let marked = self.files.mark_proven().and_then(|()| self.volumes.mark_proven());
        if let Err(error) = marked {
            tracing::warn!(
                error = error_chain(&error),
                "the generation is checked once more after a restart of the agent"
            );
        }
        self.proven.clone_from(&self.held.borrow());
    }

    /// Goes on with the checks of an earlier run.
    pub(super) fn resume_verification(&mut self) {
        let CurrentFiles::Readable(files) = self.files.current() else { return };
        let held = self.held.borrow().clone();
        let checks = self.verifier.of_generation((&files, None), &held, None);
        self.unverified = Some(Unverified { checks, restores: None });
    }

    /// Makes the last generation that works the current one, and tells the application.
    fn restore(&mut self, failed: &[BundleGeneration], results: &[CheckResult]) {
        let reason = verify::failures(results);
        let reload = self.application.wants_reload();
        let restored = restore_all(&mut self.files, &mut self.volumes, reload);
        if !matches!(restored, Ok(true)) {
            let error = restored.err().map(|error| error_chain(&error)).unwrap_or_default();
            tracing::error!(
                bundle = log_fields::bundles(failed),
                generation = log_fields::generations(failed),
                reason,
                error,
                "generation does not work, and the one before it is not there any more"
            );
            self.report_applied(ReloadOutcome::Failed);
            return self.report(AgentMessage::Failed {
                wanted: failed.to_vec(),
                step: FailedStep::Check,
                detail: reason,
            });
        }
        self.swapped_at = Instant::now();
        let proven = self.proven.clone();
        tracing::error!(
            bundle = log_fields::bundles(failed),
            generation = log_fields::generations(failed),
            reason,
            restored = log_fields::generations(&proven),
            "generation does not work, the one before it is back"
        );
        self.status.restored();
        self.remember_refused(failed, &proven, &reason);
        self.set_held(proven.clone());
        let files = match self.files.current() {
            CurrentFiles::Readable(files) => files,
            CurrentFiles::None | CurrentFiles::Unreadable => Default::default(),
        };
        let before = BeforeWrite::of_restore(results);
        let checks = self.verifier.of_generation((&files, None), &proven, Some(&before));
        let restores = Some(RestoredFrom { failed: failed.to_vec(), reason });
        self.unverified = Some(Unverified { checks, restores });
        self.keep_previous_for_readers();
        self.tell();
    }

    fn refuse(&mut self, failed: &[BundleGeneration], held: &[BundleGeneration], detail: String) {
        self.remember_refused(failed, held, &detail);
        self.last_reason.clone_from(&detail);
        let (wanted, step) = (failed.to_vec(), FailedStep::Check);
        self.report(AgentMessage::Failed { wanted, step, detail });
    }

    fn remember_refused(
        &mut self,
        failed: &[BundleGeneration],
        held: &[BundleGeneration],
        reason: &str,
    ) {
        self.refused.send_modify(|refused| refused.add(failed, held, (reason, now())));
        if let Err(error) = self.files.record_refused(&self.refused.borrow()) {
            tracing::warn!(
                error = error_chain(&error),
                "a refused generation is tried again after a restart of the agent"
            );
        }
    }

    fn report_checks(
        &mut self,
        wanted: &[BundleGeneration],
        stage: CheckStage,
        results: &[CheckResult],
    ) {
        if !results.is_empty() {
            self.status.checked(wanted, stage, results);
            let (wanted, checks) = (wanted.to_vec(), results.to_vec());
            self.report(AgentMessage::Checked { wanted, stage, checks });
        }
    }
}

/// Waits for the checks before a write, or forever if there are none.
pub(super) async fn trial_finished(trial: &mut Option<Trial>) -> BeforeWrite {
    match trial {
        Some(trial) => trial.checks.as_mut().await,
        None => pending().await,
    }
}

/// Waits for the checks in progress, or forever if there are none.
pub(super) async fn verification_finished(
    verification: &mut Option<Verification>,
) -> VerificationEnd {
    match verification {
        Some(verification) => verification.end.as_mut().await,
        None => pending().await,
    }
}
