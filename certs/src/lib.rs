//! The serving certificate of a daemon: issued, renewed, published and replaced while connections
//! stay open.
//!
//! There are two sources. [`manager::CertManager`] runs its own CA; [`files::FileCertificates`]
//! follows the files that cert-manager or an operator puts into a directory. Both give the listener
//! a [`resolver::CertResolver`] and the clients a [`bundle::TrustBundle`]. [`renewal`] decides what
//! to do and when; it reads neither clock nor disk.

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
