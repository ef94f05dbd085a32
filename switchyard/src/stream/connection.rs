//! One pod's stream, from hello to the end.
//!
//! Everything happens in one task, one thing at a time. The pod's token may run out while the
//! stream is open: what counts is that the pod may read at the moment of each delivery, and that is
//! checked each time.

use std::sync::Arc;
use std::time::Duration;

use contract::stream::{AgentMessage, HEARTBEAT_SECONDS, Held, SILENCE_SECONDS, ServerMessage};
use contract::{Generation, Redacted, SecretName};
use futures_util::future::select_all;
use runtime::logs::ErrorChain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::frames::{Frames, FramesError};
use super::holds::{HoldError, Wanted};
use super::login::{Admission, Admitted, deny};
use super::reports::{self, Written};
use crate::access::AccessError;
use crate::api::App;
use crate::audit::{Action, AuditError, Event, Outcome, Resource, ResourceKind};
use crate::delivery::generation_for;
use crate::limit::Budget;
use crate::metrics::{Ending, Operation};
use crate::namespaces::Namespaces;
use crate::policy::{BundleAllowed, BundleRule, Which};
use crate::repository::Bundle;
use crate::secrets::Caller;

const HEARTBEAT: Duration = Duration::from_secs(HEARTBEAT_SECONDS);
const SILENCE: Duration = Duration::from_secs(SILENCE_SECONDS);

/// From the upgrade to the agent's first word.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// Reports that nothing was sent for: so many at once, and one more each second. Enough for an
/// agent that tries again, and too few to fill the trail.
const REPORTS: u32 = 60;

/// One pod's stream.
pub(super) struct Connection {
    app: Arc<App>,
    pod: Admitted,
    caller: Caller,
    namespaces: Namespaces,
    grants: watch::Receiver<u64>,
    /// What the pod was told to hold, or said that it holds.
    holds: Vec<Held>,
    /// Which secrets of its bundles the pod was sent on this stream; none before the first time.
    sent: Option<Vec<Which>>,
    /// Reports that are to come: one for each time that the pod was sent something.
    due: u32,
    budget: Budget,
}

/// Why a stream ends.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The frames.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// The agent said nothing for too long.
    #[error("read stream: nothing heard for {0:?}")]
    Silent(Duration),
    /// The first message is none that begins a stream.
    #[error("read stream: the first message is not hello")]
    NoHello,
    /// The audit trail cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// What the pod should hold cannot be opened.
    #[error("open generation")]
    Hold(#[source] HoldError),
    /// The grants cannot be read.
    #[error("check access")]
    Access(#[source] AccessError),
    /// The pod may no longer read what it follows, or cannot hold it.
    #[error("the pod is refused: {0}")]
    Refused(String),
    /// The namespace belongs elsewhere now; the agent comes back and follows other bundles.
    #[error("the pod's namespace belongs to another project or environment now")]
    Moved,
    /// The agent reports more than it could.
    #[error("read stream: too many reports")]
    TooManyReports,
    /// Switchyard stops.
    #[error("stopping")]
    Stopping,
}

enum News {
    Heard(AgentMessage),
    Bundle,
    Namespaces,
    Grants,
    Trust,
    Beat,
}

impl Connection {
    pub(super) fn new(app: Arc<App>, pod: Admitted, caller: Caller) -> Self {
        let (namespaces, grants) = (app.access.namespaces(), app.access.grants());
        let budget = Budget::new(REPORTS, Duration::from_secs(1), Instant::now());
        Self { app, pod, caller, namespaces, grants, holds: Vec::new(), sent: None, due: 0, budget }
    }

    /// Serves the pod until either side ends it.
    pub(super) async fn serve<I: AsyncRead + AsyncWrite + Unpin>(mut self, io: I) {
        let _connected = self.app.metrics.connected();
        let mut frames = Frames::new(io);
        let stopping = self.app.tasks.stopping();
        let end = match stopping.run_until_cancelled(self.exchange(&mut frames)).await {
            Some(Err(end)) => end,
            Some(Ok(never)) => match never {},
            None => End::Stopping,
        };
        let pod = &self.pod.pod;
        let (namespace, name, trace) =
            (&pod.namespace, &pod.name, self.caller.origin.trace_id.as_deref());
        match &end {
            End::Refused(detail) => {
                tracing::warn!(namespace, pod = name, trace, reason = detail, "stream ended");
                // Where the agent is gone already, it learns of it at its next login.
                if let Ok(frame) = (ServerMessage::Refused { detail: detail.clone() }).encode() {
                    let _ = frames.send(&frame).await;
                }
            }
            End::Frames(_) | End::Stopping | End::Moved | End::Silent(_) => {
                tracing::info!(namespace, pod = name, trace, reason = %ErrorChain(&end), "stream ended");
            }
            _ => {
                tracing::error!(namespace, pod = name, trace, error = %ErrorChain(&end), "stream ended")
            }
        }
        frames.close().await;
    }

    async fn exchange<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        frames: &mut Frames<I>,
    ) -> Result<std::convert::Infallible, End> {
        match timeout(HELLO_PATIENCE, frames.next()).await {
            Ok(hello) => self.greet(hello?)?,
            Err(_) => return Err(End::Silent(HELLO_PATIENCE)),
        }
        let mut trust = self.app.streams.trust.clone();
        let ca = trust.borrow_and_update().clone();
        send_trust(frames, ca.as_pem()).await?;
        Box::pin(self.deliver(frames)).await?;
        let mut heard = Instant::now();
        let mut beat = heard + HEARTBEAT;
        loop {
            let news = tokio::select! {
                message = frames.next() => News::Heard(message?),
                () = bundle_changed(&mut self.pod.bundles) => News::Bundle,
                () = self.namespaces.changed() => News::Namespaces,
                Ok(()) = self.grants.changed() => News::Grants,
                Ok(()) = trust.changed() => News::Trust,
                () = sleep_until(beat) => News::Beat,
                () = sleep_until(heard + SILENCE) => return Err(End::Silent(SILENCE)),
            };
            // What asks the ledger is in a box: an open stream waits nearly all of its life, and
            // there are thousands of them.
            match news {
                News::Heard(message) => {
                    heard = Instant::now();
                    Box::pin(self.hear(message)).await?;
                }
                News::Bundle => Box::pin(self.deliver(frames)).await?,
                News::Namespaces => Box::pin(self.check_all()).await?,
                News::Grants => Box::pin(self.check_granted(frames)).await?,
                News::Trust => {
                    let ca = trust.borrow_and_update().clone();
                    send_trust(frames, ca.as_pem()).await?;
                }
                News::Beat => {
                    frames.send(&ServerMessage::Ping.encode().map_err(FramesError::from)?).await?;
                    beat = Instant::now() + HEARTBEAT;
                    // Another replica's grants make no news here.
                    Box::pin(self.check_granted(frames)).await?;
                }
            }
        }
    }

    fn greet(&mut self, hello: AgentMessage) -> Result<(), End> {
        let AgentMessage::Hello { agent, holds } = hello else { return Err(End::NoHello) };
        let Admitted { pod, bundles } = &self.pod;
        let names: Vec<&str> = bundles.iter().map(|one| one.name.as_str()).collect();
        let agent = crate::audit::sanitize(&agent);
        tracing::info!(namespace = pod.namespace, pod = pod.name, account = pod.service_account, bundles = ?names, agent, "stream opened");
        self.holds = holds;
        Ok(())
    }

    /// Where each bundle stands now. A bundle that is followed has been told of before.
    fn standing(&mut self) -> Vec<(Bundle, Instant)> {
        let news =
            self.pod.bundles.iter_mut().filter_map(|one| one.following.borrow_and_update().clone());
        news.map(|news| (news.bundle.clone(), news.since)).collect()
    }

    /// Tells the pod what to hold, unless it does already.
    async fn deliver<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        frames: &mut Frames<I>,
    ) -> Result<(), End> {
        let standing = self.standing();
        let uid = &self.pod.pod.uid;
        let generations: Vec<Generation> =
            standing.iter().map(|(bundle, _)| generation_for(&bundle.standing, uid)).collect();
        let holds: Vec<Held> = standing
            .iter()
            .zip(&generations)
            .map(|((bundle, _), generation)| Held {
                bundle: bundle.name.clone(),
                generation: *generation,
            })
            .collect();
        if holds == self.holds && self.has_what_it_may() {
            return Ok(());
        }
        self.check_all().await?;
        let which: Vec<Which> = self.pod.bundles.iter().map(|one| one.which.clone()).collect();
        let wanted: Vec<Wanted> = standing
            .iter()
            .zip(generations)
            .zip(&which)
            .map(|(((bundle, _), generation), which)| Wanted {
                bundle: bundle.clone(),
                generation,
                which: which.clone(),
            })
            .collect();
        let outcome = self.send_holds(frames, &wanted).await;
        self.app
            .metrics
            .count(Operation::Deliver, if outcome.is_ok() { Ending::Ok } else { Ending::Failed });
        outcome?;
        self.due = self.due.saturating_add(1);
        self.sent = Some(which);
        for (bundle, since) in &standing {
            let known = self.holds.iter().any(|held| held.bundle == bundle.name);
            let same =
                holds.iter().any(|held| self.holds.contains(held) && held.bundle == bundle.name);
            // Only news that came while the stream was open say something about speed.
            if known && !same {
                self.app.metrics.delivered(since.elapsed());
            }
        }
        self.holds = holds;
        Ok(())
    }

    /// Whether the pod was sent just what it may read. A pod that comes back says which generation
    /// its files hold, and not which part of it: where a grant decides that, it is sent again.
    fn has_what_it_may(&self) -> bool {
        let bundles = &self.pod.bundles;
        match &self.sent {
            Some(sent) => bundles.iter().map(|one| &one.which).eq(sent),
            None => bundles.iter().all(|one| one.rule == BundleRule::OwnService),
        }
    }

    /// Looks at the grants again, where one of them decides.
    async fn check_granted<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        frames: &mut Frames<I>,
    ) -> Result<(), End> {
        if self.pod.bundles.iter().all(|one| one.rule == BundleRule::OwnService) {
            return Ok(());
        }
        self.check_all().await?;
        self.deliver(frames).await
    }

    /// The values are opened, then it is written down to whom they go, then they leave.
    async fn send_holds<I: AsyncRead + AsyncWrite + Unpin>(
        &self,
        frames: &mut Frames<I>,
        wanted: &[Wanted],
    ) -> Result<(), End> {
        let frame = match self.app.streams.holds.frame(&self.app.secrets, wanted).await {
            Ok(frame) => frame,
            // No reconnect would change that.
            Err(error @ HoldError::Message(_)) => return Err(End::Refused(error.to_string())),
            Err(error) => return Err(End::Hold(error)),
        };
        let events = wanted
            .iter()
            .zip(&self.pod.bundles)
            .map(|(it, admission)| self.app.audit.record(self.read_event(it, admission)));
        futures_util::future::try_join_all(events).await?;
        if let Some(bytes) = frame.get() {
            frames.send(bytes).await?;
        }
        Ok(())
    }

    fn read_event(&self, wanted: &Wanted, admission: &Admission) -> Event {
        let Wanted { bundle, generation, which } = wanted;
        let rule = admission.rule.as_str();
        let details = match which {
            Which::All => rule.to_owned(),
            Which::Only(names) => format!(
                "{rule}: {}",
                names.iter().map(SecretName::as_str).collect::<Vec<_>>().join(",")
            ),
        };
        Event {
            actor: self.caller.actor.clone(),
            action: Action::Read,
            resource: Resource {
                kind: ResourceKind::Bundle,
                id: bundle.name.as_str().to_owned(),
                scope: Some(bundle.scope.to_string()),
            },
            version: Some(generation.0),
            outcome: Outcome::Allowed,
            origin: self.caller.origin.clone(),
            details: Some(crate::audit::sanitize(&details)),
        }
    }

    /// Whether the pod may still read everything that it follows.
    async fn check_all(&mut self) -> Result<(), End> {
        for one in &mut self.pod.bundles {
            match self.app.access.check(&self.pod.pod, &one.name).await {
                Ok(BundleAllowed { scope, which, rule }) if scope == one.scope => {
                    one.which = which;
                    one.rule = rule;
                }
                Ok(_) => return Err(End::Moved),
                Err(AccessError::Denied(denied)) => {
                    self.app.metrics.count(Operation::Deliver, Ending::Denied);
                    deny(&self.app, &self.caller, &denied).await;
                    return Err(End::Refused(denied.to_string()));
                }
                Err(error) => return Err(End::Access(error)),
            }
        }
        Ok(())
    }

    async fn hear(&mut self, message: AgentMessage) -> Result<(), End> {
        let bundles: Vec<Bundle> = self
            .pod
            .bundles
            .iter()
            .filter_map(|one| Some(one.following.borrow().as_ref()?.bundle.clone()))
            .collect();
        let (pod, caller) = (&self.pod.pod, &self.caller);
        let (written, worked) = match message {
            AgentMessage::Pong | AgentMessage::Unknown | AgentMessage::Hello { .. } => {
                return Ok(());
            }
            AgentMessage::Applied { holds, reload } => {
                (reports::applied(caller, pod, &bundles, &holds, reload), true)
            }
            AgentMessage::Failed { wanted, step, detail } => {
                (reports::failed(caller, pod, &bundles, &wanted, step, &detail), false)
            }
        };
        if self.due > 0 {
            self.due -= 1;
        } else if !self.budget.take(Instant::now()) {
            return Err(End::TooManyReports);
        }
        for Written { event, report } in written {
            self.app.metrics.reported(worked);
            self.app.audit.record_with_report(event, report).await?;
        }
        Ok(())
    }
}

/// Ends when any of the followed bundles has news.
async fn bundle_changed(bundles: &mut [Admission]) {
    let all = bundles.iter_mut().map(|one| {
        Box::pin(async {
            // Whoever tells the news lives as long as the process.
            if one.following.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    });
    select_all(all).await;
}

async fn send_trust<I: AsyncRead + AsyncWrite + Unpin>(
    frames: &mut Frames<I>,
    ca: &str,
) -> Result<(), End> {
    if ca.is_empty() {
        return Ok(());
    }
    let frame: Redacted =
        (ServerMessage::Trust { ca: ca.to_owned() }).encode().map_err(FramesError::from)?;
    Ok(frames.send(&frame).await?)
}
