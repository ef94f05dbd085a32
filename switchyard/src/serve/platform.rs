//! The platform that switchyard runs on: a Kubernetes cluster or a developer's machine.

use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use runtime::args::DaemonArgs;
use runtime::readiness::Readiness;
use runtime::tasks::Tasks;
use tokio::sync::watch;

use super::{ServeError, spawn};
use crate::args::ServeArgs;
use crate::audit::Pod;
use crate::certificates::CertificateSource;
use crate::cluster::{Cluster, PodEventRecorder};
use crate::identity::{BootstrapTokenStore, DevelopmentIdentities, PodAuthenticator};
use crate::namespaces::{NamespaceBindings, Namespaces};
use crate::publisher::BundleSink;
use crate::trust;

/// What differs between the platforms.
pub(super) struct Platform {
    pub(super) pods: PodAuthenticator,
    pub(super) namespaces: Namespaces,
    pub(super) bundle_sink: BundleSink,
    pub(super) trust_target: trust::TrustTarget,
    pub(super) bootstrap_target: BootstrapTokenStore,
    pub(super) certificate_source: CertificateSource,
    /// The pods of a development file.
    pub(super) development_pods: Vec<Pod>,
    /// Writes events on pods, unless the operator wants none.
    pub(super) pod_events: Option<PodEventRecorder>,
}

/// Selects the platform from the flags and, in a cluster, starts watching namespaces.
pub(super) async fn detect(
    args: ServeArgs,
    tasks: &Tasks,
    readiness: &Readiness,
) -> Result<Platform, ServeError> {
    let ServeArgs {
        daemon: DaemonArgs { listen, admin, .. },
        data,
        database: _,
        oidc: _,
        workload: _,
        pruning: _,
        rate: _,
        audit: _,
        delete_retention: _,
        expiry_warning: _,
        keys: _,
        namespace,
        service: _,
        certificate_names: _,
        tls_secret,
        certificates_directory,
        tls_directory,
        bootstrap_token_file,
        restore_bootstrap_token: _,
        accept_ledger: _,
        development_identities,
        publish_directory,
        trust_directory,
        no_pod_events,
        limits: _,
        store: _,
    } = args;
    let configured_source = certificates_directory
        .map(CertificateSource::Directory)
        .or_else(|| tls_directory.map(CertificateSource::Files));
    let Some(file) = development_identities else {
        return in_cluster(
            configured_source,
            bootstrap_token_file,
            namespace,
            tls_secret,
            !no_pod_events,
            tasks,
            readiness,
        )
        .await;
    };
    if let Some(address) = [listen, admin].into_iter().find(|address| !address.ip().is_loopback()) {
        return Err(ServeError::NotLoopback(address));
    }
    let (development, bindings) = DevelopmentIdentities::read(&file)?;
    tracing::warn!(file = %file.display(), "pod identities come from a file: for development only");
    // The file is read once, so nothing is ever sent.
    let (_, receiver) = watch::channel(Arc::new(bindings));
    Ok(Platform {
        development_pods: development.pods(),
        pod_events: None,
        namespaces: Namespaces::new(receiver),
        bundle_sink: BundleSink::Directory(
            publish_directory.unwrap_or_else(|| data.join("bundles")),
        ),
        trust_target: trust::TrustTarget::Directory(
            trust_directory.unwrap_or_else(|| data.join("trust")),
        ),
        bootstrap_target: BootstrapTokenStore::File(
            bootstrap_token_file.unwrap_or_else(|| data.join("bootstrap-token")),
        ),
        certificate_source: configured_source
            .unwrap_or_else(|| CertificateSource::Directory(data.join("certificates"))),
        pods: PodAuthenticator::Development(development),
    })
}

async fn in_cluster(
    configured_source: Option<CertificateSource>,
    bootstrap_token_file: Option<PathBuf>,
    namespace: String,
    tls_secret: String,
    with_pod_events: bool,
    tasks: &Tasks,
    readiness: &Readiness,
) -> Result<Platform, ServeError> {
    let client = Client::try_default().await.map_err(ServeError::Client)?;
    let cluster = Cluster::new(client.clone(), &namespace);
    let (sender, receiver) = watch::channel(Arc::new(NamespaceBindings::new()));
    let gate = readiness.gate("a list of the namespaces");
    let watching = cluster.clone();
    spawn(tasks, "namespaces", async move { watching.watch_namespaces(sender, gate).await });
    let default_target = || BootstrapTokenStore::Cluster(cluster.clone());
    Ok(Platform {
        development_pods: Vec::new(),
        pod_events: with_pod_events.then(|| cluster.pod_events()),
        namespaces: Namespaces::new(receiver),
        bundle_sink: BundleSink::Cluster(cluster.clone()),
        trust_target: trust::TrustTarget::Cluster(cluster.clone()),
        bootstrap_target: bootstrap_token_file
            .map_or_else(default_target, BootstrapTokenStore::File),
        certificate_source: configured_source.unwrap_or(CertificateSource::Secret {
            client,
            namespace,
            name: tls_secret,
        }),
        pods: PodAuthenticator::Cluster(cluster),
    })
}
