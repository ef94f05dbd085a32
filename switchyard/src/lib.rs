//! Switchyard: the control plane of Enclii Secrets.
//!
//! ```text
//! api         the REST API for people and programs
//! stream      one stream per agent: which pod holds what, and the push of updates
//! app         what api and stream share: state, authentication, limits, errors
//! identity    authentication      access, policy (pure)   authorization
//! secrets     writes and reads from end to end: store, ledger, audit log, push
//! repository  the ledger          audit       the audit log
//! agents      what agents say of their pods
//! epoch       notices a ledger that was restored or replaced
//! expiry_watch counts credentials that end at their issuer
//! replicas    leases, and the updates of other replicas
//! publisher   publishes the keys of bundles
//! cluster     the Kubernetes API  trust       the CAs of switchyard
//! ```

pub mod access;
mod agents;
mod api;
mod app;
pub mod args;
pub mod audit;
mod bundle_updates;
mod certificates;
pub mod cluster;
pub mod delivery;
mod disk;
mod epoch;
mod expiry_watch;
mod files;
mod generate;
pub mod identity;
mod ledger_key;
mod ledger_watch;
mod metrics;
pub mod namespaces;
mod pod_requests;
pub mod policy;
pub mod publisher;
pub mod references;
mod rekey;
mod replicas;
pub mod repository;
pub mod secret_bundle_ref;
mod secrets;
mod serve;
pub mod snapshot;
mod stream;
mod token_bucket;
mod trust;

pub use serve::{ServeError, serve};
