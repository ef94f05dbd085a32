//! The serving certificate of a daemon: made, renewed, published and swapped while connections stay
//! up.
//!
//! Two sources with one outcome, a [`resolver::Resolver`] for the listener and a
//! [`bundle::TrustBundle`] for those who must trust it: [`manager::CertManager`] has a CA of its own,
//! [`files::FileCertificates`] follows what cert-manager or an operator puts into a directory. What
//! to do when is decided by [`renewal`], which sees neither clock nor disk.

pub mod alt_names;
pub mod bundle;
pub mod cert_key_pair;
pub mod certificate;
pub mod clock;
pub mod files;
pub mod issue;
pub mod manager;
mod pem;
pub mod renewal;
pub mod resolver;
pub mod state;
pub mod store;
mod watch;
