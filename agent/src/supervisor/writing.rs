//! From a snapshot to the files of the pod.

use contract::stream::{AgentMessage, BundleGeneration, FailedStep, ReloadOutcome, Snapshot};
use tokio::time::Instant;

use super::rendering::PlannedFiles;
use super::{Mode, Supervisor, Unverified, log_fields};
use crate::app::Told;
use crate::error::error_chain;
use crate::files::{VolumeError, publish_all};
use crate::plan::{self, DesiredFiles, FileContents, FilesChange};
use crate::verify::BeforeWrite;
use crate::{render, schedule, termination_message};

impl Supervisor {
    pub(super) fn apply_snapshot(&mut self, snapshot: Snapshot, received_at: Instant) {
        // It replaces an earlier one that could not be written.
        self.unwritten = None;
        self.rendering = None;
        self.unrendered = None;
        self.trial = None;
        self.is_rejected = false;
        let held = snapshot.holds();
        let refused = self.refused.borrow().reason(&held).map(str::to_owned);
        // Without files the application has nothing at all.
        if let Some(detail) = refused.filter(|_| self.files.has_generation()) {
            tracing::warn!(
                bundle = log_fields::bundles(&held),
                generation = log_fields::generations(&held),
                reason = detail,
                "generation not tried again, since it failed a check in this pod"
            );
            let (wanted, step) = (held, FailedStep::Check);
            return self.report(AgentMessage::Failed { wanted, step, detail });
        }
        let planned = render::load(&self.wanted).map_err(|error| error_chain(&error));
        let planned = planned.and_then(|wanted| {
            let secrets = plan::secrets_of(&self.bundles, snapshot);
            secrets.map(|secrets| (wanted, secrets)).map_err(|error| error.to_string())
        });
        match planned {
            Ok((wanted, secrets)) => self.render(PlannedFiles { wanted, secrets, received_at }),
            Err(detail) => self.reject(held, detail),
        }
    }

    /// Goes on with a generation whose templates are rendered.
    pub(super) fn use_rendered(&mut self, planned: PlannedFiles, texts: FileContents) {
        let PlannedFiles { wanted, secrets, received_at } = planned;
        let held = secrets.held().to_vec();
        match plan::desired_files(&wanted, secrets, texts) {
            Ok(desired) => {
                if let Some(desired) = self.start_trial(desired, received_at) {
                    self.write_files(desired, received_at, None);
                }
            }
            Err(error) => self.reject(held, error.to_string()),
        }
    }

    /// The generation cannot become files, however often it is tried.
    pub(super) fn reject(&mut self, wanted: Vec<BundleGeneration>, detail: String) {
        tracing::error!(
            bundle = log_fields::bundles(&wanted),
            generation = log_fields::generations(&wanted),
            reason = detail,
            "generation rejected, files unchanged"
        );
        self.is_rejected = true;
        self.status.not_written(&detail);
        if !self.files.has_generation() {
            termination_message::write(&detail);
        }
        self.last_reason.clone_from(&detail);
        self.report(AgentMessage::Failed { wanted, step: FailedStep::Plan, detail });
    }

    pub(super) fn write_files(
        &mut self,
        desired: DesiredFiles,
        received_at: Instant,
        before: Option<&BeforeWrite>,
    ) {
        let current = self.files.current();
        let change = match plan::compare(&desired, &current) {
            // A crash came between the swaps of an earlier generation.
            FilesChange::Unchanged if !self.volumes.hold(&desired) => FilesChange::Changed,
            change => change,
        };
        // The containers are created, or created again, after this.
        let are_fresh = self.application.wants_restart() || self.mode == Mode::Once;
        let stale =
            if are_fresh { Vec::new() } else { plan::changed_variables(&desired, &current) };
        drop(current);
        if change == FilesChange::Unchanged {
            self.is_done = true;
            self.set_held(desired.held);
            // A reload or a check in progress reports these generations when it ends.
            if self.reload.is_none() && self.verification.is_none() && self.restart_at.is_none() {
                self.report_applied(ReloadOutcome::NotNeeded);
            }
            return;
        }
        let is_change = change == FilesChange::Changed;
        let reload = is_change && self.application.wants_reload();
        let unverified = if is_change { self.prepare_verification(&desired, before) } else { None };
        let can_fail = |it: &Unverified| it.has_checks() || self.application.can_refuse();
        let is_checked = unverified.as_ref().is_some_and(can_fail);
        let (files, volumes) = (&mut self.files, &mut self.volumes);
        match publish_all(files, volumes, &desired, (reload, is_checked)) {
            Ok(()) => {
                self.warn_of_stale_variables(stale);
                // What was looked at so far is gone.
                (self.reload, self.verification) = (None, None);
                self.unverified = unverified;
                self.files_written(desired, received_at, reload);
            }
            Err(error) => self.write_failed(desired, &error),
        }
    }

    fn files_written(&mut self, desired: DesiredFiles, received_at: Instant, reload: bool) {
        self.is_done = true;
        self.swapped_at = Instant::now();
        tracing::info!(
            bundle = log_fields::bundles(&desired.held),
            generation = log_fields::generations(&desired.held),
            files = desired.files.len(),
            milliseconds = log_fields::milliseconds(self.swapped_at - received_at),
            "files replaced"
        );
        self.keep_previous_for_readers();
        self.set_held(desired.held);
        if reload {
            self.take_up();
        } else if self.start_verification(Ok(Told::NOT_NEEDED)).is_some() {
            self.mark_proven();
            self.report_applied(ReloadOutcome::NotNeeded);
        }
    }

    /// The files hold these generations.
    pub(super) fn set_held(&mut self, held: Vec<BundleGeneration>) {
        self.status.holds(&self.bundles, &held);
        self.held.send_replace(held);
    }

    pub(super) fn keep_previous_for_readers(&mut self) {
        self.remove_previous_at = Some(self.swapped_at + schedule::KEEP_PREVIOUS_GENERATION);
    }

    fn write_failed(&mut self, desired: DesiredFiles, error: &VolumeError) {
        let detail = error_chain(error);
        self.last_reason.clone_from(&detail);
        self.status.not_written(&detail);
        tracing::error!(
            bundle = log_fields::bundles(&desired.held),
            generation = log_fields::generations(&desired.held),
            error = detail,
            "files not written, the current ones stay"
        );
        self.report(AgentMessage::Failed {
            wanted: desired.held.clone(),
            step: FailedStep::Write,
            detail,
        });
        self.unwritten = Some((desired, Instant::now() + schedule::WRITE_RETRY_INTERVAL));
    }

    pub(super) fn retry_write(&mut self) {
        if let Some((desired, _)) = self.unwritten.take() {
            self.write_files(desired, Instant::now(), None);
        }
    }

    pub(super) fn remove_previous_generation(&mut self) {
        // A check that is still going on may bring it back.
        if self.reload.is_some() || self.verification.is_some() {
            self.remove_previous_at = Some(Instant::now() + schedule::KEEP_PREVIOUS_GENERATION);
            return;
        }
        self.remove_previous_at = None;
        let removed = self.files.remove_previous();
        if let Err(error) = removed.and_then(|()| self.volumes.remove_previous()) {
            tracing::warn!(error = error_chain(&error), "previous generation not removed");
        }
    }
}
