//! The audit trail as records: what an event says, how records hang together, and how others read them.
//!
//! Pure: no clock, no environment, no file. Each record carries the hash of the one before and of
//! itself ([`chain`]), so that a change anywhere shows in everything behind it.

mod canonical;
mod event;
#[cfg(test)]
mod fixture;
mod hash;
mod record;

pub use canonical::canonical;
pub use event::{Action, Actor, Event, Origin, Outcome, Pod, Resource, ResourceKind};
pub use hash::{Hash, HashError, chain};
pub use record::Record;
