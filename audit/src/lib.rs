//! The audit log's data model: events, numbered records, the hash chain, signed checkpoints and the
//! export formats.
//!
//! Pure: no clock, no environment, no files. Each record's hash covers the record and the hash of
//! the record before it ([`chain_hash`]), so the [`Verifier`] notices a change anywhere. A signed
//! [`Checkpoint`] stored outside the database reveals what the chain alone cannot: a truncated or
//! completely rewritten log.

mod canonical;
mod checkpoint;
mod event;
#[cfg(test)]
mod fixture;
mod format;
mod hash;
mod record;
mod verify;

pub use canonical::canonicalize;
pub use checkpoint::{Checkpoint, KeyError, PublicKey, SigningKey};
pub use event::{Action, Actor, Event, Origin, Outcome, Pod, Resource, ResourceKind};
pub use format::{Format, FormatError, syslog};
pub use hash::{Hash, HashError, chain_hash};
pub use record::Record;
pub use verify::{Finding, Report, StartingPoint, Tampering, Verifier, verify};
