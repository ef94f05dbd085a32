//! Switchyard: the control plane of Enclii Secrets.
//!
//! ```text
//! api/        the REST API: people and programs
//! stream/     one stream for each agent: who holds what, and the push of what is new
//! identity/   who is asking            access, policy (pure)   whether they may
//! secrets     a write or a read from end to end: store, ledger, audit trail, push
//! repository/ the ledger               audit/   the trail      live   the news of the moment
//! replicas/   leases, news of others
//! publisher/  announces bundles' keys  cluster/ the Kubernetes API     trust   our CAs
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
mod namespaces;
pub mod policy;
pub mod publisher;
mod rekey;
mod replicas;
pub mod repository;
mod secrets;
mod serve;
pub mod snapshot;
mod stream;
mod trust;

pub use serve::{ServeError, serve};
