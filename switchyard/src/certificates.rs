//! The serving certificate: where it comes from, and what the others need of it.

use std::path::PathBuf;
use std::sync::Arc;

use certs::alt_names::SubjectAltNames;
use certs::bundle::TrustBundle;
use certs::clock::Clock;
use certs::files::FileCertificates;
use certs::manager::{CertManager, Settings};
use certs::resolver::Resolver;
use certs::store::CertStore;
use certs::store::directory::DirectoryCertStore;
use certs::store::secret::SecretCertStore;
use kube::Client;
use runtime::readiness::Gate;
use runtime::tasks::Tasks;
use tokio::sync::watch;

/// What people see as the subject of our CA.
const AUTHORITY: &str = "enclii-switchyard";

/// Where the certificate comes from.
pub(crate) enum Source {
    /// A CA of our own, kept in a directory.
    Directory(PathBuf),
    /// Files that somebody else makes.
    Files(PathBuf),
    /// A CA of our own, kept in a Secret.
    Secret { client: Client, namespace: String, name: String },
}

/// What the listener serves and clients must trust.
pub(crate) struct Certificate {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) bundle: watch::Receiver<TrustBundle>,
}

/// Keeps or follows the certificate from now on. `gate` is open while there is a valid one.
pub(crate) fn keep(
    source: Source,
    names: SubjectAltNames,
    gate: Gate,
    tasks: &Tasks,
) -> Certificate {
    match source {
        Source::Directory(path) => own(DirectoryCertStore::new(path), names, gate, tasks),
        Source::Secret { client, namespace, name } => {
            own(SecretCertStore::new(client, &namespace, &name), names, gate, tasks)
        }
        Source::Files(path) => {
            let files = FileCertificates::new(path, Clock::system()).with_gate(gate);
            let certificate = Certificate { resolver: files.resolver(), bundle: files.bundle() };
            tasks.spawn_vital("certificate", files.run(tasks.stopping()));
            certificate
        }
    }
}

fn own(store: impl CertStore, names: SubjectAltNames, gate: Gate, tasks: &Tasks) -> Certificate {
    let manager = CertManager::new(store, Settings::new(AUTHORITY, names)).with_gate(gate);
    let certificate = Certificate { resolver: manager.resolver(), bundle: manager.bundle() };
    tasks.spawn_vital("certificate", manager.run(tasks.stopping()));
    certificate
}
