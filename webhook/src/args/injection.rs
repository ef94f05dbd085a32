//! The operator's part of every injected pod.

use clap::Args as Group;
use injection::{
    DEFAULT_GUARANTEED_CPU, DEFAULT_VOLUME_SIZE, InjectionConfig, KeyNames, PullPolicy, Quantity,
    Resources,
};

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
    /// The agent's CPU limit [default: none]
    #[arg(long, env = "ENCLII_AGENT_CPU_LIMIT", value_name = "QUANTITY")]
    pub agent_cpu_limit: Option<Quantity>,
    /// The agent's CPU request and limit in pods of the class Guaranteed, which they stay
    #[arg(
        long,
        env = "ENCLII_AGENT_GUARANTEED_CPU",
        default_value = DEFAULT_GUARANTEED_CPU,
        value_name = "QUANTITY"
    )]
    pub agent_guaranteed_cpu: Quantity,
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
    /// The configuration of an injection, without switchyard's CA. `key_names` says which names of
    /// a bundle's keys those who ask may learn.
    #[must_use]
    pub fn config(self, namespace: String, key_names: KeyNames) -> InjectionConfig {
        let Self {
            agent_image,
            agent_image_pull_policy,
            switchyard_address,
            agent_cpu_request: cpu_request,
            agent_memory_request: memory_request,
            agent_cpu_limit: cpu_limit,
            agent_memory_limit: memory_limit,
            agent_guaranteed_cpu: guaranteed_cpu,
            volume_size,
        } = self;
        InjectionConfig {
            own_namespace: namespace,
            agent_image,
            agent_image_pull_policy,
            switchyard: switchyard_address,
            trust: String::new(),
            resources: Resources {
                cpu_request,
                memory_request,
                cpu_limit,
                memory_limit,
                guaranteed_cpu,
            },
            volume_size,
            key_names,
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
    use super::*;

    #[test]
    fn an_address_must_be_https_without_a_path() {
        assert_eq!(https("https://localhost:9443/"), Ok("https://localhost:9443".into()));
        for text in ["", "http://x", "https://", "https://a/b", "https://u@h", "https://a b"] {
            assert!(https(text).is_err(), "{text}");
        }
    }
}
