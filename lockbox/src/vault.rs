//! The `vault` backend: values in the KV v2 engine of HashiCorp Vault or OpenBao.
//!
//! - `store`: the [`Store`](crate::Store); `base` and `write`: its changes, which are a loop of
//!   read, decide, write with compare-and-set.
//! - `entry`, `change`: the KV entry of a scope as a value, and what comes after it; pure.
//! - `apart`: values in entries of their own, out of the reach of KV's eviction.
//! - `kv`: the engine's calls with their odd answers made plain.
//! - `session`, `login`, `renewal`: the token, got, renewed in time and got again.
//! - `transit`: a key of the transit engine, under which the `embedded` store can seal.
//! - `client`: the only place that speaks HTTP, with requests that vaultrs makes.
//!
//! One entry per scope, whose keys are the secrets' names: a change of several keys is one KV
//! version, and a program that knows nothing but Vault reads it plainly. What is not text is in
//! base64 there, and the reserved key `.lockbox`, which can be no secret's name, says which, and
//! which versions exist.

mod apart;
mod base;
mod call;
mod change;
mod client;
mod config;
mod entry;
mod kv;
mod login;
mod paths;
mod place;
mod renewal;
mod session;
mod store;
mod transit;
mod write;

pub use call::CallError;
pub use config::{ConfigError, VaultConfig, VaultLogin};
pub use store::Vault;
pub use transit::Transit;
