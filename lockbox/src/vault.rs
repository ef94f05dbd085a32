//! The `vault` backend: values in the KV v2 engine of HashiCorp Vault or OpenBao.
//!
//! - `backend`: the backend's state; `store`: [`Store`](crate::Store) on it.
//! - `write`, `commit`: a change of an entry, a loop of read, decide, compare-and-set write.
//! - `entry_state`: what a change starts from; `scope_locks`: one writer per scope.
//! - `entry`, `entry_version`, `plan`: the KV entry of a scope as a value, and what comes after it;
//!   pure.
//! - `overflow`: values in entries of their own, which KV's eviction does not touch.
//! - `kv`: the engine's calls, with their odd answers made plain; `paths`: where entries are.
//! - `session`, `login`, `renewal`: the token is obtained, renewed in time and replaced.
//! - `transit`: a key of the transit engine, under which the `embedded` store can seal.
//! - `client`, `response`: the only place that speaks HTTP, with requests that vaultrs builds.
//!
//! Each scope has one entry, whose keys are the secrets' names. A change of several secrets is one
//! KV version, and a program that knows only Vault can read it. Values that are not UTF-8 are in
//! base64. The reserved key `.lockbox`, which is not a valid secret name, says which those are and
//! which versions exist.

mod backend;
mod client;
mod commit;
mod config;
mod conformance;
mod entry;
mod entry_state;
mod entry_version;
mod kv;
mod login;
mod overflow;
mod paths;
mod plan;
mod renewal;
mod response;
mod scope_locks;
mod session;
mod store;
mod transit;
mod write;

pub use backend::Vault;
pub use config::{ConfigError, VaultConfig, VaultLogin};
pub use response::VaultError;
pub use transit::Transit;
