//! The serving certificate of a daemon: issued, renewed, published and replaced while connections
//! stay open.
//!
//! There are three sources. [`manager::CertManager`] runs its own CA; [`files::FileCertificates`]
//! follows the files that cert-manager or an operator puts into a directory, and
//! [`followed_secret::FollowedSecret`] a Secret. Each gives the listener a
//! [`resolver::CertResolver`]. [`publish::CertPublisher`] hands what a manager made to followers.
//! [`renewal`] decides what to do and when; it reads neither clock nor disk.

mod accepted;
pub mod alt_names;
pub mod bundle;
pub mod cert_key_pair;
pub mod certificate;
pub mod clock;
pub mod files;
pub mod followed_secret;
pub mod issue;
pub mod manager;
mod pem;
pub mod publish;
pub mod renewal;
pub mod resolver;
pub mod state;
pub mod store;
