//! The agent's event loop: it writes what the source sends to files and tells the application
//! to reload.
//!
//! This is the only place in the crate that starts a task: the source, and the metrics' port where
//! the pod asks for one. Everything else happens in `Supervisor::run`, one event at a time.

mod log_fields;
mod metrics;
mod once;
mod reload;
mod rendering;
mod reports;
mod status;
mod verification;
mod writing;

use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use contract::agent_config::Files;
use contract::stream::{AgentMessage, BundleGeneration};
use contract::{AgentConfig, BundleRef, FileName};
use runtime::signals::Shutdown;
use runtime::tasks::{DrainTimeout, Tasks};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::app::{Application, ReloadError, Told};
use crate::error::error_chain;
use crate::files::{SecretVolumes, SecretsVolume, VolumeError};
use crate::metrics::AgentMetrics;
use crate::plan::DesiredFiles;
use crate::refused::RefusedGenerations;
use crate::render::Renderer;
use crate::requests::RequestCounter;
use crate::schedule;
use crate::source::{ConfiguredSource, SourceChannels, SourceError, SourceEvent};
use crate::termination_message;
use crate::verify::Verifier;
use reload::reload_finished;
use rendering::{PlannedFiles, Rendering, rendering_finished};
use status::StatusRecord;
pub use status::now;
use verification::{Trial, Unverified, Verification, trial_finished, verification_finished};

// The source has no work to finish; its stream is cut.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

// A generation produces at most six reports, and without a connection no generation arrives.
const REPORT_QUEUE: usize = 16;

// Counts of requests leave this much of the queue to the other reports.
const KEPT_FOR_REPORTS: usize = 8;

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The pod may not read its bundles and has no files yet, so the application cannot start. The
    /// container exits with this message, which is where people look.
    #[error("get secrets: {0}")]
    Denied(String),
    /// An init container has no files in time.
    #[error("get secrets: no files after {limit:?}: {0}", limit = schedule::INIT_TIMEOUT)]
    Late(String),
    /// The source ended on its own, which is a bug.
    #[error("the source stopped unexpectedly")]
    SourceStopped,
    /// A task did not stop.
    #[error(transparent)]
    DrainTimeout(#[from] DrainTimeout),
}

type ReloadFuture = Pin<Box<dyn Future<Output = Result<Told, ReloadError>> + Send>>;

/// The state of the event loop.
struct Supervisor {
    files: SecretsVolume,
    /// The other volumes that it fills.
    volumes: SecretVolumes,
    application: Application,
    mode: Mode,
    /// Whether this run has done what [`Mode::Once`] asks for.
    is_done: bool,
    /// Whether the last snapshot cannot become files.
    is_rejected: bool,
    /// Why there are no files yet.
    last_reason: String,
    bundles: Vec<BundleRef>,
    /// The files that the pod is to have.
    wanted: Files,
    held: watch::Sender<Vec<BundleGeneration>>,
    refused: watch::Sender<RefusedGenerations>,
    /// The last generations that are known to work, or of which nothing says that they do not.
    proven: Vec<BundleGeneration>,
    reports: mpsc::Sender<AgentMessage>,
    status: StatusRecord,
    /// Shows what is true, if the pod asks for the agent's metrics.
    metrics: Option<watch::Sender<AgentMetrics>>,
    /// Counts the application's requests, if it shows its metrics.
    requests: Option<RequestCounter>,
    renderer: Renderer,
    /// The generation whose templates are rendered.
    rendering: Option<Rendering>,
    /// A generation whose templates could not be rendered, and when to retry.
    unrendered: Option<(PlannedFiles, Instant)>,
    verifier: Verifier,
    /// The generation that is looked at before it is written. A newer one replaces it.
    trial: Option<Trial>,
    /// What to look at once the application was told.
    unverified: Option<Unverified>,
    /// The checks in progress.
    verification: Option<Verification>,
    /// The reload in progress, and when it starts. A newer generation replaces it, so the
    /// application reloads once.
    reload: Option<(Instant, ReloadFuture)>,
    /// Whether it was said that the application is not up, and cannot be told yet.
    is_not_up_said: bool,
    /// When all containers restart, if they have to.
    restart_at: Option<Instant>,
    /// When the agent was started, and the containers with it.
    started_at: Instant,
    /// When the current files were swapped in.
    swapped_at: Instant,
    last_reload: Option<Instant>,
    /// When to remove the previous generation.
    remove_previous_at: Option<Instant>,
    /// The variables whose containers were created with an older value.
    stale: BTreeSet<FileName>,
    /// Files that could not be written, and when to retry.
    unwritten: Option<(DesiredFiles, Instant)>,
}

/// What the agent does once the files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It keeps them up to date.
    Serve,
    /// It ends: it is an init container, and what comes after it does not change.
    Once,
}

/// Why the agent stopped.
#[derive(Debug)]
pub enum Stopped {
    /// It was asked to, or has written the files once.
    Shutdown,
    /// Kubelet has to restart all containers: the process calls
    /// [`SecretsVolume::record_restart`] and ends with
    /// [`RESTART_EXIT_CODE`](contract::layout::RESTART_EXIT_CODE), with nothing in between that
    /// takes time.
    Restart(SecretsVolume),
}

/// Why the event loop ended.
enum LoopEnd {
    /// The source ended.
    Source,
    /// The pod gets no files, for this reason.
    Denied(String),
    /// All containers have to restart.
    Restart,
    /// The files are written, and that was all.
    Done,
    /// There were no files in time. Holds the last reason.
    Late(String),
}

/// Keeps the pod's files up to date until `shutdown` is requested or the containers have to
/// restart.
///
/// # Errors
/// When the configuration or the volume is unusable, or access is denied while there are no files
/// yet. An unreachable server is not an error, and neither is a denial once there are files: they
/// stay.
pub async fn run(
    config: AgentConfig,
    (application, verifier, renderer): (Application, Verifier, Renderer),
    mode: Mode,
    tasks: &Tasks,
    shutdown: &Shutdown,
) -> Result<Stopped, SupervisorError> {
    let volume = SecretsVolume::open(&config.files)?;
    let status = StatusRecord::new(&config, volume.status());
    let requests = config.metrics.as_ref().map(RequestCounter::new);
    let AgentConfig { source, bundles, files, agent_metrics, .. } = config;
    let wanted = files;
    let (mut volumes, files) = (SecretVolumes::open(&wanted.volumes)?, volume);
    volumes.adopt_proven(&files)?;
    let mut source = ConfiguredSource::new(source, &bundles, wanted.directory.as_ref())?;
    if let Some(Err(error)) = files.trust_bundle().map(|ca| source.set_trust_bundle(&ca)) {
        tracing::warn!(
            error = error_chain(&error),
            "saved trust bundle is unusable, using the configured one"
        );
    }

    let (event_sender, mut events) = mpsc::channel(1);
    let (reports, report_receiver) = mpsc::channel(REPORT_QUEUE);
    let (held, held_receiver) = watch::channel(files.held(&bundles));
    let proven = files.proven(&bundles);
    let (refused, refused_receiver) = watch::channel(files.refused());
    let channels = SourceChannels {
        events: event_sender,
        reports: report_receiver,
        held: held_receiver,
        counts_requests: requests.is_some(),
        is_mixed: files.has_generation() && volumes.are_older_or_newer(&files),
        refused: refused_receiver,
    };
    let metrics = metrics::start(agent_metrics.filter(|_| mode == Mode::Serve), tasks);
    let stopping = tasks.stopping();
    let stopped = async move { stopping.cancelled().await };
    tasks.spawn_vital("source", source.run(channels, stopped, shutdown.clone()));

    let mut supervisor = Supervisor {
        files,
        volumes,
        application,
        mode,
        is_done: false,
        is_rejected: false,
        last_reason: "no connection yet".to_owned(),
        bundles,
        wanted,
        proven,
        held,
        refused,
        reports,
        status,
        metrics,
        requests,
        renderer,
        rendering: None,
        unrendered: None,
        verifier,
        trial: None,
        unverified: None,
        verification: None,
        reload: None,
        is_not_up_said: false,
        restart_at: None,
        started_at: Instant::now(),
        swapped_at: Instant::now(),
        last_reload: None,
        remove_previous_at: None,
        stale: BTreeSet::new(),
        unwritten: None,
    };
    supervisor.resume();
    supervisor.write_status();
    supervisor.publish_metrics();
    let stopping = tasks.stopping();
    let end = tokio::select! {
        () = shutdown.requested() => None,
        () = stopping.cancelled() => None,
        end = supervisor.run(&mut events) => Some(end),
    };
    match end {
        Some(LoopEnd::Done) => {
            supervisor.finish(events, tasks).await?;
            tracing::info!("files written once");
            return Ok(Stopped::Shutdown);
        }
        // Switchyard learns why, and not only the pod's termination message.
        Some(LoopEnd::Denied(reason)) if supervisor.has_rejected_once() => {
            supervisor.finish(events, tasks).await?;
            return Err(SupervisorError::Denied(reason));
        }
        _ => {}
    }
    let source_stopped = tasks.stopping().is_cancelled();
    tasks.drain(DRAIN_TIMEOUT).await?;
    match end {
        Some(LoopEnd::Denied(reason)) => Err(SupervisorError::Denied(reason)),
        Some(LoopEnd::Late(reason)) => Err(SupervisorError::Late(reason)),
        Some(LoopEnd::Restart) => Ok(Stopped::Restart(supervisor.files)),
        _ if source_stopped => Err(SupervisorError::SourceStopped),
        Some(LoopEnd::Source | LoopEnd::Done) | None => Ok(Stopped::Shutdown),
    }
}

impl Supervisor {
    async fn run(&mut self, events: &mut mpsc::Receiver<SourceEvent>) -> LoopEnd {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(SourceEvent::Snapshot { snapshot, received_at }) => {
                        self.apply_snapshot(snapshot, received_at);
                    }
                    Some(SourceEvent::TrustBundle { ca }) => self.save_trust_bundle(&ca),
                    Some(SourceEvent::CountRequests { seconds }) => {
                        if let Some(requests) = &mut self.requests {
                            requests.count_for(seconds);
                        }
                    }
                    Some(SourceEvent::Connected) => self.status.connected(),
                    Some(SourceEvent::Disconnected { denied, reason }) => {
                        self.status.disconnected(&reason);
                        if !self.files.has_generation() {
                            termination_message::write(&reason);
                            if denied {
                                return LoopEnd::Denied(reason);
                            }
                        }
                        self.last_reason = reason;
                    }
                    Some(SourceEvent::Finished) | None => return LoopEnd::Source,
                },
                () = reached(self.restart_at) => return LoopEnd::Restart,
                () = reached(self.deadline()) => return self.give_up(),
                texts = rendering_finished(&mut self.rendering) => self.finish_rendering(texts),
                before = trial_finished(&mut self.trial) => self.finish_trial(before),
                result = reload_finished(&mut self.reload) => self.finish_reload(result),
                end = verification_finished(&mut self.verification) => {
                    self.finish_verification(end);
                }
                () = requests_counted(&mut self.requests) => self.report_requests(),
                () = reached(self.remove_previous_at) => self.remove_previous_generation(),
                () = reached(self.unrendered.as_ref().map(|(_, at)| *at)) => {
                    self.retry_rendering();
                }
                () = reached(self.unwritten.as_ref().map(|(_, at)| *at)) => self.retry_write(),
            }
            self.write_status();
            self.publish_metrics();
            if let Some(end) = self.end_of_once() {
                return end;
            }
        }
    }

    fn save_trust_bundle(&self, ca: &str) {
        match self.files.save_trust_bundle(ca) {
            Ok(()) => tracing::info!("new trust bundle saved"),
            Err(error) => tracing::warn!(
                error = error_chain(&error),
                "new trust bundle is in use, but not saved for the next start"
            ),
        }
    }
}

/// Waits until the requests were counted once more, or forever if they are not.
async fn requests_counted(requests: &mut Option<RequestCounter>) {
    match requests {
        Some(requests) => requests.next(status::now_milliseconds).await,
        None => pending().await,
    }
}

/// Waits until `at`, or forever if it is `None`.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
