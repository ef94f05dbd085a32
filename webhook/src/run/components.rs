//! The components of the process and their tasks. The process ends if a vital task ends.

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
use crate::registration::CaBundleReconciler;
use crate::server::ReviewService;
use crate::state::WebhookState;
use crate::{trust, version};

const CERTIFICATE_GATE: &str = "a certificate to serve";

/// Builds the components and spawns their tasks.
pub(super) struct Components {
    tasks: Tasks,
    pub(super) readiness: Readiness,
    pub(super) registry: Registry,
    client: Option<Client>,
}

/// The source of the serving certificate.
pub(super) enum CertificateSource {
    /// A CA of the webhook's own, in a directory.
    Directory(PathBuf),
    /// Files that another program writes.
    Files(PathBuf),
    /// A CA of the webhook's own, in a Secret, registered with the API server.
    Secret { name: String, registration: String },
}

/// The source of switchyard's CA.
pub(super) enum TrustSource {
    /// The ConfigMap that switchyard publishes.
    ConfigMap { namespace: String, name: String },
    /// A directory, without a cluster.
    Directory(PathBuf),
}

impl TrustSource {
    /// The name of the gate that opens when the CA is known.
    pub(super) fn gate_name(&self) -> &'static str {
        match self {
            Self::ConfigMap { .. } => "switchyard's CA, ca.crt in the trust ConfigMap",
            Self::Directory(_) => "switchyard's CA, ca.crt in the trust directory",
        }
    }
}

/// The serving certificate, and the registration that needs its CA.
pub(super) struct ServingCertificate {
    resolver: Arc<CertResolver>,
    registration: Option<RegistrationTarget>,
}

struct RegistrationTarget {
    client: Client,
    name: String,
    bundle: watch::Receiver<TrustBundle>,
}

impl ServingCertificate {
    pub(super) fn resolver(&self) -> Arc<CertResolver> {
        Arc::clone(&self.resolver)
    }
}

impl Components {
    pub(super) fn new(tasks: Tasks) -> Self {
        let mut registry = Registry::default();
        runtime::metrics::register_process(&mut registry, SystemTime::now());
        Self { tasks, readiness: Readiness::new(), registry, client: None }
    }

    pub(super) fn gate(&self, name: &'static str) -> Gate {
        self.readiness.gate(name)
    }

    /// The client of the API server, created when the first component needs it. From then on the
    /// API server's version is checked.
    async fn client(&mut self) -> Result<Client, RunError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = Client::try_default().await.map_err(RunError::Client)?;
        let gate = self.gate("a Kubernetes API server of 1.29 or newer");
        self.tasks.spawn("version", version::check(client.clone(), gate, self.tasks.stopping()));
        Ok(self.client.insert(client).clone())
    }

    /// Starts to manage or follow the serving certificate.
    pub(super) async fn certificate(
        &mut self,
        source: CertificateSource,
        service: &str,
        namespace: &str,
    ) -> Result<ServingCertificate, RunError> {
        // Loopback is for a machine without a cluster and for `kubectl port-forward`.
        let names = SubjectAltNames::of_service(service, namespace)?
            .and(SubjectAltNames::parse(["localhost", "127.0.0.1", "::1"])?);
        Ok(match source {
            CertificateSource::Directory(path) => {
                let (resolver, _) = self.manage_certificate(DirectoryCertStore::new(path), names);
                ServingCertificate { resolver, registration: None }
            }
            CertificateSource::Files(path) => {
                let files = FileCertificates::new(path, Clock::system())
                    .with_gate(self.gate(CERTIFICATE_GATE));
                let resolver = files.resolver();
                self.tasks.spawn_vital("certificate", files.run(self.tasks.stopping()));
                ServingCertificate { resolver, registration: None }
            }
            CertificateSource::Secret { name, registration } => {
                let client = self.client().await?;
                let store = SecretCertStore::new(client.clone(), namespace, &name);
                let (resolver, bundle) = self.manage_certificate(store, names);
                let target = RegistrationTarget { client, name: registration, bundle };
                ServingCertificate { resolver, registration: Some(target) }
            }
        })
    }

    fn manage_certificate(
        &self,
        store: impl CertStore + 'static,
        names: SubjectAltNames,
    ) -> (Arc<CertResolver>, watch::Receiver<TrustBundle>) {
        let manager = CertManager::new(store, Settings::new("enclii-webhook", names))
            .with_gate(self.gate(CERTIFICATE_GATE));
        let outputs = (manager.resolver(), manager.bundle());
        self.tasks.spawn_vital("certificate", manager.run(self.tasks.stopping()));
        outputs
    }

    /// Starts to keep the CA registered, if the webhook manages its own.
    pub(super) fn register(&self, certificate: &ServingCertificate, metrics: &Metrics) {
        let Some(RegistrationTarget { client, name, bundle }) = &certificate.registration else {
            return;
        };
        let gate = self.gate("its CA in the MutatingWebhookConfiguration");
        let registration = CaBundleReconciler::new(
            client.clone(),
            name.clone(),
            bundle.clone(),
            gate,
            metrics.clone(),
        );
        self.tasks.spawn_vital("registration", registration.run(self.tasks.stopping()));
    }

    /// Starts to fill the catalog. The gate opens after the first list.
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

    /// Starts to follow switchyard's CA.
    pub(super) async fn trust(
        &mut self,
        source: TrustSource,
        state: WebhookState,
    ) -> Result<(), RunError> {
        let stop = self.tasks.stopping();
        match source {
            TrustSource::Directory(path) => {
                self.tasks.spawn_vital("trust", trust::directory::run(path, state, stop));
            }
            TrustSource::ConfigMap { namespace, name } => {
                let client = self.client().await?;
                let follow = trust::config_map::run(client, namespace, name, state, stop);
                self.tasks.spawn_vital("trust", follow);
            }
        }
        Ok(())
    }

    /// Opens both ports. Consumes the components, so it comes last.
    pub(super) async fn serve(
        self,
        listen: SocketAddr,
        admin: SocketAddr,
        certificate: &ServingCertificate,
        service: Arc<ReviewService>,
    ) -> Result<(Tasks, Readiness), RunError> {
        let tls = Arc::new(server_config(certificate.resolver(), H2_AND_HTTP1)?);
        let (reviews, admin) = (bind(listen)?, bind(admin)?);
        let Self { tasks, readiness, registry, client: _ } = self;
        tasks.spawn_vital(
            "admin",
            runtime::admin::serve(admin, Arc::new(registry), readiness.clone(), tasks.clone()),
        );
        let handler = move |request| Arc::clone(&service).answer(request);
        tasks.spawn_vital(
            "reviews",
            runtime::tls::serve(reviews, tls, Limits::default(), handler, tasks.clone()),
        );
        Ok((tasks, readiness))
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    runtime::listen::bind(address).map_err(|source| RunError::Listen { address, source })
}
