//! The event loop of one pod's stream.
//!
//! One task handles one event at a time. Whether the pod may read is checked at each delivery, and
//! its credential from time to time: see `credential`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use contract::stream::{AgentMessage, HEARTBEAT_SECONDS, SILENCE_SECONDS, ServerMessage};
use contract::{BundleRef, Redacted};
use futures_util::future::select_all;
use runtime::logs::ErrorChain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::credential::{CredentialEvent, StreamCredential};
use super::framed_io::{FramedIo, FramedIoError};
use super::holdings::PodHoldings;
use super::login::{AdmittedPod, BundleAdmission};
use super::stream_end::StreamEnd;
use crate::agents::AgentConnection;
use crate::app::{AppState, ReportsDue};
use crate::audit::sanitize;
use crate::namespaces::Namespaces;
use crate::secrets::Caller;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(HEARTBEAT_SECONDS);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(SILENCE_SECONDS);

/// From the upgrade to the agent's hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// One pod's stream.
pub(super) struct Connection {
    pub(super) app: Arc<AppState>,
    pub(super) pod: AdmittedPod,
    pub(super) caller: Caller,
    namespaces: Namespaces,
    grants: watch::Receiver<u64>,
    /// What the pod holds and refuses.
    pub(super) holdings: PodHoldings,
    /// What the agent says of its pod, from its hello on.
    pub(super) agent: Option<AgentConnection>,
    /// Reports that are expected: a few for each delivery.
    pub(super) expected_reports: u32,
    /// When they are read, from a delivery until the first one.
    pub(super) reports_due: Option<ReportsDue>,
    /// Whether the agent can count its application's requests.
    pub(super) counts_requests: bool,
    /// Counts of requests that are expected: one for each second for which they were asked for.
    pub(super) expected_counts: u32,
    pub(super) credential: StreamCredential,
}

enum StreamEvent {
    Message(AgentMessage),
    BundleUpdated,
    Credential(CredentialEvent),
    NamespacesChanged,
    GrantsChanged,
    TrustChanged,
    HeartbeatDue,
}

impl Connection {
    pub(super) fn new(app: Arc<AppState>, pod: AdmittedPod, caller: Caller) -> Self {
        let (namespaces, grants) = (app.access.namespaces(), app.access.subscribe_grants());
        let credential = StreamCredential::new(&app.pods, pod.token.clone());
        Self {
            app,
            pod,
            caller,
            namespaces,
            grants,
            holdings: PodHoldings::default(),
            agent: None,
            expected_reports: 0,
            reports_due: None,
            counts_requests: false,
            expected_counts: 0,
            credential,
        }
    }

    /// Serves the pod until either side ends the stream.
    pub(super) async fn serve<I: AsyncRead + AsyncWrite + Unpin>(mut self, io: I) {
        let _open_stream = self.app.metrics.stream_opened();
        let mut framed = FramedIo::new(io);
        let stopping = self.app.tasks.stopping();
        let end = match stopping.run_until_cancelled(self.run(&mut framed)).await {
            Some(Err(end)) => end,
            Some(Ok(never)) => match never {},
            None => StreamEnd::Stopping,
        };
        self.log_end(&end);
        let farewell = match end {
            StreamEnd::Refused(detail) => Some(ServerMessage::Refused { detail }),
            StreamEnd::CredentialEnded(detail) => Some(ServerMessage::LoginRequired { detail }),
            _ => None,
        };
        if let Some(Ok(frame)) = farewell.map(|message| message.encode()) {
            // An agent that is gone already learns of it at its next login.
            let _ = framed.send(&frame).await;
        }
        framed.close().await;
    }

    fn log_end(&self, end: &StreamEnd) {
        let pod = &self.pod.pod;
        let (namespace, name, trace) =
            (&pod.namespace, &pod.name, self.caller.origin.trace_id.as_deref());
        match end {
            StreamEnd::Refused(detail) => {
                tracing::warn!(namespace, pod = name, trace, reason = detail, "stream ended");
            }
            StreamEnd::CredentialEnded(_)
            | StreamEnd::Io(_)
            | StreamEnd::Stopping
            | StreamEnd::NamespaceMoved
            | StreamEnd::Silent(_) => {
                tracing::info!(namespace, pod = name, trace, reason = %ErrorChain(end),
                    "stream ended");
            }
            _ => {
                tracing::error!(namespace, pod = name, trace, error = %ErrorChain(end),
                    "stream ended");
            }
        }
    }

    async fn run<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        framed: &mut FramedIo<I>,
    ) -> Result<Infallible, StreamEnd> {
        match timeout(HELLO_TIMEOUT, framed.next()).await {
            Ok(hello) => self.handle_hello(hello?)?,
            Err(_) => return Err(StreamEnd::Silent(HELLO_TIMEOUT)),
        }
        let mut trust = self.app.streams.trust.clone();
        let ca = trust.borrow_and_update().clone();
        send_trust(framed, ca.as_pem()).await?;
        Box::pin(self.deliver(framed)).await?;
        let mut last_message = Instant::now();
        let mut next_heartbeat = last_message + HEARTBEAT_INTERVAL;
        loop {
            // One timer for both: each costs a lock whenever a stream begins to wait.
            let silent_at = last_message + SILENCE_TIMEOUT;
            let event = tokio::select! {
                message = next_message(framed, &self.app, self.reports_due) => {
                    StreamEvent::Message(message?)
                }
                () = bundle_updated(&mut self.pod.bundles) => StreamEvent::BundleUpdated,
                event = self.credential.next() => StreamEvent::Credential(event),
                () = self.namespaces.changed() => StreamEvent::NamespacesChanged,
                Ok(()) = self.grants.changed() => StreamEvent::GrantsChanged,
                Ok(()) = trust.changed() => StreamEvent::TrustChanged,
                () = sleep_until(next_heartbeat.min(silent_at)) => {
                    if silent_at <= Instant::now() {
                        return Err(StreamEnd::Silent(SILENCE_TIMEOUT));
                    }
                    StreamEvent::HeartbeatDue
                }
            };
            // The large futures are boxed: thousands of streams wait here nearly all of the time,
            // and a box keeps their memory small.
            match event {
                StreamEvent::Message(message) => {
                    last_message = Instant::now();
                    self.reports_due = None;
                    let is_refused = Box::pin(self.handle_message(message)).await?;
                    if is_refused {
                        // What else was in the snapshot is sent without it.
                        Box::pin(self.deliver(framed)).await?;
                    }
                }
                StreamEvent::BundleUpdated => Box::pin(self.deliver(framed)).await?,
                StreamEvent::Credential(event) => {
                    Box::pin(self.handle_credential(event)).await?;
                }
                StreamEvent::NamespacesChanged => Box::pin(self.check_access()).await?,
                StreamEvent::GrantsChanged => Box::pin(self.recheck_grants(framed)).await?,
                StreamEvent::TrustChanged => {
                    let ca = trust.borrow_and_update().clone();
                    send_trust(framed, ca.as_pem()).await?;
                }
                StreamEvent::HeartbeatDue => {
                    let ping = ServerMessage::Ping.encode().map_err(FramedIoError::from)?;
                    framed.send(&ping).await?;
                    next_heartbeat = Instant::now() + HEARTBEAT_INTERVAL;
                    // A grant that another replica adds or removes is not announced here.
                    Box::pin(self.recheck_grants(framed)).await?;
                }
            }
        }
    }

    fn handle_hello(&mut self, hello: AgentMessage) -> Result<(), StreamEnd> {
        let AgentMessage::Hello { agent, holds, refused, counts_requests } = hello else {
            return Err(StreamEnd::NoHello);
        };
        self.counts_requests = counts_requests;
        self.holdings = PodHoldings::from_hello(&self.bundle_names(), holds, refused);
        let (pod, agent, refused) =
            (&self.pod.pod, sanitize(&agent), self.holdings.refused().to_vec());
        let names: Vec<&str> = self.pod.bundles.iter().map(|it| it.name.as_str()).collect();
        tracing::info!(
            namespace = pod.namespace,
            pod = pod.name,
            account = pod.service_account,
            bundles = ?names,
            agent,
            refused = refused.len(),
            "stream opened"
        );
        self.agent = Some(self.app.agents.connect(pod, agent, refused));
        Ok(())
    }

    pub(super) fn bundle_names(&self) -> Vec<&BundleRef> {
        self.pod.bundles.iter().map(|it| &it.name).collect()
    }

    /// Returns whether the pod refuses a generation that it was sent.
    async fn handle_message(&mut self, message: AgentMessage) -> Result<bool, StreamEnd> {
        match message {
            AgentMessage::Token { token } => self.handle_token(token)?,
            AgentMessage::Pong | AgentMessage::Unknown | AgentMessage::Hello { .. } => {}
            AgentMessage::Requests { metric, bounds, windows } => {
                self.handle_requests(&metric, bounds, windows);
            }
            AgentMessage::Applied { holds, reload } => {
                if self.takes_report()? {
                    self.handle_applied(holds, reload).await?;
                }
            }
            AgentMessage::Failed { wanted, step, detail } => {
                if self.takes_report()? {
                    return self.handle_failed(wanted, step, &detail).await;
                }
            }
            AgentMessage::Checked { wanted, stage, checks } => {
                if self.takes_report()? {
                    self.handle_checked(wanted, stage, checks).await?;
                }
            }
        }
        Ok(false)
    }

    /// Whether a report is taken: those that no delivery caused are few, and none of them is
    /// written while the disk is nearly full.
    fn takes_report(&mut self) -> Result<bool, StreamEnd> {
        if self.expected_reports > 0 {
            self.expected_reports -= 1;
            return Ok(true);
        }
        let uid = &self.pod.pod.uid;
        if self.app.streams.reports.take(uid, false, Instant::now()).is_err() {
            return Err(StreamEnd::TooManyReports);
        }
        Ok(!self.app.disk.is_in_reserve())
    }
}

/// The agent's next message. One that is due later waits in the socket. Cancellation safe.
async fn next_message<I: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut FramedIo<I>,
    app: &AppState,
    due: Option<ReportsDue>,
) -> Result<AgentMessage, FramedIoError> {
    if let Some(due) = due {
        // Boxed, so that streams which wait for nothing hold no room for it.
        Box::pin(app.streams.waiting_values.over(due)).await;
    }
    framed.next().await
}

/// Resolves when one of the bundles has an update.
async fn bundle_updated(bundles: &mut [BundleAdmission]) {
    let updated = async |it: &mut BundleAdmission| {
        // The sender lives as long as the process.
        if it.subscription.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    match bundles {
        [one] => updated(one).await,
        all => drop(select_all(all.iter_mut().map(|it| Box::pin(updated(it)))).await),
    }
}

async fn send_trust<I: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut FramedIo<I>,
    ca: &str,
) -> Result<(), StreamEnd> {
    if ca.is_empty() {
        return Ok(());
    }
    let frame: Redacted =
        (ServerMessage::Trust { ca: ca.to_owned() }).encode().map_err(FramedIoError::from)?;
    Ok(framed.send(&frame).await?)
}
