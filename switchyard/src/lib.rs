//! Switchyard: the control plane of Enclii Secrets.
//!
//! ```text
//! api/         the REST API for people and programs
//! stream/      the agents' streams: who holds what, and the push of new generations
//! identity/    authentication          access, policy (pure)   authorization
//! secrets/     reads and writes from end to end: store, ledger, audit log, push
//! repository/  the ledger in SQL       audit/      the audit log's writer, checkpoints, export
//! replicas/    leader election         live        in-process notification of changes
//! publisher/   SecretBundle status     cluster/    the Kubernetes API
//! serve/       wiring                  rekey       re-encryption under a new key
//! ```

pub mod access;
mod api;
pub mod args;
pub mod audit;
mod certificates;
pub mod cluster;
pub mod delivery;
mod files;
mod generate;
pub mod identity;
mod limit;
mod live;
mod metrics;
pub mod namespaces;
pub mod policy;
pub mod publisher;
mod rekey;
mod replicas;
pub mod repository;
pub mod secret_bundle_key;
mod secrets;
mod serve;
pub mod snapshot;
mod stream;
mod trust;

pub use serve::{ServeError, serve};
