//! The flags of the webhook itself.

use std::path::PathBuf;

use clap::Args as Group;
use runtime::args::DaemonArgs;

use super::callers::CallerArgs;
use super::injection::InjectionArgs;

/// The flags of `enclii-webhook serve`.
#[derive(Debug, Group)]
pub struct ServeArgs {
    /// The flags that every daemon has
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// The webhook's own namespace: its pods are never changed, and its Secret and ConfigMap hold
    /// the certificate and switchyard's CA
    #[arg(long, env = "ENCLII_NAMESPACE", default_value = "enclii-system", value_name = "NAME")]
    pub namespace: String,
    /// The webhook's Service, whose DNS names the certificate in --certificates-directory is valid
    /// for
    #[arg(long, env = "ENCLII_SERVICE", default_value = "enclii-webhook", value_name = "NAME")]
    pub service: String,
    /// The Secret with the serving certificate, which `enclii-webhook certificates` or
    /// cert-manager writes
    #[arg(
        long,
        env = "ENCLII_TLS_SECRET",
        default_value = "enclii-webhook-tls",
        value_name = "NAME"
    )]
    pub tls_secret: String,
    /// The MutatingWebhookConfiguration whose caBundle must hold the CA of the certificate in
    /// --tls-secret before this replica is ready
    #[arg(
        long,
        env = "ENCLII_REGISTRATION",
        default_value = "enclii-webhook",
        value_name = "NAME"
    )]
    pub registration: String,
    /// The ValidatingWebhookConfiguration of which the same holds, if there is one
    #[arg(
        long,
        env = "ENCLII_PLAINTEXT_REGISTRATION",
        default_value = "enclii-plaintext",
        value_name = "NAME"
    )]
    pub plaintext_registration: String,
    /// Keep a CA and a certificate of its own in this directory instead, without a cluster
    #[arg(long, env = "ENCLII_CERTIFICATES_DIRECTORY", value_name = "DIRECTORY")]
    pub certificates_directory: Option<PathBuf>,
    /// Serve tls.crt and tls.key that another program writes to this directory instead
    #[arg(
        long,
        env = "ENCLII_TLS_DIRECTORY",
        value_name = "DIRECTORY",
        conflicts_with = "certificates_directory"
    )]
    pub tls_directory: Option<PathBuf>,
    /// Read bundles from NAMESPACE/BUNDLE.json or .yaml files in this directory instead of
    /// SecretBundle objects
    #[arg(long, env = "ENCLII_BUNDLES_DIRECTORY", value_name = "DIRECTORY")]
    pub bundles_directory: Option<PathBuf>,
    /// The ConfigMap with the CA that agents trust, under the key ca.crt: switchyard publishes its
    /// own there
    #[arg(
        long,
        env = "ENCLII_TRUST_CONFIG_MAP",
        default_value = "enclii-trust",
        value_name = "NAME"
    )]
    pub trust_config_map: String,
    /// Read the CA that agents trust from ca.crt in this directory instead of a ConfigMap
    #[arg(long, env = "ENCLII_TRUST_DIRECTORY", value_name = "DIRECTORY")]
    pub trust_directory: Option<PathBuf>,
    /// Who may ask for reviews
    #[command(flatten)]
    pub callers: CallerArgs,
    /// The operator's part of every injected pod
    #[command(flatten)]
    pub injection: InjectionArgs,
}
