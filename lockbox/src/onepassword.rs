//! The 1Password backend, through Connect's REST API.
//!
//! Connect keeps one value per item and loses the old one at an edit. So each version is an item of
//! its own, the *record*, which nobody edits. Each secret in use also has a *current item*, which
//! shows the active version to people. [`Store::poll_changes`](crate::Store::poll_changes) keeps it
//! up to date and reports edits of it.
//!
//! What Connect lacks is made up for or documented: creations in the vault happen one at a time, a
//! write returns when it is visible, and a failed write of several values is rolled back. A deleted
//! item goes to 1Password's trash and an edited one to its item history, which only 1Password's
//! administrators can empty.
//!
//! - `backend`: the backend's state; `store`: [`Store`](crate::Store) on it.
//! - `sync`, `sync_state`, `current_item`: the current items and people's edits of them.
//! - `vault`, `write`: the vault, its write lock, creating and replacing items.
//! - `item`, `item_title`, `field_text`, `mac`: an item and what is in it; pure.
//! - `client`, `endpoint`, `token`, `retry`, `visibility`: HTTP to Connect.

mod backend;
mod client;
mod config;
mod conformance;
mod current_item;
mod endpoint;
mod error;
mod field_text;
mod item;
mod item_title;
mod mac;
mod retry;
mod store;
mod sync;
mod sync_state;
mod token;
mod vault;
mod visibility;
mod write;

pub use backend::OnePassword;
pub use config::{OnePasswordConfig, SetupError};
pub use error::{ConnectError, ItemError};
