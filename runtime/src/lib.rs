//! What every daemon of Enclii Secrets shares: start, serve, be observed, stop.
//!
//! Nothing here knows what a secret, a pod or a review is. A daemon's `main` combines these parts:
//! [`provider::install`], [`logs::init`], one [`tasks::Tasks`], one [`signals::Shutdown`], a
//! [`tls::serve`] for its work and an [`admin::start`] for its operator.

pub mod address;
pub mod admin;
#[cfg(feature = "clap")]
pub mod args;
#[cfg(feature = "atomic-file")]
pub mod atomic_file;
pub mod backoff;
pub mod bearer;
pub mod byte_budget;
pub mod hardening;
mod heartbeat;
#[cfg(feature = "http-client")]
pub mod http_client;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod private_file;
pub mod provider;
pub mod readiness;
pub mod retry;
pub mod root_certs;
pub mod signals;
pub mod tasks;
pub mod tls;
#[cfg(feature = "watch")]
pub mod watch;
