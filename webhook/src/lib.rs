//! The mutating admission webhook: takes plaintext secrets out of a pod and puts the agent in.
//!
//! The decision is pure ([`admit`]) and shared with `enclii inject`; [`review`] wraps it in the
//! bytes of an AdmissionReview; the rest of the crate is the process around it.

pub mod admit;
pub mod args;
pub mod bundles;
pub mod catalog;
pub mod credential;
mod findings;
pub mod injection;
pub mod metrics;
pub mod patch;
mod place;
mod plaintext;
pub mod pod;
mod reference;
pub mod registration;
pub mod review;
pub mod run;
pub mod server;
mod target;
pub mod trust;
mod version;
mod wanted;
mod watch;
pub mod world;
