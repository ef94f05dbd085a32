//! The certificate keeper: owns the webhook's CA, makes its certificate, and registers the CA.
//!
//! Several keepers at one time do no harm: the Secrets are written by compare-and-swap, and what is
//! registered follows from them.

use std::sync::Arc;
use std::time::SystemTime;

use certs::alt_names::SubjectAltNames;
use certs::manager::{CertManager, Settings};
use certs::publish::CertPublisher;
use certs::store::secret::SecretCertStore;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use prometheus_client::registry::Registry;
use runtime::readiness::Readiness;
use runtime::signals::{Shutdown, ShutdownTimeouts};
use runtime::tasks::Tasks;
use tokio::sync::watch;

use super::RunError;
use super::components::{CA_COMMON_NAME, LOOPBACK, bind, serve_admin};
use crate::args::KeeperArgs;
use crate::keeper_metrics::KeeperMetrics;
use crate::registration::{CaBundleReconciler, FOREIGN_CA_GRACE_PERIOD, Presence, follow_all};

/// Keeps the webhook's certificates until `shutdown`.
///
/// # Errors
/// If it cannot start, or a task does not end in time.
pub async fn keep_certificates(
    args: KeeperArgs,
    tasks: Tasks,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let admin = bind(args.admin)?;
    let client = Client::try_default().await.map_err(RunError::Client)?;
    let readiness = Readiness::new();
    let registry = start(&args, client, &tasks, &readiness)?;
    serve_admin(admin, registry, &readiness, &tasks)?;
    let KeeperArgs { admin, .. } = args;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %admin, "certificate keeper started");
    // Nobody sends it requests, so nobody needs notice.
    let timeouts =
        ShutdownTimeouts { notice: std::time::Duration::ZERO, ..ShutdownTimeouts::default() };
    Ok(shutdown.wait_and_drain(&tasks, &readiness, timeouts).await?)
}

/// Starts the tasks, each of which passes on what it has done: the CA and the certificate are made,
/// the CA is registered, the certificate is published.
fn start(
    args: &KeeperArgs,
    client: Client,
    tasks: &Tasks,
    readiness: &Readiness,
) -> Result<Registry, RunError> {
    let KeeperArgs {
        namespace,
        service,
        ca_secret,
        tls_secret,
        registration,
        plaintext_registration,
        ..
    } = args;
    // Loopback is for `kubectl port-forward`.
    let names =
        SubjectAltNames::of_service(service, namespace)?.and(SubjectAltNames::parse(LOOPBACK)?);
    let store = |name: &str| SecretCertStore::new(client.clone(), namespace, name);
    let settings = Settings {
        policy: args.lifetimes.policy()?,
        poll_interval: args.lifetimes.poll_interval(),
        ..Settings::new(CA_COMMON_NAME, names)
    };
    let manager = CertManager::new(store(ca_secret), settings)
        .with_gate(readiness.gate("a CA and a certificate in its Secret"));

    let mut registry = Registry::default();
    runtime::metrics::register_process(&mut registry, SystemTime::now());
    let metrics = KeeperMetrics::register(&mut registry, Arc::clone(&manager.resolver()));
    let injection: CaBundleReconciler<MutatingWebhookConfiguration> = CaBundleReconciler::new(
        client.clone(),
        (registration.clone(), Presence::Required),
        manager.bundle(),
        readiness.gate("the CA in the MutatingWebhookConfiguration"),
        metrics.clone(),
        FOREIGN_CA_GRACE_PERIOD,
    );
    let plaintext: CaBundleReconciler<ValidatingWebhookConfiguration> = CaBundleReconciler::new(
        client.clone(),
        (plaintext_registration.clone(), Presence::Optional),
        manager.bundle(),
        readiness.gate("the CA in the ValidatingWebhookConfiguration"),
        metrics,
        FOREIGN_CA_GRACE_PERIOD,
    );
    let common = watch::Sender::default();
    let registered = common.subscribe();
    let both = [injection.registered(), plaintext.registered()];
    let publisher = CertPublisher::new(
        store(tls_secret),
        manager.serving(),
        registered,
        readiness.gate("the certificate in the webhook's Secret"),
    );
    tasks.spawn_vital("certificate", manager.run(tasks.stopping()));
    tasks.spawn_vital("registration", injection.run(tasks.stopping()));
    tasks.spawn_vital("plaintext registration", plaintext.run(tasks.stopping()));
    tasks.spawn_vital("registrations", follow_all(both, common, tasks.stopping()));
    tasks.spawn_vital("publication", publisher.run(tasks.stopping()));
    Ok(registry)
}
