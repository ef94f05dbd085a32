//! The audit log: who did what to which secret, when, from where and with what result.
//!
//! Events contain names and numbers, never a secret value or a hash of one. An event is durable
//! before any value that it is about leaves the process. If it cannot be written, nothing leaves.

mod checkpoint_file;
mod checkpoints;
mod export;
mod queue;
mod sanitize;
mod writer;

pub use audit::{Action, Actor, Event, Origin, Outcome, Pod, Resource, ResourceKind};
pub use checkpoints::SigningKeyError;
pub(crate) use checkpoints::{CheckpointSchedule, CheckpointSigner, signing_key};
pub use export::SinksError;
pub(crate) use export::{Exporter, read as read_sinks};
pub(crate) use sanitize::MAX_TEXT_CHARS;
pub use sanitize::sanitize;
pub use writer::{AuditError, AuditLog, AuditWriter};
