//! What becomes of a pod: annotations in, a decision and a JSON Patch out.
//!
//! Pure: no clock, no environment, no network. The webhook and `enclii inject` share it, so the
//! same pod, bundles and configuration give the same answer in both.

pub mod admit;
pub mod bundles;
pub mod config;
pub mod credential;
mod findings;
pub mod patch;
mod place;
mod plaintext;
pub mod pod;
mod reference;
mod target;
mod wanted;

pub use admit::{Decision, Reason, admit, exempt};
pub use bundles::{Bundle, Bundles};
pub use config::InjectionConfig;
pub use findings::shown;
pub use patch::Operation;
pub use pod::Pod;
