//! The command line. Each flag has an environment variable; no other variable is read.

use std::path::PathBuf;

use clap::{Args as Group, Parser};
use runtime::args::DaemonArgs;

use injection::{DEFAULT_VOLUME_SIZE, InjectionConfig, PullPolicy, Quantity, Resources};

const EXAMPLES: &str = "\
Examples:
  In a cluster, as the manifests run it:
    enclii-webhook --agent-image enclii/agent:0.1.0

  Without a cluster, everything below one directory:
    enclii-webhook --listen 127.0.0.1:8443 --admin 127.0.0.1:8081 \\
      --switchyard-address https://localhost:9443 --bundles-directory run/bundles \\
      --trust-directory run/trust --certificates-directory run/certificates";

/// Answers the API server's reviews of pods: replaces plaintext secrets by files and adds the
/// agent.
#[derive(Debug, Parser)]
#[command(name = "enclii-webhook", version, after_help = EXAMPLES)]
pub struct Args {
    /// The flags that every daemon has
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// The webhook's own namespace: its pods are never changed, and its Secret and ConfigMap hold
    /// the certificate and switchyard's CA
    #[arg(long, env = "ENCLII_NAMESPACE", default_value = "enclii-system", value_name = "NAME")]
    pub namespace: String,
    /// The webhook's Service, whose DNS names the certificate is valid for
    #[arg(long, env = "ENCLII_SERVICE", default_value = "enclii-webhook", value_name = "NAME")]
    pub service: String,
    /// The Secret in which the replicas share their CA and certificate; it must exist
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
    /// Keep the CA and the certificate in this directory instead of a Secret, without registering
    /// the CA
    #[arg(long, env = "ENCLII_CERTIFICATES_DIRECTORY", value_name = "DIRECTORY")]
    pub certificates_directory: Option<PathBuf>,
    /// Serve tls.crt and tls.key that another program (cert-manager) writes to this directory,
    /// without registering a CA
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
    /// The ConfigMap that switchyard publishes its CA in, under the key ca.crt
    #[arg(
        long,
        env = "ENCLII_TRUST_CONFIG_MAP",
        default_value = "enclii-trust",
        value_name = "NAME"
    )]
    pub trust_config_map: String,
    /// Read switchyard's CA from ca.crt in this directory instead of a ConfigMap
    #[arg(long, env = "ENCLII_TRUST_DIRECTORY", value_name = "DIRECTORY")]
    pub trust_directory: Option<PathBuf>,
    /// The operator's part of every injected pod
    #[command(flatten)]
    pub injection: InjectionArgs,
}

/// The operator's part of every injected pod.
#[derive(Debug, Group)]
pub struct InjectionArgs {
    /// The agent's image
    #[arg(
        long,
        env = "ENCLII_AGENT_IMAGE",
        default_value = concat!("enclii/agent:", env!("CARGO_PKG_VERSION")),
        value_name = "IMAGE"
    )]
    pub agent_image: String,
    /// When to pull the agent's image: Always, IfNotPresent or Never
    #[arg(
        long,
        env = "ENCLII_AGENT_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent",
        value_name = "POLICY"
    )]
    pub agent_image_pull_policy: PullPolicy,
    /// The address at which agents reach switchyard
    #[arg(
        long,
        env = "ENCLII_SWITCHYARD_ADDRESS",
        default_value = "https://switchyard.enclii-system.svc",
        value_name = "URL",
        value_parser = https
    )]
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
    /// The agent's memory limit; the secrets' volume is charged to it
    #[arg(
        long,
        env = "ENCLII_AGENT_MEMORY_LIMIT",
        default_value = "64Mi",
        value_name = "QUANTITY"
    )]
    pub agent_memory_limit: Quantity,
    /// The size limit of the secrets' memory volume
    #[arg(
        long,
        env = "ENCLII_VOLUME_SIZE",
        default_value = DEFAULT_VOLUME_SIZE,
        value_name = "QUANTITY"
    )]
    pub volume_size: Quantity,
}

impl InjectionArgs {
    /// The configuration of an injection, without switchyard's CA.
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

/// Agents send their token to this address, so it must be HTTPS.
fn https(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
        return Err("must be https://HOST or https://HOST:PORT".to_owned());
    }
    Ok(format!("https://{host}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
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
        let args = Args::try_parse_from(["enclii-webhook"]).unwrap();
        let image = format!("enclii/agent:{}", env!("CARGO_PKG_VERSION"));
        let expected = InjectionConfig::new(
            image,
            "https://switchyard.enclii-system.svc".into(),
            String::new(),
        );
        assert_eq!(args.injection.config(args.namespace), expected);
        assert_eq!(args.daemon.drain_notice, Duration::from_secs(3));
        assert_eq!(args.trust_config_map, "enclii-trust");
    }

    #[test]
    fn an_address_must_be_https_without_a_path() {
        assert_eq!(https("https://localhost:9443/"), Ok("https://localhost:9443".into()));
        for text in ["", "http://x", "https://", "https://a/b", "https://u@h", "https://a b"] {
            assert!(https(text).is_err(), "{text}");
        }
    }
}
