//! Runs the process, from the first listener to the end of the drain.

mod components;
mod keeper;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use certs::alt_names::SubjectAltNamesError;
use injection::{InjectionConfig, KubernetesVersion};
use runtime::args::DaemonArgs;
use runtime::signals::{Shutdown, ShutdownError, ShutdownTimeouts};
use runtime::tasks::Tasks;

use crate::args::{ServeArgs, default_config};
use crate::callers::{Callers, CallersError};
use crate::metrics::Metrics;
use crate::operator_config::{FileIsUsed, OperatorConfig, OperatorConfigError};
use crate::server::ReviewService;
use crate::state::WebhookState;
use components::{CertificateSource, Components, ReviewPort, TrustSource};
pub use keeper::keep_certificates;

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
    /// The thread of the admin port cannot be started.
    #[error("start the admin port")]
    AdminPort(#[source] io::Error),
    /// Neither a service account nor a kubeconfig is usable.
    #[error(
        "set up the Kubernetes client (without a cluster, set --bundles-directory, \
         --trust-directory and --certificates-directory)"
    )]
    Client(#[source] kube::Error),
    /// The service and namespace do not make valid DNS names.
    #[error("name the certificate")]
    Names(#[from] SubjectAltNamesError),
    /// The lifetimes of certificates do not fit together.
    #[error("read the lifetimes of certificates")]
    Lifetimes(#[from] certs::renewal::PolicyError),
    /// The cryptography provider lacks a TLS version.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The operator's settings cannot be used.
    #[error("read the configuration")]
    Config(#[from] OperatorConfigError),
    /// Callers cannot be verified.
    #[error("verify callers")]
    Callers(#[from] CallersError),
    /// The drain did not end in time.
    #[error("stop")]
    Stop(#[from] ShutdownError),
}

/// Runs the webhook until `shutdown`.
///
/// # Errors
/// If it cannot start, or a task does not end in time.
pub async fn run(args: ServeArgs, tasks: Tasks, shutdown: Shutdown) -> Result<(), RunError> {
    let ServeArgs {
        daemon,
        namespace,
        service,
        tls_secret,
        registration,
        plaintext_registration,
        certificates_directory,
        tls_directory,
        bundles_directory,
        trust_config_map,
        trust_directory,
        callers: caller_args,
        injection,
    } = args;
    let limits = daemon.limits();
    let DaemonArgs { listen, admin, drain_notice, .. } = daemon;
    let certificate_source = match (certificates_directory, tls_directory) {
        (Some(directory), _) => CertificateSource::Directory(directory),
        (None, Some(directory)) => CertificateSource::Files(directory),
        (None, None) => {
            CertificateSource::Secret { name: tls_secret, registration, plaintext_registration }
        }
    };
    let trust_source = match trust_directory {
        Some(directory) => TrustSource::Directory(directory),
        None => TrustSource::ConfigMap { namespace: namespace.clone(), name: trust_config_map },
    };
    let callers = Callers::new(&caller_args)?;
    let kubernetes = injection.kubernetes_version;
    let (flags, file) = injection.settings();
    let defaults = InjectionConfig {
        kubernetes: Some(kubernetes.unwrap_or(KubernetesVersion::NEWEST)),
        ..default_config(namespace.clone(), caller_args.key_names())
    };
    let settings = OperatorConfig::new(flags, defaults, file);
    let (text, config) = settings.read()?;
    let mut components = Components::new(tasks);
    let resolver = components.certificate(certificate_source, &service, &namespace).await?;
    let (catalog, bundles_listed) = components.catalog(bundles_directory).await?;
    let is_used = FileIsUsed::default();
    let sources = (catalog.clone(), Arc::clone(&resolver), is_used.clone());
    let metrics = Metrics::register(&mut components.registry, sources);
    let trust_known = components.gate(trust_source.gate_name());
    let state = WebhookState::new(catalog, config, bundles_listed, trust_known);
    components.trust(trust_source, state.clone()).await?;
    components.operator_config(settings, text, state.clone(), is_used);
    components.version(kubernetes.is_some(), state.clone());
    let verifier = callers.verifier();
    let service = ReviewService::new(state, components.readiness.clone(), metrics, callers);
    let port = ReviewPort { listen, resolver, verifier, service };
    let (tasks, readiness) = components.serve(port, limits, admin).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %listen, %admin, "webhook started");
    Ok(shutdown
        .wait_and_drain(
            &tasks,
            &readiness,
            ShutdownTimeouts { notice: drain_notice, ..ShutdownTimeouts::default() },
        )
        .await?)
}
