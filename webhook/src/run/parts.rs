//! The parts of the process and their tasks. Each that the webhook is of no use without is vital.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use certs::alt_names::SubjectAltNames;
use certs::bundle::TrustBundle;
use certs::clock::Clock;
use certs::files::FileCertificates;
use certs::manager::{CertManager, Settings};
use certs::resolver::{CertResolver, H2_AND_HTTP1, server_config};
use certs::store::CertStore;
use certs::store::directory::DirectoryCertStore;
use certs::store::secret::SecretCertStore;
use kube::Client;
use prometheus_client::registry::Registry;
use runtime::readiness::{Gate, Readiness};
use runtime::tasks::Tasks;
use runtime::tls::Limits;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::RunError;
use crate::catalog::{Catalog, directory, kubernetes};
use crate::metrics::Metrics;
use crate::registration::Registration;
use crate::server::Service;
use crate::world::Known;
use crate::{trust, version};

/// What the parts are made with.
pub(super) struct Parts {
    tasks: Tasks,
    pub(super) readiness: Readiness,
    pub(super) registry: Registry,
    client: Option<Client>,
}

/// Where the serving certificate comes from.
pub(super) enum CertificateSource {
    /// A CA of our own, kept in a directory.
    Directory(PathBuf),
    /// Files that somebody else makes.
    Files(PathBuf),
    /// A CA of our own, kept in a Secret and registered with the API server.
    Secret { name: String, registration: String },
}

/// The serving certificate, and where its CA is to be registered.
pub(super) struct Certificate {
    resolver: Arc<CertResolver>,
    registered: Option<Registered>,
}

struct Registered {
    client: Client,
    name: String,
    bundle: watch::Receiver<TrustBundle>,
}

impl Certificate {
    pub(super) fn resolver(&self) -> Arc<CertResolver> {
        Arc::clone(&self.resolver)
    }
}

impl Parts {
    pub(super) fn new(tasks: Tasks) -> Self {
        let mut registry = Registry::default();
        runtime::metrics::register_process(&mut registry, SystemTime::now());
        Self { tasks, readiness: Readiness::new(), registry, client: None }
    }

    pub(super) fn gate(&self, name: &'static str) -> Gate {
        self.readiness.gate(name)
    }

    /// The client of the API server, made when the first part needs it: then its version counts
    /// too.
    async fn client(&mut self) -> Result<Client, RunError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = Client::try_default().await.map_err(RunError::Client)?;
        let gate = self.gate("a Kubernetes API server of 1.29 or newer");
        self.tasks.spawn("version", version::check(client.clone(), gate, self.tasks.stopping()));
        Ok(self.client.insert(client).clone())
    }

    /// Keeps or follows the serving certificate.
    pub(super) async fn certificate(
        &mut self,
        source: CertificateSource,
        service: &str,
        namespace: &str,
    ) -> Result<Certificate, RunError> {
        // Loopback, for a machine without a cluster and for `kubectl port-forward`.
        let names = SubjectAltNames::of_service(service, namespace)?
            .and(SubjectAltNames::parse(["localhost", "127.0.0.1", "::1"])?);
        Ok(match source {
            CertificateSource::Directory(path) => Certificate {
                resolver: self.keep(DirectoryCertStore::new(path), names).0,
                registered: None,
            },
            CertificateSource::Files(path) => {
                let files =
                    FileCertificates::new(path, Clock::system()).with_gate(self.gate(CERTIFICATE));
                let resolver = files.resolver();
                self.tasks.spawn_vital("certificate", files.run(self.tasks.stopping()));
                Certificate { resolver, registered: None }
            }
            CertificateSource::Secret { name, registration } => {
                let client = self.client().await?;
                let (resolver, bundle) =
                    self.keep(SecretCertStore::new(client.clone(), namespace, &name), names);
                Certificate {
                    resolver,
                    registered: Some(Registered { client, name: registration, bundle }),
                }
            }
        })
    }

    fn keep(
        &self,
        store: impl CertStore + 'static,
        names: SubjectAltNames,
    ) -> (Arc<CertResolver>, watch::Receiver<TrustBundle>) {
        let manager = CertManager::new(store, Settings::new("enclii-webhook", names))
            .with_gate(self.gate(CERTIFICATE));
        let kept = (manager.resolver(), manager.bundle());
        self.tasks.spawn_vital("certificate", manager.run(self.tasks.stopping()));
        kept
    }

    /// Keeps the CA registered, where it is ours.
    pub(super) fn register(&self, certificate: &Certificate, metrics: &Metrics) {
        let Some(Registered { client, name, bundle }) = &certificate.registered else { return };
        let gate = self.gate("its CA in the MutatingWebhookConfiguration");
        let registration =
            Registration::new(client.clone(), name.clone(), bundle.clone(), gate, metrics.clone());
        self.tasks.spawn_vital("registration", registration.run(self.tasks.stopping()));
    }

    /// Keeps the catalog; its gate opens with the first listing.
    pub(super) async fn catalog(
        &mut self,
        bundles: Option<PathBuf>,
    ) -> Result<(Catalog, Gate), RunError> {
        let (catalog, gate) = (Catalog::default(), self.gate("a list of the bundles"));
        let stop = self.tasks.stopping();
        match bundles {
            Some(path) => self
                .tasks
                .spawn_vital("bundles", directory::run(path, catalog.clone(), gate.clone(), stop)),
            None => {
                let client = self.client().await?;
                self.tasks.spawn_vital(
                    "bundles",
                    kubernetes::run(client, catalog.clone(), gate.clone(), stop),
                );
            }
        }
        Ok((catalog, gate))
    }

    /// Keeps switchyard's CA.
    pub(super) fn trust(&self, directory: PathBuf, known: Known, gate: Gate) {
        self.tasks.spawn_vital("trust", trust::run(directory, known, gate, self.tasks.stopping()));
    }

    /// Opens both ports. The last step, since it gives the parts away.
    pub(super) async fn serve(
        self,
        listen: SocketAddr,
        admin: SocketAddr,
        certificate: &Certificate,
        service: Arc<Service>,
    ) -> Result<(Tasks, Readiness), RunError> {
        let tls = Arc::new(server_config(certificate.resolver(), H2_AND_HTTP1)?);
        let (reviews, operator) = (bind(listen)?, bind(admin)?);
        let Self { tasks, readiness, registry, client: _ } = self;
        tasks.spawn_vital(
            "admin",
            runtime::admin::serve(operator, Arc::new(registry), readiness.clone(), tasks.clone()),
        );
        let handler = move |request| Arc::clone(&service).answer(request);
        tasks.spawn_vital(
            "reviews",
            runtime::tls::serve(reviews, tls, Limits::default(), handler, tasks.clone()),
        );
        Ok((tasks, readiness))
    }
}

const CERTIFICATE: &str = "a certificate to serve";

fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    runtime::listen::bind(address).map_err(|source| RunError::Listen { address, source })
}
