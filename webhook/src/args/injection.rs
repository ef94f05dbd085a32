//! The operator's part of every injected pod.

use std::path::PathBuf;

use clap::Args as Group;
use injection::{
    AgentUser, HttpsAddress, ImageName, InjectionConfig, KeyNames, KubernetesVersion, OperatorFile,
    PlacementPolicy, PullPolicy, Quantity, SecretSource, TokenAudience, VaultAddress,
};

/// The agent's image if nobody names one: that of this version.
const AGENT_IMAGE: &str = concat!("enclii/agent:", env!("CARGO_PKG_VERSION"));

/// The address of switchyard if nobody gives one: that of the manifests.
const SWITCHYARD: &str = "https://switchyard.enclii-system.svc";

/// The operator's part of every injected pod. A flag counts more than the file.
#[derive(Debug, Group)]
pub struct InjectionArgs {
    /// Read the settings below, and more, from this YAML file, and again when it changes. A flag or
    /// its variable counts more
    #[arg(long, env = "ENCLII_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The agent's image [default: enclii/agent of this version]
    #[arg(long, env = "ENCLII_AGENT_IMAGE", value_name = "IMAGE")]
    pub agent_image: Option<ImageName>,
    /// When to pull the agent's image: Always, IfNotPresent or Never [default: IfNotPresent]
    #[arg(long, env = "ENCLII_AGENT_IMAGE_PULL_POLICY", value_name = "POLICY")]
    pub agent_image_pull_policy: Option<PullPolicy>,
    /// Where agents get secrets from: switchyard, or vault without it [default: switchyard]
    #[arg(long, env = "ENCLII_SOURCE", value_name = "SOURCE")]
    pub source: Option<SecretSource>,
    /// Vault's address, for --source vault
    #[arg(long, env = "ENCLII_VAULT_ADDRESS", value_name = "URL")]
    pub vault_address: Option<VaultAddress>,
    /// The audience of agents' tokens for Vault [default: vault]
    #[arg(long, env = "ENCLII_VAULT_AUDIENCE", value_name = "AUDIENCE")]
    pub vault_audience: Option<TokenAudience>,
    /// The address at which agents reach switchyard [default: that of its Service]
    #[arg(long, env = "ENCLII_SWITCHYARD_ADDRESS", value_name = "URL")]
    pub switchyard_address: Option<HttpsAddress>,
    /// Where the agent is: native, first, or either, as the pod asks [default: native]
    #[arg(long, env = "ENCLII_AGENT_PLACEMENT", value_name = "PLACEMENT")]
    pub agent_placement: Option<PlacementPolicy>,
    /// The agent's CPU request [default: 5m]
    #[arg(long, env = "ENCLII_AGENT_CPU_REQUEST", value_name = "QUANTITY")]
    pub agent_cpu_request: Option<Quantity>,
    /// The agent's memory request [default: 16Mi]
    #[arg(long, env = "ENCLII_AGENT_MEMORY_REQUEST", value_name = "QUANTITY")]
    pub agent_memory_request: Option<Quantity>,
    /// The agent's CPU limit [default: none]
    #[arg(long, env = "ENCLII_AGENT_CPU_LIMIT", value_name = "QUANTITY")]
    pub agent_cpu_limit: Option<Quantity>,
    /// The agent's CPU request and limit in pods of the class Guaranteed, which they stay
    /// [default: 100m]
    #[arg(long, env = "ENCLII_AGENT_GUARANTEED_CPU", value_name = "QUANTITY")]
    pub agent_guaranteed_cpu: Option<Quantity>,
    /// The agent's memory limit; the secrets' volume is charged to it [default: 64Mi]
    #[arg(long, env = "ENCLII_AGENT_MEMORY_LIMIT", value_name = "QUANTITY")]
    pub agent_memory_limit: Option<Quantity>,
    /// The agent's user where the application's is not known: fixed, or the namespace's
    /// [default: fixed]
    #[arg(long, env = "ENCLII_AGENT_USER", value_name = "USER")]
    pub agent_user: Option<AgentUser>,
    /// The size limit of the secrets' memory volume [default: 32Mi]
    #[arg(long, env = "ENCLII_VOLUME_SIZE", value_name = "QUANTITY")]
    pub volume_size: Option<Quantity>,
    /// The cluster's Kubernetes version, as 1.35 [default: the API server is asked; without one,
    /// the newest that is known]
    #[arg(long, env = "ENCLII_KUBERNETES_VERSION", value_name = "VERSION")]
    pub kubernetes_version: Option<KubernetesVersion>,
}

impl InjectionArgs {
    /// What the flags say, except for the cluster's version, and the path of the file.
    #[must_use]
    pub fn settings(self) -> (OperatorFile, Option<PathBuf>) {
        let Self {
            config,
            agent_image,
            agent_image_pull_policy,
            source,
            vault_address,
            vault_audience,
            switchyard_address,
            agent_placement,
            agent_cpu_request,
            agent_memory_request,
            agent_cpu_limit,
            agent_guaranteed_cpu,
            agent_memory_limit,
            agent_user,
            volume_size,
            kubernetes_version: _,
        } = self;
        let settings = OperatorFile {
            agent_image,
            agent_image_pull_policy,
            source,
            vault_address,
            vault_audience,
            switchyard_address,
            agent_placement,
            agent_cpu_request,
            agent_memory_request,
            agent_cpu_limit,
            agent_guaranteed_cpu,
            agent_memory_limit,
            agent_user,
            volume_size,
            ..OperatorFile::default()
        };
        (settings, config)
    }
}

/// The configuration without a flag or a file, and without the CA that agents trust. `key_names`
/// says which names of a bundle's keys those who ask may learn.
#[must_use]
pub fn default_config(namespace: String, key_names: KeyNames) -> InjectionConfig {
    let config = InjectionConfig::new(AGENT_IMAGE.to_owned(), SWITCHYARD.to_owned(), String::new());
    InjectionConfig { own_namespace: namespace, key_names, ..config }
}
