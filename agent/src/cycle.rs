//! The agent's life: what the source says becomes files, and the application is told of them.
//!
//! The only place of this crate that starts tasks. There is one, the source; everything else
//! happens in [`Cycle::turn`], one thing at a time.

mod report;

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use contract::agent_config::Source;
use contract::stream::{AgentMessage, Held, Outcome, Snapshot, Step};
use contract::{AgentConfig, BundleRef};
use runtime::signals::Shutdown;
use runtime::tasks::{DrainTimeout, Tasks};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::app::{Application, TellError};
use crate::fault::chain;
use crate::files::{Files, FilesError};
use crate::last_words;
use crate::plan::{self, Change, Wanted};
use crate::schedule;
use crate::source::switchyard::{Switchyard, SwitchyardError};
use crate::source::{Event, Wires};
use report::{bundles_of, generations_of};

// The stream has nothing to finish: it is cut.
const GRACE: Duration = Duration::from_secs(2);

// Each generation makes two reports at most, and none comes while there is no connection.
const REPORTS: usize = 16;

/// Why the agent cannot live.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    /// The volume.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The source.
    #[error(transparent)]
    Switchyard(#[from] SwitchyardError),
    /// The pod may not read what it asks for, and its files were never there: the application
    /// cannot start, and a container that ends with this message is what a person looks at.
    #[error("get secrets: {0}")]
    Refused(String),
    /// The source ended by itself, which it never should.
    #[error("run source: it has ended")]
    SourceEnded,
    /// A task did not stop.
    #[error(transparent)]
    DrainTimeout(#[from] DrainTimeout),
}

type Telling = Pin<Box<dyn Future<Output = Result<Outcome, TellError>> + Send>>;

/// What the agent holds and has to do.
struct Cycle {
    files: Files,
    application: Application,
    bundles: Vec<BundleRef>,
    holds: watch::Sender<Vec<Held>>,
    reports: mpsc::Sender<AgentMessage>,
    /// The reload that is under way. A newer generation replaces it: the application is told once.
    telling: Option<Telling>,
    /// When the files were swapped that it is about.
    swapped: Instant,
    last_told: Option<Instant>,
    /// When the generation before the current one goes.
    retire_at: Option<Instant>,
    /// What could not be written, and when to try again.
    unwritten: Option<(Wanted, Instant)>,
}

/// Holds the pod's files until `shutdown` is requested.
///
/// # Errors Where the configuration or the volume does not allow it, or the first login is refused.
/// A server that is away is no error, and neither is a refusal later: the files stay.
pub async fn run(
    config: AgentConfig,
    application: Application,
    tasks: &Tasks,
    shutdown: &Shutdown,
) -> Result<(), CycleError> {
    let AgentConfig { version: _, source, bundles, files, reload: _, reload_container: _ } = config;
    let Source::Switchyard { address, ca, token_file } = source;
    let files = Files::open(&files)?;
    let mut switchyard = Switchyard::new(&address, &ca, token_file.into(), bundles.clone())?;
    if let Some(Err(error)) = files.trust().map(|ca| switchyard.trust(&ca)) {
        tracing::warn!(
            error = chain(&error),
            "kept trust bundle not taken, the configured one stays"
        );
    }

    let (event_sender, events) = mpsc::channel(1);
    let (reports, report_receiver) = mpsc::channel(REPORTS);
    let (holds, holds_receiver) = watch::channel(files.holds(&bundles));
    let wires = Wires { events: event_sender, reports: report_receiver, holds: holds_receiver };
    let stopping = tasks.stopping();
    // Boxed here: every layer that a future is handed through would otherwise hold it twice, and
    // the source's is tens of kilobytes.
    let source = Box::pin(switchyard.run(wires));
    tasks.spawn_vital("source", async move {
        let _ = stopping.run_until_cancelled(source).await;
    });

    let (telling, last_told, retire_at, unwritten) = (None, None, None, None);
    let swapped = Instant::now();
    let mut cycle = Cycle {
        files,
        application,
        bundles,
        holds,
        reports,
        telling,
        swapped,
        last_told,
        retire_at,
        unwritten,
    };
    cycle.resume();
    let stopping = tasks.stopping();
    let refused = tokio::select! {
        () = shutdown.requested() => None,
        () = stopping.cancelled() => None,
        refused = cycle.turn(events) => refused,
    };
    let ended_by_itself = tasks.stopping().is_cancelled();
    tasks.drain(GRACE).await?;
    match refused {
        Some(reason) => Err(CycleError::Refused(reason)),
        None if ended_by_itself => Err(CycleError::SourceEnded),
        None => Ok(()),
    }
}

impl Cycle {
    /// What a run before this one left to do.
    fn resume(&mut self) {
        let holds = self.holds.borrow().clone();
        if !holds.is_empty() {
            tracing::info!(
                bundle = bundles_of(&holds),
                generation = generations_of(&holds),
                "files adopted"
            );
        }
        if self.files.reload_due() && self.application.listens() {
            self.tell();
        }
    }

    /// Ends where the source does, or with the reason why there will be no files.
    async fn turn(&mut self, mut events: mpsc::Receiver<Event>) -> Option<String> {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Hold { snapshot, received }) => self.hold(snapshot, received),
                    Some(Event::Trust { ca }) => self.keep_trust(&ca),
                    Some(Event::Lost { refused, reason }) => {
                        if !self.files.are_there() {
                            last_words::leave(&reason);
                            if refused {
                                return Some(reason);
                            }
                        }
                    }
                    None => return None,
                },
                result = ended(&mut self.telling) => self.told(result),
                () = reached(self.retire_at) => self.retire(),
                () = reached(self.unwritten.as_ref().map(|(_, at)| *at)) => self.rewrite(),
            }
        }
    }

    fn hold(&mut self, snapshot: Snapshot, received: Instant) {
        // A newer word replaces one that could not be put into effect.
        self.unwritten = None;
        let named = snapshot.holds();
        match plan::wanted(&self.bundles, snapshot) {
            Ok(wanted) => self.put(wanted, received),
            Err(refusal) => {
                let detail = refusal.to_string();
                tracing::error!(
                    bundle = bundles_of(&named),
                    generation = generations_of(&named),
                    reason = detail,
                    "generation refused, the files stay as they are"
                );
                self.report(AgentMessage::Failed { wanted: named, step: Step::Plan, detail });
            }
        }
    }

    fn put(&mut self, wanted: Wanted, received: Instant) {
        let change = plan::change(&wanted, &self.files.present());
        if change == Change::None {
            self.holds.send_replace(wanted.holds);
            // A reload that is under way reports when it ends, and these generations with it.
            if self.telling.is_none() {
                self.report_applied(Outcome::NotNeeded);
            }
            return;
        }
        let tell = change == Change::Changed && self.application.listens();
        match self.files.publish(&wanted, tell) {
            Ok(()) => self.published(wanted, received, tell),
            Err(error) => self.unpublished(wanted, &error),
        }
    }

    fn published(&mut self, wanted: Wanted, received: Instant, tell: bool) {
        self.swapped = Instant::now();
        tracing::info!(
            bundle = bundles_of(&wanted.holds),
            generation = generations_of(&wanted.holds),
            files = wanted.files.len(),
            milliseconds = report::milliseconds(self.swapped - received),
            "files replaced"
        );
        self.retire_at = Some(self.swapped + schedule::KEEP_PREVIOUS);
        self.holds.send_replace(wanted.holds);
        if tell { self.tell() } else { self.report_applied(Outcome::NotNeeded) }
    }

    fn unpublished(&mut self, wanted: Wanted, error: &FilesError) {
        let detail = chain(error);
        tracing::error!(
            bundle = bundles_of(&wanted.holds),
            generation = generations_of(&wanted.holds),
            error = detail,
            "files not replaced, they stay as they are"
        );
        self.report(AgentMessage::Failed {
            wanted: wanted.holds.clone(),
            step: Step::Write,
            detail,
        });
        self.unwritten = Some((wanted, Instant::now() + schedule::REWRITE_AFTER));
    }

    fn rewrite(&mut self) {
        if let Some((wanted, _)) = self.unwritten.take() {
            self.put(wanted, Instant::now());
        }
    }

    fn retire(&mut self) {
        self.retire_at = None;
        if let Err(error) = self.files.retire() {
            tracing::warn!(error = chain(&error), "previous generation could not be removed");
        }
    }

    fn keep_trust(&self, ca: &str) {
        match self.files.keep_trust(ca) {
            Ok(()) => tracing::info!("trust bundle of the server taken"),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "trust bundle taken, but not kept for the next start"
            ),
        }
    }

    /// Starts telling the application, in place of a telling that is under way.
    fn tell(&mut self) {
        let application = self.application.clone();
        let not_before = self.last_told.map(|at| at + schedule::RELOAD_GAP);
        self.telling = Some(Box::pin(async move {
            if let Some(at) = not_before {
                sleep_until(at).await;
            }
            application.tell().await
        }));
    }

    fn told(&mut self, result: Result<Outcome, TellError>) {
        self.telling = None;
        self.last_told = Some(Instant::now());
        if let Err(error) = self.files.reload_done() {
            tracing::warn!(
                error = chain(&error),
                "the application will be told once more after a restart"
            );
        }
        let milliseconds = report::milliseconds(self.swapped.elapsed());
        match result {
            Ok(Outcome::NotNeeded) => {
                tracing::info!("application is not running, it reads the new files when it starts")
            }
            Ok(outcome) => {
                tracing::info!(by = report::way(outcome), milliseconds, "application reloaded")
            }
            Err(error) => {
                let detail = chain(&error);
                tracing::error!(
                    error = detail,
                    milliseconds,
                    "application not reloaded, it may still use the old values"
                );
                // The files hold the new generation all the same, so both have to be said.
                self.report_applied(Outcome::Failed);
                let wanted = self.holds.borrow().clone();
                return self.report(AgentMessage::Failed { wanted, step: Step::Reload, detail });
            }
        }
        self.report_applied(result.unwrap_or(Outcome::Failed));
    }

    fn report_applied(&self, reload: Outcome) {
        let holds = self.holds.borrow().clone();
        self.report(AgentMessage::Applied { holds, reload });
    }

    fn report(&self, message: AgentMessage) {
        if self.reports.try_send(message).is_err() {
            tracing::warn!("report dropped, the next connection says what the files hold");
        }
    }
}

/// Waits for a telling to end; for ever where there is none.
async fn ended(telling: &mut Option<Telling>) -> Result<Outcome, TellError> {
    match telling {
        Some(telling) => telling.await,
        None => pending().await,
    }
}

/// Waits for a moment; for ever where there is none.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
