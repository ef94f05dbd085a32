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
//! `101` opens the stream; any other status comes with a problem document that says who was refused
//! what. Then both sides send frames (see [`frame`]). Switchyard tells the pod which generation
//! *this pod* holds ([`ServerMessage::Hold`]), never "the newest": a rollout, its canary and its
//! rollback all use that message, and the agent knows nothing of them. The agent answers with what
//! it applied and how the application reacted. Each side ignores messages of a kind that it does
//! not know, so that the other can be newer.

pub mod frame;
mod message;
mod outcome;
mod words;

pub use message::{
    AgentMessage, BundleGeneration, HeldBundle, HeldSecret, MessageError, ServerMessage, Snapshot,
};
pub use outcome::{CheckOutcome, CheckResult, CheckStage, FailedStep, ReloadOutcome};

/// The path of the request that opens a stream.
pub const PATH: &str = "/v1/agent/stream";

/// The query parameter that names a bundle, once for each.
pub const BUNDLE_PARAMETER: &str = "bundle";

/// The protocol that the request upgrades to.
pub const PROTOCOL: &str = "enclii-stream/1";

/// How often, in seconds, each side sends something at least: without other messages, a
/// [`ServerMessage::Ping`] and its [`AgentMessage::Pong`].
pub const HEARTBEAT_SECONDS: u64 = 15;

/// After this long without a message, in seconds, a side considers the stream dead: two missed
/// heartbeats and some slack.
pub const SILENCE_SECONDS: u64 = 40;
