//! Every task of a process has an owner, a name and an end.
//!
//! [`Tasks`] is the only place that starts tasks. [`Tasks::stopping`] tells a task to stop; after
//! the drain timeout it is dropped at its next await.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    stop: CancellationToken,
    leave: CancellationToken,
    abort: CancellationToken,
    tracker: TaskTracker,
    // Helpers that the drain does not wait for; they end with the process.
    helpers: TaskTracker,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// Tasks did not end in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("drain tasks: still running after {grace:?}: {}", names(.unfinished))]
pub struct DrainTimeout {
    /// How long they had.
    pub grace: Duration,
    /// Name and number of the tasks that were still running; they have been cancelled.
    pub unfinished: BTreeMap<&'static str, usize>,
}

fn names(unfinished: &BTreeMap<&'static str, usize>) -> String {
    let parts = unfinished.iter().map(|(name, count)| format!("{name} ({count})"));
    parts.collect::<Vec<_>>().join(", ")
}

impl Default for Tasks {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self {
            leave: stop.child_token(),
            stop,
            abort: CancellationToken::default(),
            tracker: TaskTracker::default(),
            helpers: TaskTracker::default(),
            running: Arc::default(),
        }
    }
}

impl Tasks {
    /// No task yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. It should end soon after [`Tasks::stopping`] is cancelled.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let entry = RunningGuard::new(&self.running, name);
        let abort = self.abort.clone();
        // A future that is moved into another one takes its space there again; in a box it takes it
        // once.
        let task = Box::pin(task);
        self.tracker.spawn(async move {
            let _entry = entry;
            let _ = abort.run_until_cancelled_owned(task).await;
        });
    }

    /// Starts a task that the process cannot work without: when it ends or panics before the drain,
    /// the drain begins, so that the process is restarted instead of running without it.
    pub fn spawn_vital<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            let stop_on_drop = StopOnDrop { name, stop };
            task.await;
            drop(stop_on_drop);
        });
    }

    /// Starts a helper that the drain does not wait for.
    pub(crate) fn spawn_helper<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let abort = self.abort.clone();
        self.helpers.spawn(async move {
            let _ = abort.run_until_cancelled_owned(task).await;
        });
    }

    /// Cancelled when the process is about to stop: it goes on serving until the drain begins, and
    /// asks its clients to go elsewhere.
    pub fn leaving(&self) -> CancellationToken {
        self.leave.clone()
    }

    /// Tells every task that the process is about to stop.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// Cancelled when the drain begins.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells every task to stop, without waiting.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Name and number of the running tasks.
    pub fn running(&self) -> BTreeMap<&'static str, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells every task to stop, waits until they have, and cancels those that still run after
    /// `grace`.
    ///
    /// # Errors
    /// When a task had to be cancelled; the error names it.
    pub async fn drain(&self, grace: Duration) -> Result<(), DrainTimeout> {
        self.stop.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(grace, self.tracker.wait()).await;
        let unfinished = self.running();
        self.abort.cancel();
        match ended {
            Ok(()) => Ok(()),
            Err(_) => Err(DrainTimeout { grace, unfinished }),
        }
    }
}

/// Lets `hyper` start the tasks of an HTTP/2 connection under the same owner.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.spawn("stream", task);
    }
}

/// Counts a task under its name for as long as it lives, also through a panic.
struct RunningGuard {
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    name: &'static str,
}

impl RunningGuard {
    fn new(running: &Arc<Mutex<BTreeMap<&'static str, usize>>>, name: &'static str) -> Self {
        *running.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Self { running: Arc::clone(running), name }
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

/// Begins the drain when a vital task is gone.
struct StopOnDrop {
    name: &'static str,
    stop: CancellationToken,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(task = self.name, "ended too early, stopping the process");
            self.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_task_that_listens_ends_in_time() {
        let tasks = Tasks::new();
        let stopping = tasks.stopping();
        tasks.spawn("good", async move { stopping.cancelled().await });
        assert_eq!(tasks.running(), BTreeMap::from([("good", 1)]));
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, Ok(()));
        assert!(tasks.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_listen_is_named_and_cancelled() {
        let tasks = Tasks::new();
        tasks.spawn("deaf", pending());
        tasks.spawn("deaf", pending());
        let error = tasks.drain(Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(error.to_string(), "drain tasks: still running after 3s: deaf (2)");
        assert_eq!(tasks.drain(Duration::from_secs(3)).await, Ok(()));
    }

    #[tokio::test]
    async fn the_end_of_a_vital_task_begins_the_drain() {
        let tasks = Tasks::new();
        tasks.spawn("ordinary", async {});
        tasks.spawn_vital("listener", async { panic!("on purpose") });
        tasks.stopping().cancelled().await;
    }

    #[tokio::test]
    async fn helpers_do_not_hold_up_the_drain() {
        let tasks = Tasks::new();
        tasks.spawn_helper(pending());
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, Ok(()));
    }
}
