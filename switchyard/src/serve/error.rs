//! Why switchyard does not run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use certs::alt_names::SubjectAltNamesError;
use lockbox::database::OpenError;
use runtime::signals::ShutdownError;

use super::store::StoreOpenError;
use crate::audit::{SigningKeyError, SinksError};
use crate::identity::{BootstrapError, DevelopmentError, OidcSetupError, WorkloadConfigError};
use crate::ledger_key::LedgerKeyError;
use crate::repository::RepositoryError;

/// Why switchyard could not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be created.
    #[error("create data directory {path}")]
    Data {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The thread of the admin port cannot be started.
    #[error("start the admin port")]
    AdminPort(#[source] io::Error),
    /// The file with the database URL cannot be read.
    #[error("read database URL from {path}")]
    DatabaseUrl {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] RepositoryError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    /// The ledger's key cannot be read or made.
    #[error(transparent)]
    LedgerKey(#[from] LedgerKeyError),
    /// The development identities cannot be read.
    #[error(transparent)]
    Development(#[from] DevelopmentError),
    /// Development identities are only allowed on loopback addresses.
    #[error(
        "use development identities: {0} is not a loopback address, and anyone with the file can \
            act as every \
         pod in it"
    )]
    NotLoopback(SocketAddr),
    /// Neither a service account nor a kubeconfig is usable.
    #[error("set up the Kubernetes client (without a cluster, give --development-identities)")]
    Client(#[source] kube::Error),
    /// The first administrator's token cannot be created or stored.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The identity provider cannot be set up.
    #[error(transparent)]
    Oidc(#[from] OidcSetupError),
    /// The issuers of jobs are not configured well.
    #[error(transparent)]
    WorkloadIssuers(#[from] WorkloadConfigError),
    /// A certificate name is invalid.
    #[error("name the certificate")]
    Names(#[from] SubjectAltNamesError),
    /// The cryptography provider lacks a TLS version.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// A port cannot be bound.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The key that signs audit checkpoints is not available.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// The audit sinks are misconfigured.
    #[error(transparent)]
    Sinks(#[from] SinksError),
    /// The drain did not finish cleanly.
    #[error("stop")]
    Stop(#[from] ShutdownError),
}
