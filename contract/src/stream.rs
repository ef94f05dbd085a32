//! The stream between an agent and switchyard.
//!
//! The agent opens it with one HTTP/1.1 request and an upgrade:
//!
//! ```text
//! GET /v1/agent/stream?bundle=api-prod HTTP/1.1
//! Authorization: Bearer <the pod's service-account token, audience enclii.io>
//! Connection: Upgrade
//! Upgrade: enclii-stream/1
//! ```
//!
//! `101` opens the stream, and anything else is a problem document that says who was refused what.
//! From then on both sides send frames (see [`frame`]). Switchyard tells the pod which generation
//! *this pod* holds ([`ServerMessage::Hold`]), never "the newest": a rollout, its canary and its
//! rollback are all that one message, and the agent knows nothing of them. The agent answers with
//! what it applied and how the application took it. Messages of a kind that a side does not know
//! are passed over, so that one side can be newer.

pub mod frame;
mod message;

pub use message::{
    AgentMessage, Held, HeldBundle, HeldSecret, MessageError, Outcome, ServerMessage, Snapshot,
    Step,
};

/// The path of the request that opens a stream.
pub const PATH: &str = "/v1/agent/stream";

/// The query parameter that names a bundle, once for each.
pub const BUNDLE_PARAMETER: &str = "bundle";

/// The protocol that the request upgrades to.
pub const PROTOCOL: &str = "enclii-stream/1";

/// Each side sends something at least this often, in seconds: a [`ServerMessage::Ping`] and its
/// [`AgentMessage::Pong`] where there is nothing else to say.
pub const HEARTBEAT_SECONDS: u64 = 15;

/// A side that has heard nothing for this long, in seconds, takes the stream for dead: two missed
/// heartbeats and some slack.
pub const SILENCE_SECONDS: u64 = 40;
