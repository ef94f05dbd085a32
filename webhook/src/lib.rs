//! The mutating admission webhook: replaces plaintext secrets in pods by files and adds the agent.
//!
//! The decision is in crate `injection`, shared with `enclii inject`. [`review`] wraps it in the
//! bytes of an AdmissionReview. The rest of the crate is the process around it.

pub mod args;
pub mod callers;
pub mod catalog;
pub mod keeper_metrics;
pub mod metrics;
pub mod operator_config;
mod poll;
pub mod registered;
pub mod registration;
pub mod review;
pub mod run;
pub mod server;
pub mod state;
pub mod trust;
pub mod version;
