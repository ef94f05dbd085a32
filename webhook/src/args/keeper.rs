//! The flags of the certificate keeper.

use std::net::SocketAddr;

use clap::Args as Group;
use runtime::logs::LogFormat;

use super::lifetimes::LifetimeArgs;

/// The flags of `enclii-webhook certificates`.
#[derive(Debug, Group)]
pub struct KeeperArgs {
    /// The address to serve /metrics, /healthz and /readyz on (plain HTTP)
    #[arg(long, env = "ENCLII_ADMIN", default_value = "[::]:8080", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// What to log: a level, or a list of target=level
    #[arg(long, env = "ENCLII_LOG_FILTER", default_value = "info", value_name = "FILTER")]
    pub log_filter: String,
    /// The format of log lines: json or text
    #[arg(long, env = "ENCLII_LOG_FORMAT", default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// The namespace of the webhook and of both Secrets
    #[arg(long, env = "ENCLII_NAMESPACE", default_value = "enclii-system", value_name = "NAME")]
    pub namespace: String,
    /// The webhook's Service, whose DNS names the certificate is valid for
    #[arg(long, env = "ENCLII_SERVICE", default_value = "enclii-webhook", value_name = "NAME")]
    pub service: String,
    /// The Secret for the CA and its key, which the webhook cannot read
    #[arg(
        long,
        env = "ENCLII_CA_SECRET",
        default_value = "enclii-webhook-ca",
        value_name = "NAME"
    )]
    pub ca_secret: String,
    /// The Secret for the serving certificate, which the webhook reads
    #[arg(
        long,
        env = "ENCLII_TLS_SECRET",
        default_value = "enclii-webhook-tls",
        value_name = "NAME"
    )]
    pub tls_secret: String,
    /// The MutatingWebhookConfiguration to keep the caBundle of
    #[arg(
        long,
        env = "ENCLII_REGISTRATION",
        default_value = "enclii-webhook",
        value_name = "NAME"
    )]
    pub registration: String,
    /// The ValidatingWebhookConfiguration to keep the caBundle of, if there is one
    #[arg(
        long,
        env = "ENCLII_PLAINTEXT_REGISTRATION",
        default_value = "enclii-plaintext",
        value_name = "NAME"
    )]
    pub plaintext_registration: String,
    /// How long certificates live
    #[command(flatten)]
    pub lifetimes: LifetimeArgs,
}
