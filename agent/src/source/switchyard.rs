//! Switchyard as a source: one login, one stream, for as long as the pod lives.
//!
//! ```text
//! dial (edge)     connect, TLS, login with the pod's token, upgrade
//! stream (edge)   frames on the open connection
//! trust           PEM to TLS configuration
//! address (pure)  what the configuration's URL means
//! ```

mod address;
mod dial;
mod stream;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;

use contract::BundleRef;
use contract::stream::{AgentMessage, ServerMessage};
use tokio::time::{Instant, sleep};

pub use address::AddressError;
pub use dial::LoginError;
pub use stream::StreamError;
pub use trust::TrustError;

use super::{Event, Wires};
use crate::fault::chain;
use crate::schedule::{self, Loss};
use address::Address;
use dial::Connection;
use stream::Stream;

/// Switchyard, as the configuration describes it.
#[derive(Debug)]
pub struct Switchyard {
    address: Address,
    tls: Arc<rustls::ClientConfig>,
    token_file: PathBuf,
    bundles: Vec<BundleRef>,
}

/// Why there can be no connection at all.
#[derive(Debug, thiserror::Error)]
pub enum SwitchyardError {
    /// The URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The CAs.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// How a stream ended.
struct End {
    loss: Loss,
    reason: String,
    /// Whether the pod was told what to hold.
    held: bool,
}

impl Switchyard {
    /// A source at this `address`, trusting the CAs `ca` (PEM).
    ///
    /// # Errors
    /// Where the address or the CAs cannot be understood.
    pub fn new(
        address: &str,
        ca: &str,
        token_file: PathBuf,
        bundles: Vec<BundleRef>,
    ) -> Result<Self, SwitchyardError> {
        Ok(Self { address: address.parse()?, tls: trust::client(ca)?, token_file, bundles })
    }

    /// Trusts the CAs `ca` (PEM) from the next connection on.
    ///
    /// # Errors
    /// Where there is none in it; the ones before stay.
    pub fn trust(&mut self, ca: &str) -> Result<(), TrustError> {
        self.tls = trust::client(ca)?;
        Ok(())
    }

    /// Connects, and connects again, for ever. It ends where nobody listens to it any more.
    pub async fn run(mut self, mut wires: Wires) {
        let mut failures = 0u32;
        let mut notice = Notice::default();
        let mut unsent = None;
        while !wires.events.is_closed() {
            let began = Instant::now();
            // Boxed, so that what a login needs is given back for the life of the stream.
            let login = Box::pin(dial::open(
                &self.address,
                Arc::clone(&self.tls),
                &self.token_file,
                &self.bundles,
            ));
            let end = match login.await {
                Ok(connection) => {
                    notice.connected(&self.address);
                    self.serve(connection, &mut wires, &mut unsent).await
                }
                Err(error) => End { loss: error.loss(), reason: chain(&error), held: false },
            };
            if schedule::forgives(began.elapsed(), end.held) {
                failures = 0;
            }
            failures = failures.saturating_add(1);
            notice.lost(&end, &self.address);
            let lost = Event::Lost { refused: end.loss == Loss::Refused, reason: end.reason };
            if wires.events.send(lost).await.is_err() {
                return;
            }
            sleep(schedule::reconnect(end.loss, failures, runtime::backoff::random())).await;
        }
    }

    /// Everything between a login and the end of its stream.
    async fn serve(
        &mut self,
        connection: Connection,
        wires: &mut Wires,
        unsent: &mut Option<AgentMessage>,
    ) -> End {
        let mut stream = Stream::new(connection);
        let mut held = false;
        let result = self.exchange(&mut stream, wires, unsent, &mut held).await;
        match result {
            Ok(detail) => End { loss: Loss::Refused, reason: detail, held },
            Err(error) => End { loss: Loss::Away, reason: chain(&error), held },
        }
    }

    /// Ends with the reason why the pod may no longer read its secrets, or with the stream.
    async fn exchange(
        &mut self,
        stream: &mut Stream<Connection>,
        wires: &mut Wires,
        unsent: &mut Option<AgentMessage>,
        held: &mut bool,
    ) -> Result<String, StreamError> {
        let hello = AgentMessage::Hello {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            holds: wires.holds.borrow().clone(),
        };
        stream.send(&hello).await?;
        if let Some(report) = unsent.as_ref() {
            stream.send(report).await?;
            *unsent = None;
        }
        loop {
            let message = tokio::select! {
                message = stream.next() => message?,
                Some(report) = wires.reports.recv() => {
                    let report = unsent.insert(report);
                    stream.send(report).await?;
                    *unsent = None;
                    continue;
                }
            };
            match message {
                ServerMessage::Hold(snapshot) => {
                    *held = true;
                    let event = Event::Hold { snapshot, received: Instant::now() };
                    wires.events.send(event).await.map_err(|_| StreamError::Unheard)?;
                }
                ServerMessage::Trust { ca } => self.take_trust(ca, wires).await?,
                ServerMessage::Ping => stream.send(&AgentMessage::Pong).await?,
                ServerMessage::Refused { detail } => return Ok(detail),
                ServerMessage::Unknown => tracing::debug!("message of an unknown kind passed over"),
            }
        }
    }

    async fn take_trust(&mut self, ca: String, wires: &Wires) -> Result<(), StreamError> {
        match self.trust(&ca) {
            Ok(()) => {
                wires.events.send(Event::Trust { ca }).await.map_err(|_| StreamError::Unheard)
            }
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    "trust bundle of the server not taken, the one before stays"
                );
                Ok(())
            }
        }
    }
}

/// Says what happens to the connection once for each change, not once for each try.
#[derive(Default)]
struct Notice {
    said: Option<String>,
}

impl Notice {
    fn connected(&mut self, address: &Address) {
        self.said = None;
        tracing::info!(server = %address, "connected");
    }

    fn lost(&mut self, end: &End, address: &Address) {
        if self.said.as_deref() == Some(&end.reason) {
            return;
        }
        self.said = Some(end.reason.clone());
        match end.loss {
            Loss::Refused => {
                tracing::error!(server = %address, reason = end.reason, "login refused, the files stay as they are")
            }
            Loss::Away => {
                tracing::warn!(server = %address, reason = end.reason, "not connected, the files stay as they are")
            }
        }
    }
}
