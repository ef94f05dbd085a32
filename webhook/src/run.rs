//! The process: its parts, wired together, from the first listener to the end of the drain.

mod parts;

use std::io;
use std::net::SocketAddr;

use certs::alt_names::SubjectAltNamesError;
use runtime::args::DaemonArgs;
use runtime::signals::{Shutdown, ShutdownError, ShutdownTimeouts};
use runtime::tasks::Tasks;

use crate::args::Args;
use crate::metrics::Metrics;
use crate::server::Service;
use crate::world::Known;
use parts::{CertificateSource, Parts};

/// Why the webhook could not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port could not be had.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Neither a service account nor a kubeconfig is usable.
    #[error(
        "set up the Kubernetes client (without a cluster, give --bundles-directory and --certificates-directory)"
    )]
    Client(#[source] kube::Error),
    /// The service and namespace make no DNS names.
    #[error("name the certificate")]
    Names(#[from] SubjectAltNamesError),
    /// The cryptography provider lacks a TLS version.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The drain did not end in order.
    #[error("stop")]
    Stop(#[from] ShutdownError),
}

/// Runs the webhook until `shutdown`.
///
/// # Errors
/// Where it cannot start, or a task does not end in time.
pub async fn run(args: Args, tasks: Tasks, shutdown: Shutdown) -> Result<(), RunError> {
    let Args {
        daemon: DaemonArgs { listen, admin, log_filter: _, log_format: _, drain_notice },
        namespace,
        service,
        tls_secret,
        registration,
        certificates_directory,
        tls_directory,
        bundles_directory,
        trust_directory,
        injection,
    } = args;
    let source = match (certificates_directory, tls_directory) {
        (Some(directory), _) => CertificateSource::Directory(directory),
        (None, Some(directory)) => CertificateSource::Files(directory),
        (None, None) => CertificateSource::Secret { name: tls_secret, registration },
    };
    let mut parts = Parts::new(tasks);
    let certificate = parts.certificate(source, &service, &namespace).await?;
    let (catalog, listed) = parts.catalog(bundles_directory).await?;
    let metrics = Metrics::register(&mut parts.registry, catalog.clone(), certificate.resolver());
    parts.register(&certificate, &metrics);
    let trusted = parts.gate("switchyard's CA, ca.crt in the trust directory");
    let known = Known::new(catalog, injection.config(namespace), listed, trusted.clone());
    parts.trust(trust_directory, known.clone(), trusted);
    let service = Service::new(known, parts.readiness.clone(), metrics);
    let (tasks, readiness) = parts.serve(listen, admin, &certificate, service).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %listen, %admin, "webhook started");
    Ok(shutdown
        .wait_and_drain(
            &tasks,
            &readiness,
            ShutdownTimeouts { notice: drain_notice, ..ShutdownTimeouts::default() },
        )
        .await?)
}
