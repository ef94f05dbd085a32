//! Where secrets come from. A source runs as its own task, reconnects by itself, and reports which
//! generations the pod holds from now on.

mod address;
mod configured;
pub mod switchyard;
mod tls;
mod token_file;
pub mod vault;
mod wiped_io;

use contract::stream::{AgentMessage, BundleGeneration, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::refused::RefusedGenerations;
pub use address::AddressError;
pub use configured::{ConfiguredSource, SourceError};
pub use tls::TrustError;

/// The `User-Agent` header of the agent's requests.
pub const USER_AGENT: &str = concat!("enclii-agent/", env!("CARGO_PKG_VERSION"));

/// What a source reports to the supervisor.
#[derive(Debug)]
pub enum SourceEvent {
    /// The pod holds these generations from now on.
    Snapshot {
        /// The generations, with the values.
        snapshot: Snapshot,
        /// When its last byte arrived.
        received_at: Instant,
    },
    /// The server has accepted the pod.
    Connected,
    /// The connection is lost, or a secret cannot be had; the source tries again by itself.
    Disconnected {
        /// Whether the server is reachable and denied the pod access to its bundles.
        denied: bool,
        /// Why.
        reason: String,
    },
    /// The application's requests are counted for some time from now on.
    CountRequests {
        /// For how long, in seconds.
        seconds: u32,
    },
    /// The supervisor has nothing more to report: the stream is closed, and no other follows.
    Finished,
    /// These CAs may sign the server's certificate from now on.
    TrustBundle {
        /// The CAs as PEM, already parsed successfully.
        ca: String,
    },
}

/// The channels between a source and the supervisor.
#[derive(Debug)]
pub struct SourceChannels {
    /// Events of the source. The capacity is one, so that values do not queue up in memory.
    pub events: mpsc::Sender<SourceEvent>,
    /// Reports of the supervisor. Undelivered ones are sent on the next connection. When the
    /// supervisor drops its side, the source finishes after the last of them.
    pub reports: mpsc::Receiver<AgentMessage>,
    /// The generations that the files hold.
    pub held: watch::Receiver<Vec<BundleGeneration>>,
    /// Whether the supervisor can count the application's requests.
    pub counts_requests: bool,
    /// Whether a crash may have left files of other generations in some volumes, so that the
    /// current generation has to come once more.
    pub is_mixed: bool,
    /// The generations that failed a check. They are not to be sent again.
    pub refused: watch::Receiver<RefusedGenerations>,
}
