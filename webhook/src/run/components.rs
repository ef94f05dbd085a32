//! The components of the process and their tasks. The process ends if a vital task ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use certs::alt_names::SubjectAltNames;
use certs::clock::Clock;
use certs::files::FileCertificates;
use certs::followed_secret::FollowedSecret;
use certs::manager::{CertManager, Settings};
use certs::resolver::{CertResolver, H2_AND_HTTP1, server_config, server_config_for};
use certs::store::directory::DirectoryCertStore;
use certs::store::secret::SecretCertStore;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use prometheus_client::registry::Registry;
use runtime::readiness::{Gate, Readiness};
use runtime::tasks::Tasks;
use runtime::tls::Limits;
use rustls::server::danger::ClientCertVerifier;
use tokio::net::TcpListener;

use super::RunError;
use crate::catalog::{Catalog, directory, kubernetes};
use crate::operator_config::{FileIsUsed, OperatorConfig};
use crate::server::ReviewService;
use crate::state::WebhookState;
use crate::{registered, trust, version};

const CERTIFICATE_GATE: &str = "a certificate to serve";

/// Who fills the Secret with the certificate, for a log.
const CERTIFICATE_WRITER: &str = "enclii-webhook certificates (or cert-manager)";

/// The subject of the webhook's CA.
pub(super) const CA_COMMON_NAME: &str = "enclii-webhook";

/// The names that reach the webhook on its own machine.
pub(super) const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

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
    /// A Secret that another program writes.
    Secret {
        /// Its name.
        name: String,
        /// The MutatingWebhookConfiguration whose CAs must have signed the certificate.
        registration: String,
        /// The ValidatingWebhookConfiguration of which the same holds, if there is one.
        plaintext_registration: String,
    },
}

/// The source of the CA that agents trust.
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
            Self::ConfigMap { .. } => "the CA that agents trust, ca.crt in the trust ConfigMap",
            Self::Directory(_) => "the CA that agents trust, ca.crt in the trust directory",
        }
    }
}

/// The port for reviews.
pub(super) struct ReviewPort {
    pub(super) listen: SocketAddr,
    pub(super) resolver: Arc<CertResolver>,
    /// What verifies client certificates, if they are asked for.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    pub(super) service: Arc<ReviewService>,
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

    /// The client of the API server, created when the first component needs it.
    async fn client(&mut self) -> Result<Client, RunError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = Client::try_default().await.map_err(RunError::Client)?;
        Ok(self.client.insert(client).clone())
    }

    /// Starts to manage or follow the serving certificate.
    pub(super) async fn certificate(
        &mut self,
        source: CertificateSource,
        service: &str,
        namespace: &str,
    ) -> Result<Arc<CertResolver>, RunError> {
        let gate = self.gate(CERTIFICATE_GATE);
        let stop = self.tasks.stopping();
        match source {
            CertificateSource::Directory(path) => {
                // Loopback is for a machine without a cluster.
                let names = SubjectAltNames::of_service(service, namespace)?
                    .and(SubjectAltNames::parse(LOOPBACK)?);
                let settings = Settings::new(CA_COMMON_NAME, names);
                let manager =
                    CertManager::new(DirectoryCertStore::new(path), settings).with_gate(gate);
                let resolver = manager.resolver();
                self.tasks.spawn_vital("certificate", manager.run(stop));
                Ok(resolver)
            }
            CertificateSource::Files(path) => {
                let files = FileCertificates::new(path, Clock::system()).with_gate(gate);
                let resolver = files.resolver();
                self.tasks.spawn_vital("certificate", files.run(stop));
                Ok(resolver)
            }
            CertificateSource::Secret { name, registration, plaintext_registration } => {
                let client = self.client().await?;
                let store = SecretCertStore::new(client.clone(), namespace, &name);
                let secret = FollowedSecret::new(store, &name, CERTIFICATE_WRITER, Clock::system())
                    .with_gate(gate);
                let resolver = secret.resolver();
                self.tasks.spawn_vital("certificate", secret.run(stop.clone()));
                let gate = self.gate("a registration that trusts the certificate");
                self.tasks.spawn_vital(
                    "registered",
                    registered::run::<MutatingWebhookConfiguration>(
                        client.clone(),
                        registration,
                        Arc::clone(&resolver),
                        gate,
                        stop.clone(),
                    ),
                );
                let gate = self.gate("a registration for plaintext that trusts the certificate");
                self.tasks.spawn_vital(
                    "registered for plaintext",
                    registered::run::<ValidatingWebhookConfiguration>(
                        client,
                        plaintext_registration,
                        Arc::clone(&resolver),
                        gate,
                        stop,
                    ),
                );
                Ok(resolver)
            }
        }
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

    /// Starts to follow the CA that agents trust.
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

    /// Starts to follow the operator's file.
    pub(super) fn operator_config(
        &mut self,
        settings: OperatorConfig,
        text: String,
        state: WebhookState,
        is_used: FileIsUsed,
    ) {
        let note = self.readiness.note("the configuration file is not used, the log says why");
        let follow = settings.run(text, state, (note, is_used), self.tasks.stopping());
        self.tasks.spawn_vital("configuration", follow);
    }

    /// Starts to follow the API server's version, if there is an API server. `is_given` says that
    /// the operator has named the version on which injections depend.
    pub(super) fn version(&self, is_given: bool, state: WebhookState) {
        let Some(client) = self.client.clone() else { return };
        let gate = self.gate("a Kubernetes API server of 1.28 or newer");
        let state = (!is_given).then_some(state);
        if let Some(state) = &state {
            state.set_kubernetes(None);
        }
        let refresh = version::REFRESH_INTERVAL;
        let follow = version::follow(client, gate, state, refresh, self.tasks.stopping());
        self.tasks.spawn("version", follow);
    }

    /// Opens both ports. Consumes the components, so it comes last.
    pub(super) async fn serve(
        self,
        port: ReviewPort,
        limits: Limits,
        admin: SocketAddr,
    ) -> Result<(Tasks, Readiness), RunError> {
        let ReviewPort { listen, resolver, verifier, service } = port;
        let tls = Arc::new(match verifier {
            Some(verifier) => server_config_for(resolver, H2_AND_HTTP1, verifier)?,
            None => server_config(resolver, H2_AND_HTTP1)?,
        });
        let (reviews, admin) = (bind(listen)?, bind(admin)?);
        let Self { tasks, readiness, registry, client: _ } = self;
        serve_admin(admin, registry, &readiness, &tasks)?;
        let handler = move |request| Arc::clone(&service).answer(request);
        tasks.spawn_vital(
            "reviews",
            runtime::tls::serve(reviews, tls, limits, handler, tasks.clone()),
        );
        Ok((tasks, readiness))
    }
}

/// Serves metrics and probes.
pub(super) fn serve_admin(
    listener: TcpListener,
    registry: Registry,
    readiness: &Readiness,
    tasks: &Tasks,
) -> Result<(), RunError> {
    runtime::admin::start(listener, registry, readiness, tasks).map_err(RunError::AdminPort)
}

pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    runtime::listen::bind(address).map_err(|source| RunError::Listen { address, source })
}
