//! Shutdown: the first SIGTERM or SIGINT starts the drain, the second one aborts it.
//!
//! Nothing here exits the process. `main` waits in [`Shutdown::wait_and_drain`] and turns the
//! result into its exit code.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::readiness::Readiness;
use crate::tasks::{DrainTimeout, Tasks};

/// The request to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    first: CancellationToken,
    second: CancellationToken,
}

/// The signal handlers could not be set.
#[derive(Debug, thiserror::Error)]
#[error("listen for signal {name}")]
pub struct SignalError {
    name: &'static str,
    source: io::Error,
}

/// How long the phases of a shutdown take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownTimeouts {
    /// How long to go on serving while the cluster learns that this process is not ready. A Service
    /// sends requests until its endpoints are updated everywhere; one to five seconds are usual.
    pub notice: Duration,
    /// How long requests in flight then have to end.
    pub drain: Duration,
}

impl Default for ShutdownTimeouts {
    /// 3 s and 20 s, which fits into the 30 s that Kubernetes gives a pod.
    fn default() -> Self {
        Self { notice: Duration::from_secs(3), drain: Duration::from_secs(20) }
    }
}

/// Why a shutdown was not orderly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownError {
    /// A second signal came.
    #[error("drain tasks: a second signal came")]
    Aborted,
    /// The drain timeout passed.
    #[error(transparent)]
    DrainTimeout(#[from] DrainTimeout),
}

impl Shutdown {
    /// Without signals: only [`Shutdown::request`] starts it. For tests and tools.
    pub fn manual() -> Self {
        Self::default()
    }

    /// Listens for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// When the handlers cannot be set.
    pub fn on_signals(tasks: &Tasks) -> Result<Self, SignalError> {
        let open = |kind, name| signal(kind).map_err(|source| SignalError { name, source });
        let mut terminate = open(SignalKind::terminate(), "SIGTERM")?;
        let mut interrupt = open(SignalKind::interrupt(), "SIGINT")?;
        let shutdown = Self::manual();
        let ours = shutdown.clone();
        tasks.spawn_helper(async move {
            loop {
                let name = tokio::select! {
                    Some(()) = terminate.recv() => "SIGTERM",
                    Some(()) = interrupt.recv() => "SIGINT",
                    else => return,
                };
                tracing::info!(signal = name, "signal received");
                ours.request();
            }
        });
        Ok(shutdown)
    }

    /// Does what a signal does: the first call starts the drain, the second one aborts it.
    pub fn request(&self) {
        if self.first.is_cancelled() {
            self.second.cancel();
        }
        self.first.cancel();
    }

    /// Waits for the first signal.
    pub async fn requested(&self) {
        self.first.cancelled().await;
    }

    /// Waits for the second signal.
    pub async fn aborted(&self) {
        self.second.cancelled().await;
    }

    /// Waits for the first signal (or for a vital task to end), marks the process as not ready,
    /// waits for the notice time and drains the tasks.
    ///
    /// # Errors
    /// When a second signal came or a task did not end in time.
    pub async fn wait_and_drain(
        &self,
        tasks: &Tasks,
        readiness: &Readiness,
        grace: ShutdownTimeouts,
    ) -> Result<(), ShutdownError> {
        let stopping = tasks.stopping();
        tokio::select! {
            () = self.requested() => {
                readiness.stop();
                tasks.leave();
                tokio::select! {
                    () = tokio::time::sleep(grace.notice) => {}
                    () = stopping.cancelled() => {}
                    () = self.aborted() => return Err(ShutdownError::Aborted),
                }
            }
            () = stopping.cancelled() => readiness.stop(),
        }
        tokio::select! {
            drained = tasks.drain(grace.drain) => Ok(drained?),
            () = self.aborted() => Err(ShutdownError::Aborted),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const GRACE: ShutdownTimeouts =
        ShutdownTimeouts { notice: Duration::from_secs(3), drain: Duration::from_secs(20) };

    #[tokio::test(start_paused = true)]
    async fn the_first_request_gives_notice_and_drains() {
        let (tasks, readiness, shutdown) = (Tasks::new(), Readiness::new(), Shutdown::manual());
        let began = tokio::time::Instant::now();
        let stopping = tasks.stopping();
        let seen = readiness.clone();
        tasks.spawn("server", async move {
            stopping.cancelled().await;
            assert_eq!(seen.pending(), [Readiness::STOPPING]);
        });
        shutdown.request();
        assert_eq!(shutdown.wait_and_drain(&tasks, &readiness, GRACE).await, Ok(()));
        assert_eq!(began.elapsed(), GRACE.notice);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_request_aborts() {
        let (tasks, readiness, shutdown) = (Tasks::new(), Readiness::new(), Shutdown::manual());
        tasks.spawn("deaf", pending());
        shutdown.request();
        let again = shutdown.clone();
        tasks.spawn_helper(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            again.request();
        });
        let end = shutdown.wait_and_drain(&tasks, &readiness, GRACE).await;
        assert_eq!(end, Err(ShutdownError::Aborted));
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_is_bounded() {
        let (tasks, readiness, shutdown) = (Tasks::new(), Readiness::new(), Shutdown::manual());
        tasks.spawn("deaf", pending());
        shutdown.request();
        let end = shutdown.wait_and_drain(&tasks, &readiness, GRACE).await;
        assert!(matches!(end, Err(ShutdownError::DrainTimeout(_))), "{end:?}");
    }

    #[tokio::test]
    async fn a_vital_task_that_ends_starts_the_drain() {
        let (tasks, readiness, shutdown) = (Tasks::new(), Readiness::new(), Shutdown::manual());
        tasks.spawn_vital("listener", async {});
        assert_eq!(shutdown.wait_and_drain(&tasks, &readiness, GRACE).await, Ok(()));
    }
}
