//! The audit trail as records: what an event says, how records hang together, and how others read
//! them.
//!
//! Pure: no clock, no environment, no file. Each record carries the hash of the one before and of
//! itself ([`chain`]), so that a change anywhere shows in everything behind it ([`Verifier`]); a
//! signed [`Checkpoint`] that is kept elsewhere shows what the chain alone cannot.

mod canonical;
mod checkpoint;
mod event;
#[cfg(test)]
mod fixture;
mod format;
mod hash;
mod record;
mod verify;

pub use canonical::canonical;
pub use checkpoint::{Checkpoint, KeyError, PublicKey, SigningKey};
pub use event::{Action, Actor, Event, Origin, Outcome, Pod, Resource, ResourceKind};
pub use format::{Format, FormatError, syslog};
pub use hash::{Hash, HashError, chain};
pub use record::Record;
pub use verify::{Finding, Kind, Report, Start, Verifier, verify};
