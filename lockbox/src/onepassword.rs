//! The 1Password backend, through Connect's REST API.
//!
//! Connect keeps one value for an item and loses the old one at an edit, so every version is an
//! item of its own, the record, which nobody edits. Beside them each secret in use has a current
//! item, with the value of the active version, for people:
//! [`Store::changes`](crate::Store::changes) keeps it in step, and an edit of it is a change to
//! adopt.
//!
//! What Connect does not do is made up for, or said: creations to the vault are one at a time, a
//! write returns when it can be seen, several values are undone together where one fails, and a
//! rotation is checked before and after without a promise (`compare_and_set` is false). Deleting an
//! item is what 1Password makes of it: its trash and its item history are its administrators' to
//! empty.

mod again;
mod client;
mod config;
mod error;
mod item;
mod mirror;
mod proof;
mod settle;
mod store;
mod text;
mod title;
mod token;
mod trust;
mod vault;
mod watch;
mod write;

pub use config::{OnePasswordConfig, SetupError};
pub use error::ConnectError;
pub use item::ItemError;
pub use store::OnePassword;
