//! The operator's part of an injection. A pod's annotations cannot change any of it.

use std::collections::BTreeSet;
use std::str::FromStr;

use contract::{Quantity, layout};

use crate::choice::{AgentUser, PlacementPolicy, SecretSource};
use crate::kubernetes_version::KubernetesVersion;
use crate::references::ReferenceRules;
use crate::vault::{VaultAddress, VaultCompat, VaultSettings};

/// The operator's part of every injected pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectionConfig {
    /// The webhook's own namespace. Its pods are skipped, because they must be able to start
    /// before the webhook does.
    pub own_namespace: String,
    /// The agent's image.
    pub agent_image: String,
    /// When the agent's image is pulled.
    pub agent_image_pull_policy: PullPolicy,
    /// Where agents get secrets from.
    pub source: SecretSource,
    /// Switchyard's address, `https://HOST[:PORT]`.
    pub switchyard: String,
    /// How agents reach Vault, where it is the source.
    pub vault: VaultSettings,
    /// What the annotations of the Vault Agent Injector may ask for; `None` leaves them alone.
    pub vault_compat: Option<VaultCompat>,
    /// The CA certificates that agents trust for their source, PEM. Empty until they are known.
    pub trust: String,
    /// Where the agent is among the containers.
    pub placement: PlacementPolicy,
    /// Resource requests and limits of the agent's container.
    pub resources: Resources,
    /// The most memory that a pod may ask for its agent.
    pub agent_max_memory: Quantity,
    /// The most CPU that a pod may ask for its agent.
    pub agent_max_cpu: Quantity,
    /// The user that agents run as where the application's is not known.
    pub agent_user: AgentUser,
    /// The size limit of the memory volume that holds the secrets.
    pub volume_size: Quantity,
    /// Variables that look like credentials and are not, in every pod.
    pub plain_env: BTreeSet<String>,
    /// Containers that get no secrets unless an annotation names them.
    pub left_out_containers: BTreeSet<String>,
    /// Registries, with a path or without, that may serve the agent's image in place of its own.
    pub agent_image_registries: BTreeSet<String>,
    /// Which bundles have the secrets to which variables refer in the words of other tools.
    pub foreign_references: ReferenceRules,
    /// Which names of a bundle's keys an answer may hold.
    pub key_names: KeyNames,
    /// What tells these settings from others, for the status of a pod.
    pub fingerprint: String,
    /// The API server's version; `None` until it is known.
    pub kubernetes: Option<KubernetesVersion>,
}

/// The containers that other webhooks add to a pod: meshes, cloud identities and tracers. They read
/// no secret of the application.
pub const LEFT_OUT_CONTAINERS: [&str; 21] = [
    "azwi-proxy",
    "azwi-proxy-init",
    "consul-connect-inject-init",
    "consul-dataplane",
    "datadog-agent-injected",
    "datadog-init-apm-inject",
    "datadog-lib-dotnet-init",
    "datadog-lib-java-init",
    "datadog-lib-js-init",
    "datadog-lib-php-init",
    "datadog-lib-python-init",
    "datadog-lib-ruby-init",
    "istio-init",
    "istio-proxy",
    "istio-validation",
    "kuma-init",
    "kuma-sidecar",
    "kuma-validation",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-proxy",
];

/// Two settings contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigConflict {
    /// The API server refuses a container that requests more than its limit.
    #[error("the agent's {what} request {request} is over its limit {limit}")]
    RequestOverLimit {
        /// `CPU` or `memory`.
        what: &'static str,
        /// The request.
        request: Quantity,
        /// The limit.
        limit: Quantity,
    },
    /// Without it, no agent reaches Vault or logs in.
    #[error("{missing} is missing, which source: vault needs")]
    VaultIncomplete {
        /// The key of the file.
        missing: &'static str,
    },
    /// Without Vault there is nothing to read.
    #[error("compatVault needs source: vault")]
    CompatWithoutVault,
    /// The agent's configuration has the whole mapping, and the patch has that.
    #[error(
        "with source: vault, an answer holds the names and paths of a bundle's secrets: say who \
         may ask the webhook (--client-ca-file or --client-token-file), or that everybody may \
         (--trust-every-caller)"
    )]
    VaultTellsEverybody,
    /// A full volume would have the agent killed, since its pages are charged to it.
    #[error("the volume's size {size} is over the agent's memory limit {limit}")]
    VolumeOverLimit {
        /// The size.
        size: Quantity,
        /// The limit.
        limit: Quantity,
    },
}

/// Which names of a bundle's keys an answer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNames {
    /// All of them: the asker is known to be the API server, or knows the names anyway.
    All,
    /// Only those that the pod itself names: anybody may be asking.
    OfThePod,
}

impl InjectionConfig {
    /// A configuration with defaults for everything else. An answer may hold every name, and the
    /// cluster is of the newest known version.
    #[must_use]
    pub fn new(agent_image: String, switchyard: String, trust: String) -> Self {
        Self {
            own_namespace: "enclii-system".to_owned(),
            agent_image,
            agent_image_pull_policy: PullPolicy::default(),
            source: SecretSource::default(),
            switchyard,
            vault: VaultSettings::default(),
            vault_compat: None,
            trust,
            placement: PlacementPolicy::default(),
            resources: Resources::default(),
            agent_max_memory: Quantity::constant("256Mi"),
            agent_max_cpu: Quantity::constant("1"),
            agent_user: AgentUser::default(),
            volume_size: Quantity::constant(DEFAULT_VOLUME_SIZE),
            plain_env: BTreeSet::new(),
            left_out_containers: LEFT_OUT_CONTAINERS.map(str::to_owned).into(),
            agent_image_registries: BTreeSet::new(),
            foreign_references: ReferenceRules::default(),
            key_names: KeyNames::All,
            fingerprint: "default".to_owned(),
            kubernetes: Some(KubernetesVersion::NEWEST),
        }
    }

    /// Whether `image` is the agent's image from a registry that may serve it: the same name and
    /// tag, in place of the image's own registry or after it.
    pub(crate) fn is_mirrored_agent(&self, image: &str) -> bool {
        let own = &self.agent_image;
        // As container runtimes tell a registry from the first part of a name.
        let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let path = own.split_once('/').filter(|(first, _)| is_registry(first));
        let path = path.map_or(own.as_str(), |(_, path)| path);
        self.agent_image_registries.iter().any(|registry| {
            let rest = image.strip_prefix(registry.trim_end_matches('/'));
            rest.and_then(|rest| rest.strip_prefix('/')).is_some_and(|it| it == path || it == own)
        })
    }

    /// Whether agents trust the CAs of [`trust`](Self::trust) and no others, so that no pod can be
    /// injected before they are known.
    #[must_use]
    pub fn needs_trust(&self) -> bool {
        match self.source {
            SecretSource::Switchyard => true,
            SecretSource::Vault => self.vault.needs_trust(),
        }
    }

    /// The address of the source. Empty where it is missing, which [`Self::check`] has refused.
    pub(crate) fn source_address(&self) -> &str {
        match self.source {
            SecretSource::Switchyard => &self.switchyard,
            SecretSource::Vault => {
                self.vault.address.as_ref().map(VaultAddress::as_str).unwrap_or_default()
            }
        }
    }

    /// The audience of agents' tokens.
    pub(crate) fn token_audience(&self) -> &str {
        match self.source {
            SecretSource::Switchyard => layout::TOKEN_AUDIENCE,
            SecretSource::Vault => self.vault.audience.as_str(),
        }
    }

    /// Whether it is the audience of agents' tokens for some source.
    pub(crate) fn has_token_audience(&self, audience: &str) -> bool {
        [layout::TOKEN_AUDIENCE, self.vault.audience.as_str()].contains(&audience)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// If two settings contradict each other.
    pub fn check(&self) -> Result<(), ConfigConflict> {
        let Resources { cpu_request, memory_request, cpu_limit, memory_limit, .. } =
            &self.resources;
        let pairs = [
            ("CPU", cpu_request, cpu_limit.as_ref()),
            ("memory", memory_request, Some(memory_limit)),
        ];
        for (what, request, limit) in pairs {
            if let Some(limit) = limit.filter(|limit| request.amount() > limit.amount()) {
                let (request, limit) = (request.clone(), limit.clone());
                return Err(ConfigConflict::RequestOverLimit { what, request, limit });
            }
        }
        if self.volume_size.amount() > memory_limit.amount() {
            let (size, limit) = (self.volume_size.clone(), memory_limit.clone());
            return Err(ConfigConflict::VolumeOverLimit { size, limit });
        }
        match self.source {
            SecretSource::Switchyard if self.vault_compat.is_some() => {
                Err(ConfigConflict::CompatWithoutVault)
            }
            SecretSource::Switchyard => Ok(()),
            SecretSource::Vault => self.check_vault(),
        }
    }

    fn check_vault(&self) -> Result<(), ConfigConflict> {
        let VaultSettings { address, role, .. } = &self.vault;
        let keys = [("vaultAddress", address.is_some()), ("vaultRole", role.is_some())];
        if let Some((missing, _)) = keys.into_iter().find(|(_, is_there)| !is_there) {
            return Err(ConfigConflict::VaultIncomplete { missing });
        }
        match self.key_names {
            KeyNames::All => Ok(()),
            KeyNames::OfThePod => Err(ConfigConflict::VaultTellsEverybody),
        }
    }
}

/// The default size of the secrets' volume. Holds three generations of
/// [`contract::layout::MAX_POD_BYTES`], and leaves a quarter for the file system's own pages.
pub const DEFAULT_VOLUME_SIZE: &str = "32Mi";

/// The least memory limit that a pod may ask for its agent. The agent has 4 MiB resident, starting
/// the container and its hook takes 3 MiB of runc 1.1, and the volume is half of the limit.
pub(crate) const MIN_AGENT_MEMORY: &str = "16Mi";

/// The default CPU of the agent in a pod of the class Guaranteed.
pub const DEFAULT_GUARANTEED_CPU: &str = "100m";

/// Resource requests and limits of the agent's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// CPU request. An agent is nearly always idle.
    pub cpu_request: Quantity,
    /// Memory request: enough for an agent with twenty secrets and their pages in the memory
    /// volume, which are charged to the container that wrote them.
    pub memory_request: Quantity,
    /// CPU limit; none by default. An agent computes for a few milliseconds when it starts. The
    /// container runtime's work to start the container and its hook is charged to it too, and the
    /// application waits for it: a limit of 200m was throttled twice, for 100 ms each.
    pub cpu_limit: Option<Quantity>,
    /// Memory limit: enough for a full volume and the agent.
    pub memory_limit: Quantity,
    /// CPU request and limit in a pod of the class Guaranteed, which it stays only if each
    /// container's are equal.
    pub guaranteed_cpu: Quantity,
}

impl Default for Resources {
    fn default() -> Self {
        let quantity = Quantity::constant;
        Self {
            cpu_request: quantity("5m"),
            memory_request: quantity("16Mi"),
            cpu_limit: None,
            memory_limit: quantity("64Mi"),
            guaranteed_cpu: quantity(DEFAULT_GUARANTEED_CPU),
        }
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Before every start of the container.
    Always,
    /// If the node does not have it.
    #[default]
    IfNotPresent,
    /// Never; the node must have it.
    Never,
}

impl PullPolicy {
    /// The policy as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// The text is not a [`PullPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse image pull policy {0:?}: must be Always, IfNotPresent or Never")]
pub struct PullPolicyError(String);

impl FromStr for PullPolicy {
    type Err = PullPolicyError;

    fn from_str(text: &str) -> Result<Self, PullPolicyError> {
        [Self::Always, Self::IfNotPresent, Self::Never]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| PullPolicyError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_registry_of_the_operator_with_the_same_name_and_tag() {
        let mut config =
            InjectionConfig::new("ghcr.io/enclii/agent:1".into(), String::new(), String::new());
        config.agent_image_registries =
            ["mirror.corp:5000".to_owned(), "cache.corp/ghcr/".to_owned()].into();
        for (image, expected) in [
            ("mirror.corp:5000/enclii/agent:1", true),
            ("mirror.corp:5000/ghcr.io/enclii/agent:1", true),
            ("cache.corp/ghcr/enclii/agent:1", true),
            ("cache.corp/enclii/agent:1", false),
            ("mirror.corp:5000/enclii/agent:2", false),
            ("mirror.corp:5000/evil/enclii/agent:1", false),
            ("mirror.corp:50001/enclii/agent:1", false),
            ("evil.corp/enclii/agent:1", false),
            ("enclii/agent:1", false),
            ("mirror.corp:5000/enclii/agent:1@sha256:00", false),
        ] {
            assert_eq!(config.is_mirrored_agent(image), expected, "{image}");
        }
        config.agent_image = "enclii/agent:1".into();
        assert!(config.is_mirrored_agent("cache.corp/ghcr/enclii/agent:1"));
    }

    #[test]
    fn pull_policies_are_checked() {
        assert_eq!("Always".parse(), Ok(PullPolicy::Always));
        assert!("always".parse::<PullPolicy>().is_err());
    }
}
