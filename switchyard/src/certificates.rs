//! The serving certificate: its source, its renewal, and the CAs that clients must trust.

use std::path::PathBuf;
use std::sync::Arc;

use certs::alt_names::SubjectAltNames;
use certs::bundle::TrustBundle;
use certs::clock::Clock;
use certs::files::FileCertificates;
use certs::manager::{CertManager, Settings};
use certs::resolver::CertResolver;
use certs::store::CertStore;
use certs::store::directory::DirectoryCertStore;
use certs::store::secret::SecretCertStore;
use kube::Client;
use runtime::readiness::Gate;
use runtime::tasks::Tasks;
use tokio::sync::watch;

/// The subject of our own CA.
const CA_NAME: &str = "enclii-switchyard";

/// Where the certificate comes from.
pub(crate) enum CertificateSource {
    /// Our own CA, stored in a directory.
    Directory(PathBuf),
    /// Certificate files that someone else maintains.
    Files(PathBuf),
    /// Our own CA, stored in a Secret.
    Secret { client: Client, namespace: String, name: String },
}

/// The certificate that the listener serves, and the CAs that clients must trust.
pub(crate) struct ServingCertificate {
    pub(crate) resolver: Arc<CertResolver>,
    pub(crate) bundle: watch::Receiver<TrustBundle>,
}

/// Starts a task that renews or reloads the certificate. `gate` is open while it is valid.
pub(crate) fn start(
    source: CertificateSource,
    names: SubjectAltNames,
    gate: Gate,
    tasks: &Tasks,
) -> ServingCertificate {
    match source {
        CertificateSource::Directory(path) => {
            own_ca(DirectoryCertStore::new(path), names, gate, tasks)
        }
        CertificateSource::Secret { client, namespace, name } => {
            own_ca(SecretCertStore::new(client, &namespace, &name), names, gate, tasks)
        }
        CertificateSource::Files(path) => {
            let files = FileCertificates::new(path, Clock::system()).with_gate(gate);
            let certificate =
                ServingCertificate { resolver: files.resolver(), bundle: files.bundle() };
            tasks.spawn_vital("certificate", files.run(tasks.stopping()));
            certificate
        }
    }
}

fn own_ca(
    store: impl CertStore,
    names: SubjectAltNames,
    gate: Gate,
    tasks: &Tasks,
) -> ServingCertificate {
    let manager = CertManager::new(store, Settings::new(CA_NAME, names)).with_gate(gate);
    let certificate = ServingCertificate { resolver: manager.resolver(), bundle: manager.bundle() };
    tasks.spawn_vital("certificate", manager.run(tasks.stopping()));
    certificate
}
