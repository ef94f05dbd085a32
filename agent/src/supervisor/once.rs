//! The agent as an init container: the files are written once.

use runtime::tasks::Tasks;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{DRAIN_TIMEOUT, LoopEnd, Mode, Supervisor, SupervisorError};
use crate::schedule;
use crate::source::SourceEvent;
use crate::termination_message;

impl Supervisor {
    /// When an init container gives up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.mode == Mode::Once).then(|| self.started_at + schedule::INIT_TIMEOUT)
    }

    /// Whether the run of an init container is over. What cannot become files will not by itself,
    /// and a new container of the pod may try again.
    pub(super) fn end_of_once(&self) -> Option<LoopEnd> {
        match self.mode {
            Mode::Once if self.is_done => Some(LoopEnd::Done),
            Mode::Once if self.is_rejected => Some(match self.files.has_generation() {
                true => LoopEnd::Done,
                false => LoopEnd::Denied(self.last_reason.clone()),
            }),
            _ => None,
        }
    }

    /// Whether the run of an init container is over because of what it was sent.
    pub(super) fn has_rejected_once(&self) -> bool {
        self.mode == Mode::Once && self.is_rejected
    }

    /// The end at the deadline. The files of an earlier run in the same pod are good enough.
    pub(super) fn give_up(&self) -> LoopEnd {
        let reason = self.last_reason.clone();
        if self.files.has_generation() {
            tracing::warn!(reason, "files not checked in time, those of an earlier run stay");
            return LoopEnd::Done;
        }
        termination_message::write(&reason);
        LoopEnd::Late(reason)
    }

    /// Has the source send what is left to report and close its stream, so that switchyard holds no
    /// session of a container that is gone.
    pub(super) async fn finish(
        self,
        mut events: mpsc::Receiver<SourceEvent>,
        tasks: &Tasks,
    ) -> Result<(), SupervisorError> {
        drop(self.reports);
        let finished =
            async { while !matches!(events.recv().await, Some(SourceEvent::Finished) | None) {} };
        if timeout(DRAIN_TIMEOUT, finished).await.is_err() {
            tracing::warn!("stream not closed in time, it is cut");
        }
        Ok(tasks.drain(DRAIN_TIMEOUT).await?)
    }
}
