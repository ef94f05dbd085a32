//! Switchyard as a source: one login and one stream at a time, for as long as the pod runs.
//!
//! ```text
//! login (edge)           connect, TLS handshake, login with the pod's token, upgrade
//! message_stream (edge)  messages on the open connection
//! ```

mod login;
mod message_stream;

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use contract::BundleRef;
use contract::stream::{AgentMessage, ServerMessage};
use rustls::SupportedProtocolVersion;
use tokio::time::{Instant, sleep};

pub use login::LoginError;
pub use message_stream::StreamError;

use super::address::{Address, AddressError};
use super::tls::{self, TrustError};
use super::{SourceChannels, SourceEvent};
use crate::error::error_chain;
use crate::schedule::{self, Disconnect};
use login::Connection;
use message_stream::MessageStream;

// Agent and switchyard both support 1.3, so nothing older is offered.
const TLS_VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A client of switchyard.
#[derive(Debug)]
pub struct Switchyard {
    address: Address,
    tls: Arc<rustls::ClientConfig>,
    token_file: PathBuf,
    bundles: Vec<BundleRef>,
    /// Tells a token from the one that was sent last, which does not stay in memory.
    fingerprints: RandomState,
}

/// Why the configuration of the source is invalid.
#[derive(Debug, thiserror::Error)]
pub enum SwitchyardError {
    /// The URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The trust bundle.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// How a connection or an attempt to connect ended.
struct ConnectionEnd {
    disconnect: Disconnect,
    reason: String,
    got_snapshot: bool,
}

/// Why the agent ends a stream.
enum StreamEnd {
    /// The server withdraws the pod's access, for this reason.
    Refused(String),
    /// There is nothing more to report.
    Finished,
}

impl Switchyard {
    /// A client for this `address` that trusts the CAs in `ca` (PEM).
    ///
    /// # Errors
    /// When the address or the CAs are invalid.
    pub fn new(
        address: &str,
        ca: &str,
        token_file: PathBuf,
        bundles: Vec<BundleRef>,
    ) -> Result<Self, SwitchyardError> {
        let (address, tls) = (Address::https(address)?, tls::client_config(ca, TLS_VERSIONS)?);
        Ok(Self { address, tls, token_file, bundles, fingerprints: RandomState::new() })
    }

    /// Trusts the CAs in `ca` (PEM) from the next connection on.
    ///
    /// # Errors
    /// When they are invalid; the previous ones stay.
    pub fn set_trust_bundle(&mut self, ca: &str) -> Result<(), TrustError> {
        self.tls = tls::client_config(ca, TLS_VERSIONS)?;
        Ok(())
    }

    /// Connects and reconnects until the receiver of the events is dropped.
    pub async fn run(mut self, mut channels: SourceChannels) {
        let (mut failures, mut had_stream) = (0u32, false);
        let mut connection_log = ConnectionLog::default();
        let mut unsent = None;
        while !channels.events.is_closed() {
            let started = Instant::now();
            // Boxed, so that the memory of the login is free while the stream is open.
            let login = Box::pin(self.log_in());
            let end = match login.await {
                Ok((connection, sent)) => {
                    had_stream = true;
                    connection_log.connected(&self.address);
                    if channels.events.send(SourceEvent::Connected).await.is_err() {
                        return;
                    }
                    match self.serve(connection, sent, &mut channels, &mut unsent).await {
                        Some(end) => end,
                        None => {
                            let _ = channels.events.send(SourceEvent::Finished).await;
                            return channels.events.closed().await;
                        }
                    }
                }
                Err(error) => ConnectionEnd {
                    disconnect: error.disconnect(),
                    reason: error_chain(&error),
                    got_snapshot: false,
                },
            };
            if schedule::resets_backoff(started.elapsed(), end.got_snapshot) {
                failures = 0;
            }
            failures = failures.saturating_add(1);
            connection_log.disconnected(&end, &self.address);
            let denied = end.disconnect == Disconnect::Denied;
            let event = SourceEvent::Disconnected { denied, reason: end.reason };
            if channels.events.send(event).await.is_err() {
                return;
            }
            let random = runtime::backoff::random();
            let delay = schedule::reconnect_delay(end.disconnect, had_stream, failures, random);
            sleep(delay).await;
        }
    }

    /// Opens a stream. Returns the fingerprint of the login's token too.
    async fn log_in(&self) -> Result<(Connection, u64), LoginError> {
        let token = login::read_token(&self.token_file)?;
        let sent = self.fingerprints.hash_one(token.expose());
        let tls = Arc::clone(&self.tls);
        let connection = login::open(&self.address, tls, token, &self.bundles).await?;
        Ok((connection, sent))
    }

    /// Serves one stream until it ends. `None` if there is nothing more to report.
    async fn serve(
        &mut self,
        connection: Connection,
        mut sent: u64,
        channels: &mut SourceChannels,
        unsent: &mut Option<AgentMessage>,
    ) -> Option<ConnectionEnd> {
        let mut stream = MessageStream::new(connection);
        let mut got_snapshot = false;
        match self.exchange(&mut stream, &mut sent, channels, unsent, &mut got_snapshot).await {
            Ok(StreamEnd::Finished) => {
                stream.close().await;
                None
            }
            Ok(StreamEnd::Refused(reason)) => {
                Some(ConnectionEnd { disconnect: Disconnect::Denied, reason, got_snapshot })
            }
            Err(error) => Some(ConnectionEnd {
                disconnect: Disconnect::Unavailable,
                reason: error_chain(&error),
                got_snapshot,
            }),
        }
    }

    /// Exchanges messages. Returns an error when the stream ends. `sent` is the fingerprint of the
    /// last token that the server got.
    async fn exchange(
        &mut self,
        stream: &mut MessageStream<Connection>,
        sent: &mut u64,
        channels: &mut SourceChannels,
        unsent: &mut Option<AgentMessage>,
        got_snapshot: &mut bool,
    ) -> Result<StreamEnd, StreamError> {
        let hello = AgentMessage::Hello {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            holds: match channels.is_mixed {
                true => Vec::new(),
                false => channels.held.borrow().clone(),
            },
            refused: channels.refused.borrow().generations(),
            counts_requests: channels.counts_requests,
        };
        stream.send(&hello).await?;
        if let Some(report) = unsent.as_ref() {
            stream.send(report).await?;
            *unsent = None;
        }
        loop {
            let message = tokio::select! {
                message = stream.next() => message?,
                report = channels.reports.recv() => {
                    let Some(report) = report else { return Ok(StreamEnd::Finished) };
                    let report = unsent.insert(report);
                    stream.send(report).await?;
                    *unsent = None;
                    continue;
                }
            };
            match message {
                ServerMessage::Hold(snapshot) => {
                    *got_snapshot = true;
                    channels.is_mixed = false;
                    let event = SourceEvent::Snapshot { snapshot, received_at: Instant::now() };
                    channels.events.send(event).await.map_err(|_| StreamError::Stopping)?;
                }
                ServerMessage::Trust { ca } => self.update_trust_bundle(ca, channels).await?,
                ServerMessage::Ping => {
                    self.send_newer_token(stream, sent).await?;
                    stream.send(&AgentMessage::Pong).await?;
                }
                ServerMessage::CountRequests { seconds } => {
                    let event = SourceEvent::CountRequests { seconds };
                    channels.events.send(event).await.map_err(|_| StreamError::Stopping)?;
                }
                ServerMessage::Refused { detail } => return Ok(StreamEnd::Refused(detail)),
                ServerMessage::LoginRequired { detail } => {
                    return Err(StreamError::LoginRequired(detail));
                }
                ServerMessage::Unknown => tracing::debug!("message of an unknown kind skipped"),
            }
        }
    }

    /// Sends the pod's token if kubelet has replaced it since `sent`. Until then, and while the
    /// file is unreadable, the server has the newest one that there is.
    async fn send_newer_token(
        &self,
        stream: &mut MessageStream<Connection>,
        sent: &mut u64,
    ) -> Result<(), StreamError> {
        let Ok(token) = login::read_token(&self.token_file) else { return Ok(()) };
        let fingerprint = self.fingerprints.hash_one(token.expose());
        if fingerprint == *sent {
            return Ok(());
        }
        *sent = fingerprint;
        stream.send(&AgentMessage::Token { token }).await
    }

    async fn update_trust_bundle(
        &mut self,
        ca: String,
        channels: &SourceChannels,
    ) -> Result<(), StreamError> {
        match self.set_trust_bundle(&ca) {
            Ok(()) => {
                let event = SourceEvent::TrustBundle { ca };
                channels.events.send(event).await.map_err(|_| StreamError::Stopping)
            }
            Err(error) => {
                tracing::error!(
                    error = error_chain(&error),
                    "new trust bundle is unusable, the previous one stays"
                );
                Ok(())
            }
        }
    }
}

/// Logs each change of the connection once, and not every failed attempt.
#[derive(Default)]
struct ConnectionLog {
    last_reason: Option<String>,
}

impl ConnectionLog {
    fn connected(&mut self, address: &Address) {
        self.last_reason = None;
        tracing::info!(server = %address, "connected");
    }

    fn disconnected(&mut self, end: &ConnectionEnd, address: &Address) {
        if self.last_reason.as_deref() == Some(&end.reason) {
            return;
        }
        self.last_reason = Some(end.reason.clone());
        let reason = &end.reason;
        match end.disconnect {
            Disconnect::Denied => {
                tracing::error!(server = %address, reason, "access denied, files unchanged");
            }
            Disconnect::Unavailable => {
                tracing::warn!(server = %address, reason, "not connected, files unchanged");
            }
        }
    }
}
