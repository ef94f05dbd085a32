//! Runs the process, from the first listener to the end of the drain.

mod components;

use std::io;
use std::net::SocketAddr;

use certs::alt_names::SubjectAltNamesError;
use runtime::args::DaemonArgs;
use runtime::signals::{Shutdown, ShutdownError, ShutdownTimeouts};
use runtime::tasks::Tasks;

use crate::args::Args;
use crate::metrics::Metrics;
use crate::server::ReviewService;
use crate::state::WebhookState;
use components::{CertificateSource, Components, TrustSource};

/// Why the webhook could not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port is not available.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Neither a service account nor a kubeconfig is usable.
    #[error(
        "set up the Kubernetes client (without a cluster, set --bundles-directory, \
         --trust-directory and --certificates-directory)"
    )]
    Client(#[source] kube::Error),
    /// The service and namespace do not make valid DNS names.
    #[error("name the certificate")]
    Names(#[from] SubjectAltNamesError),
    /// The cryptography provider lacks a TLS version.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The drain did not end in time.
    #[error("stop")]
    Stop(#[from] ShutdownError),
}

/// Runs the webhook until `shutdown`.
///
/// # Errors
/// If it cannot start, or a task does not end in time.
pub async fn run(args: Args, tasks: Tasks, shutdown: Shutdown) -> Result<(), RunError> {
    let Args {
        daemon,
        namespace,
        service,
        tls_secret,
        registration,
        certificates_directory,
        tls_directory,
        bundles_directory,
        trust_config_map,
        trust_directory,
        injection,
    } = args;
    let DaemonArgs { listen, admin, drain_notice, log_filter: _, log_format: _ } = daemon;
    let certificate_source = match (certificates_directory, tls_directory) {
        (Some(directory), _) => CertificateSource::Directory(directory),
        (None, Some(directory)) => CertificateSource::Files(directory),
        (None, None) => CertificateSource::Secret { name: tls_secret, registration },
    };
    let trust_source = match trust_directory {
        Some(directory) => TrustSource::Directory(directory),
        None => TrustSource::ConfigMap { namespace: namespace.clone(), name: trust_config_map },
    };
    let mut components = Components::new(tasks);
    let certificate = components.certificate(certificate_source, &service, &namespace).await?;
    let (catalog, bundles_listed) = components.catalog(bundles_directory).await?;
    let metrics =
        Metrics::register(&mut components.registry, catalog.clone(), certificate.resolver());
    components.register(&certificate, &metrics);
    let trust_known = components.gate(trust_source.gate_name());
    let config = injection.config(namespace);
    let state = WebhookState::new(catalog, config, bundles_listed, trust_known);
    components.trust(trust_source, state.clone()).await?;
    let service = ReviewService::new(state, components.readiness.clone(), metrics);
    let (tasks, readiness) = components.serve(listen, admin, &certificate, service).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %listen, %admin, "webhook started");
    Ok(shutdown
        .wait_and_drain(
            &tasks,
            &readiness,
            ShutdownTimeouts { notice: drain_notice, ..ShutdownTimeouts::default() },
        )
        .await?)
}
