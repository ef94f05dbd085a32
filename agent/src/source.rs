//! Where secrets come from. A source runs on its own, reconnects on its own, and says what the pod
//! holds from now on.

pub mod switchyard;

use contract::stream::{AgentMessage, Held, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What this program calls itself towards servers.
pub const USER_AGENT: &str = concat!("enclii-agent/", env!("CARGO_PKG_VERSION"));

/// What a source says.
#[derive(Debug)]
pub enum Event {
    /// The pod holds these generations from now on.
    Hold {
        /// The generations, with the values.
        snapshot: Snapshot,
        /// When the last byte of it was here.
        received: Instant,
    },
    /// There is no connection; another try follows by itself.
    Lost {
        /// Whether the server is there and said that this pod may not read what it asks for.
        refused: bool,
        /// Why.
        reason: String,
    },
    /// These CAs may sign the server's certificate from now on (PEM that has been looked at).
    Trust {
        /// The bundle.
        ca: String,
    },
}

/// What ties a source to the cycle.
#[derive(Debug)]
pub struct Wires {
    /// What the source says. It has room for one, so that values do not pile up.
    pub events: mpsc::Sender<Event>,
    /// What the cycle reports. What could not be delivered goes with the next connection.
    pub reports: mpsc::Receiver<AgentMessage>,
    /// What the files hold right now.
    pub holds: watch::Receiver<Vec<Held>>,
}
