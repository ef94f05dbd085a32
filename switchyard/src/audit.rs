//! The audit trail: who did what to which secret, when, from where, and what came of it.
//!
//! An event holds names and numbers, never a value and no hash of one. It is durable before any
//! value that it is about leaves the process; where it cannot be written, nothing leaves.

mod checkpoints;
mod export;
mod place;
mod plain;
mod writer;

pub use audit::{Action, Actor, Event, Origin, Outcome, Pod, Resource, ResourceKind};
pub use checkpoints::SigningKeyError;
pub(crate) use checkpoints::{Notary, Pace, signing_key};
pub use export::SinksError;
pub(crate) use export::{Exporter, read as read_sinks};
pub use plain::plain;
pub use writer::{Audit, AuditError, Clerk};
