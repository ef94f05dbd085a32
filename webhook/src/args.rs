//! The flags. Each can be given by the environment too; nothing else is read from there.

use std::path::PathBuf;

use clap::{Args as Group, Parser};
use runtime::args::DaemonArgs;

use injection::config::{InjectionConfig, PullPolicy, Quantity, Resources};

const EXAMPLES: &str = "\
Examples:
  In a cluster, as the manifests run it:
    enclii-webhook --trust-directory /trust --agent-image enclii/agent:0.1.0

  Without a cluster, everything below one directory:
    enclii-webhook --listen 127.0.0.1:8443 --admin 127.0.0.1:8081 \\
      --switchyard-address https://localhost:9443 --bundles-directory run/bundles \\
      --trust-directory run/trust --certificates-directory run/certificates";

/// Answers the API server's reviews of pods: takes their plaintext secrets out and puts the agent
/// in.
#[derive(Debug, Parser)]
#[command(name = "enclii-webhook", version, after_help = EXAMPLES)]
pub struct Args {
    /// Addresses, logs and shutdown.
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// The namespace of the system itself: its pods are never touched, and its Secret holds the
    /// certificate
    #[arg(long, env = "ENCLII_NAMESPACE", default_value = "enclii-system", value_name = "NAME")]
    pub namespace: String,
    /// The webhook's Service, whose names the certificate is for
    #[arg(long, env = "ENCLII_SERVICE", default_value = "enclii-webhook", value_name = "NAME")]
    pub service: String,
    /// The Secret that the replicas share their CA and certificate in; it must exist
    #[arg(
        long,
        env = "ENCLII_TLS_SECRET",
        default_value = "enclii-webhook-tls",
        value_name = "NAME"
    )]
    pub tls_secret: String,
    /// The MutatingWebhookConfiguration whose caBundle is kept right
    #[arg(
        long,
        env = "ENCLII_REGISTRATION",
        default_value = "enclii-webhook",
        value_name = "NAME"
    )]
    pub registration: String,
    /// Keep the CA and the certificate in this directory instead of a Secret, and register nowhere
    #[arg(long, env = "ENCLII_CERTIFICATES_DIRECTORY", value_name = "DIRECTORY")]
    pub certificates_directory: Option<PathBuf>,
    /// Follow tls.crt and tls.key that somebody else (cert-manager) puts into this directory, and
    /// register nowhere
    #[arg(
        long,
        env = "ENCLII_TLS_DIRECTORY",
        value_name = "DIRECTORY",
        conflicts_with = "certificates_directory"
    )]
    pub tls_directory: Option<PathBuf>,
    /// Take bundles from NAMESPACE/BUNDLE.json or .yaml files instead of SecretBundle objects
    #[arg(long, env = "ENCLII_BUNDLES_DIRECTORY", value_name = "DIRECTORY")]
    pub bundles_directory: Option<PathBuf>,
    /// The directory with ca.crt: the CAs that may have signed switchyard's certificate
    #[arg(long, env = "ENCLII_TRUST_DIRECTORY", value_name = "DIRECTORY")]
    pub trust_directory: PathBuf,
    /// What every injected pod gets
    #[command(flatten)]
    pub injection: Injection,
}

/// What every injected pod gets.
#[derive(Debug, Group)]
pub struct Injection {
    /// The agent's image
    #[arg(long, env = "ENCLII_AGENT_IMAGE", default_value = concat!("enclii/agent:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE")]
    pub agent_image: String,
    /// When the agent's image is pulled: Always, IfNotPresent or Never
    #[arg(
        long,
        env = "ENCLII_AGENT_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent",
        value_name = "POLICY"
    )]
    pub agent_image_pull_policy: PullPolicy,
    /// Where agents find switchyard
    #[arg(long, env = "ENCLII_SWITCHYARD_ADDRESS", default_value = "https://switchyard.enclii-system.svc", value_name = "URL", value_parser = https)]
    pub switchyard_address: String,
    /// The agent's CPU request
    #[arg(long, env = "ENCLII_AGENT_CPU_REQUEST", default_value = "5m", value_name = "QUANTITY")]
    pub agent_cpu_request: Quantity,
    /// The agent's memory request
    #[arg(
        long,
        env = "ENCLII_AGENT_MEMORY_REQUEST",
        default_value = "16Mi",
        value_name = "QUANTITY"
    )]
    pub agent_memory_request: Quantity,
    /// The agent's CPU limit
    #[arg(long, env = "ENCLII_AGENT_CPU_LIMIT", default_value = "1", value_name = "QUANTITY")]
    pub agent_cpu_limit: Quantity,
    /// The agent's memory limit; the secrets' volume counts to it
    #[arg(
        long,
        env = "ENCLII_AGENT_MEMORY_LIMIT",
        default_value = "64Mi",
        value_name = "QUANTITY"
    )]
    pub agent_memory_limit: Quantity,
    /// The most that the memory volume of the secrets may hold
    #[arg(long, env = "ENCLII_VOLUME_SIZE", default_value = injection::config::DEFAULT_VOLUME_SIZE, value_name = "QUANTITY")]
    pub volume_size: Quantity,
}

impl Injection {
    /// The operator's part of an injection, without switchyard's CA.
    #[must_use]
    pub fn config(self, namespace: String) -> InjectionConfig {
        let Self {
            agent_image,
            agent_image_pull_policy,
            switchyard_address,
            agent_cpu_request: cpu_request,
            agent_memory_request: memory_request,
            agent_cpu_limit: cpu_limit,
            agent_memory_limit: memory_limit,
            volume_size,
        } = self;
        InjectionConfig {
            own_namespace: namespace,
            agent_image,
            agent_image_pull_policy,
            switchyard: switchyard_address,
            trust: String::new(),
            resources: Resources { cpu_request, memory_request, cpu_limit, memory_limit },
            volume_size,
        }
    }
}

/// Agents send their token there, so it is never plain HTTP.
fn https(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
        return Err("must be https://HOST or https://HOST:PORT".to_owned());
    }
    Ok(format!("https://{host}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_can_come_from_the_environment() {
        for argument in Args::command()
            .get_arguments()
            .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        {
            assert!(argument.get_env().is_some(), "{}", argument.get_id());
            assert!(argument.get_help().is_some(), "{}", argument.get_id());
        }
    }

    #[test]
    fn the_defaults_are_the_library_s() {
        let args = Args::try_parse_from(["enclii-webhook", "--trust-directory", "/trust"]).unwrap();
        let image = format!("enclii/agent:{}", env!("CARGO_PKG_VERSION"));
        let expected = InjectionConfig::new(
            image,
            "https://switchyard.enclii-system.svc".into(),
            String::new(),
        );
        assert_eq!(args.injection.config(args.namespace), expected);
        assert_eq!(args.daemon.drain_notice, std::time::Duration::from_secs(3));
    }

    #[test]
    fn addresses() {
        assert_eq!(https("https://localhost:9443/"), Ok("https://localhost:9443".into()));
        for text in ["", "http://x", "https://", "https://a/b", "https://u@h", "https://a b"] {
            assert!(https(text).is_err(), "{text}");
        }
    }
}
