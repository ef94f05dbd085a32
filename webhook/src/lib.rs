//! The mutating admission webhook: takes plaintext secrets out of a pod and puts the agent in.
//!
//! The decision is pure ([`admit`]) and shared with `enclii inject`; [`review`] wraps it in the
//! bytes of an AdmissionReview; the rest of the crate is the process around it.

pub mod args;
pub mod catalog;
pub mod metrics;
pub mod registration;
pub mod review;
pub mod run;
pub mod server;
pub mod trust;
mod version;
mod watch;
pub mod world;
