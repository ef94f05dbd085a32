//! The operator's configuration file: every key, what it changes, and its JSON schema.

mod setting;
mod vault_setting;

use contract::Quantity;
use contract::vault_source::VaultPath;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::choice::{AgentUser, PlacementPolicy, SecretSource};
use crate::config::{ConfigConflict, InjectionConfig, PullPolicy};
use crate::fingerprint::fingerprint;
use crate::references::ReferenceRules;
use crate::vault::{PemCertificates, PollSeconds, RoleTemplate, TokenAudience, VaultAddress};
pub use setting::{HttpsAddress, ImageName, SettingError};
use setting::{NameList, Setting};

/// One key of the file, for its documentation.
#[derive(Debug)]
pub struct OperatorKey {
    /// The key, as `agentImage`.
    pub name: String,
    /// What it sets, one line.
    pub help: &'static str,
    /// The JSON schema of its value, without the help.
    pub schema: Value,
}

/// Defines the file from one list: a line of help, and a line with the key's name, its type and
/// what it does with the configuration.
macro_rules! keys {
    ($(#[doc = $help:literal] $key:ident: $type:ty => $set:expr;)+) => {
        /// What an operator's file, or flags, say. A key that is not there changes nothing.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct OperatorFile {
            $(#[doc = $help] pub $key: Option<$type>,)+
        }

        impl OperatorFile {
            /// Every key, in the order of the documentation.
            #[must_use]
            pub fn keys() -> Vec<OperatorKey> {
                vec![$(OperatorKey {
                    name: camel_case(stringify!($key)),
                    help: $help.trim_ascii(),
                    schema: <$type as Setting>::schema(),
                },)+]
            }

            /// This, and what `other` says where this says nothing.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($key: self.$key.or(other.$key),)+ }
            }

            fn apply(self, config: &mut InjectionConfig) {
                $(if let Some(value) = self.$key {
                    let set: fn(&mut InjectionConfig, $type) = $set;
                    set(config, value);
                })+
            }
        }
    };
}

keys! {
    /// The agent's image; the policy `pods.enclii.io` has to accept it too
    agent_image: ImageName => |config, image| config.agent_image = image.into();
    /// When the agent's image is pulled
    agent_image_pull_policy: PullPolicy => |config, policy| config.agent_image_pull_policy = policy;
    /// Where agents get secrets from: `switchyard`, or `vault` without it
    source: SecretSource => |config, source| config.source = source;
    /// The address at which agents reach switchyard; `pods.enclii.io` has to accept it too
    switchyard_address: HttpsAddress => |config, address| config.switchyard = address.into();
    /// Vault's address; `pods.enclii.io` has to accept it too
    vault_address: VaultAddress => |config, address| config.vault.address = Some(address);
    /// The CAs of Vault's certificate, PEM; else those of the ConfigMap `enclii-trust`
    vault_ca: PemCertificates => |config, ca| config.vault.ca = Some(ca);
    /// The namespace of Vault Enterprise or OpenBao
    vault_namespace: VaultPath => |config, namespace| config.vault.namespace = Some(namespace);
    /// Where Vault's Kubernetes auth method is mounted, below `auth/`
    vault_auth_mount: VaultPath => |config, mount| config.vault.auth_mount = mount;
    /// The role that agents log in with; `{namespace}` and `{service_account}` are the pod's
    vault_role: RoleTemplate => |config, role| config.vault.role = Some(role);
    /// The audience of agents' tokens for Vault; `pods.enclii.io` has to accept it too
    vault_audience: TokenAudience => |config, audience| config.vault.audience = audience;
    /// How often agents look for changes in Vault, in seconds
    vault_poll_seconds: PollSeconds => |config, seconds| config.vault.poll_seconds = seconds.into();
    /// Revoke an agent's leases when it is asked to stop, where it outlives the application
    vault_revoke_on_shutdown: bool => |config, revoke| config.vault.revoke_on_shutdown = revoke;
    /// Where the agent is: `native`, `first`, or `either`, as the pod asks
    agent_placement: PlacementPolicy => |config, placement| config.placement = placement;
    /// The agent's CPU request
    agent_cpu_request: Quantity => |config, cpu| config.resources.cpu_request = cpu;
    /// The agent's memory request
    agent_memory_request: Quantity => |config, memory| config.resources.memory_request = memory;
    /// The agent's CPU limit; none by default
    agent_cpu_limit: Quantity => |config, cpu| config.resources.cpu_limit = Some(cpu);
    /// The agent's memory limit; the secrets' volume is charged to it
    agent_memory_limit: Quantity => |config, memory| config.resources.memory_limit = memory;
    /// The agent's CPU request and limit in pods of the class Guaranteed
    agent_guaranteed_cpu: Quantity => |config, cpu| config.resources.guaranteed_cpu = cpu;
    /// The most memory that `enclii.io/agent-resources` may ask for
    agent_max_memory: Quantity => |config, memory| config.agent_max_memory = memory;
    /// The most CPU that `enclii.io/agent-resources` may ask for
    agent_max_cpu: Quantity => |config, cpu| config.agent_max_cpu = cpu;
    /// The agent's user where the application's is not known: `fixed`, or the `namespace`'s
    agent_user: AgentUser => |config, user| config.agent_user = user;
    /// The size limit of the secrets' memory volume
    volume_size: Quantity => |config, size| config.volume_size = size;
    /// Variables that look like credentials and are not, in every pod of the cluster
    plain_env: NameList => |config, names| config.plain_env = names.into();
    /// Containers that get no secrets unless `enclii.io/containers` names them: those of others
    left_out_containers: NameList => |config, names| config.left_out_containers = names.into();
    /// Registries, as `mirror.example.com/docker`, that may serve the agent's image too
    agent_image_registries: NameList => |config, all| config.agent_image_registries = all.into();
    /// The bundles that have the secrets of Vault and 1Password to which variables refer
    foreign_references: ReferenceRules => |config, all| config.foreign_references = all;
}

impl OperatorFile {
    /// `config` with what this says.
    ///
    /// # Errors
    /// If two settings contradict each other.
    pub fn configure(self, mut config: InjectionConfig) -> Result<InjectionConfig, ConfigConflict> {
        if self != Self::default() {
            config.fingerprint = fingerprint(&self);
        }
        self.apply(&mut config);
        config.check()?;
        Ok(config)
    }

    /// The JSON schema of the file.
    #[must_use]
    pub fn schema() -> Value {
        let property = |OperatorKey { name, help, mut schema }: OperatorKey| {
            schema["description"] = json!(help);
            (name, schema)
        };
        let properties: Map<String, Value> = Self::keys().into_iter().map(property).collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "The configuration file of enclii-webhook",
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        })
    }
}

/// `agent_image` as `agentImage`, as serde does it.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut key, word| {
        let mut letters = word.chars();
        key.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        key.push_str(letters.as_str());
        key
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyNames;
    use crate::vault::VaultSettings;

    fn base() -> InjectionConfig {
        let config =
            InjectionConfig::new("enclii/agent:1".into(), "https://a".into(), String::new());
        // So that no sample contradicts a default.
        let vault = VaultSettings {
            address: Some("https://vault".parse().unwrap()),
            role: Some("one".parse().unwrap()),
            ..VaultSettings::default()
        };
        InjectionConfig { volume_size: "1Mi".parse().unwrap(), vault, ..config }
    }

    fn read(json: Value) -> Result<OperatorFile, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read_and_changes_the_configuration() {
        let mut samples = 0;
        for OperatorKey { name, schema, .. } in OperatorFile::keys() {
            let sample = schema["examples"][0].clone();
            let file = read(json!({ &name: sample })).unwrap_or_else(|why| panic!("{name}: {why}"));
            let found = file.configure(base()).unwrap();
            assert_ne!(found.fingerprint, base().fingerprint, "{name}");
            let found = InjectionConfig { fingerprint: base().fingerprint, ..found };
            assert_ne!(found, base(), "{name} changes nothing");
            samples += 1;
        }
        assert!(samples >= 10);
        assert_eq!(OperatorFile::default().configure(base()).unwrap(), base());
    }

    #[test]
    fn an_unknown_key_and_a_wrong_value_are_named() {
        for (json, words) in [
            (json!({"agentImages": "x"}), "agentImages"),
            (json!({"agentImage": "a b"}), "image"),
            (json!({"agentImage": ""}), "image"),
            (json!({"agentCpuRequest": "5 m"}), "quantity"),
            (json!({"agentCpuRequest": 5}), "string"),
            (json!({"agentImagePullPolicy": "always"}), "Always, IfNotPresent or Never"),
            (json!({"switchyardAddress": "http://x"}), "https://HOST"),
            (json!({"source": "openbao"}), "switchyard, vault"),
            (json!({"vaultAddress": "http://vault:8200"}), "https://HOST"),
            (json!({"vaultCa": "PEM"}), "PEM certificates"),
            (json!({"vaultNamespace": "/"}), "path in Vault"),
            (json!({"vaultRole": "{pod}"}), "{service_account}"),
            (json!({"vaultAudience": "enclii.io"}), "switchyard's"),
            (json!({"vaultPollSeconds": 0}), "1 to 3600"),
            (json!({"vaultPollSeconds": "5"}), "u64"),
            (json!({"vaultRevokeOnShutdown": "yes"}), "boolean"),
            (json!({"plainEnv": ["A=B"]}), "A=B"),
            (json!({"plainEnv": "A"}), "sequence"),
        ] {
            let message = read(json.clone()).unwrap_err();
            assert!(message.contains(words), "{json}: {message}");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        for (json, is_right) in [
            (json!({"agentMemoryRequest": "64Mi", "agentMemoryLimit": "64Mi"}), true),
            (json!({"agentMemoryRequest": "65Mi", "agentMemoryLimit": "64Mi"}), false),
            (json!({"agentCpuRequest": "0.2", "agentCpuLimit": "200m"}), true),
            (json!({"agentCpuRequest": "0.3", "agentCpuLimit": "200m"}), false),
            (json!({"volumeSize": "1Gi"}), false),
        ] {
            let found = read(json.clone()).unwrap().configure(base());
            assert_eq!(found.is_ok(), is_right, "{json}: {found:?}");
        }
    }

    #[test]
    fn vault_needs_an_address_a_role_and_callers_that_are_known() {
        let whole = json!({"source": "vault", "vaultAddress": "https://v", "vaultRole": "r"});
        let defaults = InjectionConfig { vault: VaultSettings::default(), ..base() };
        let everybody = InjectionConfig { key_names: KeyNames::OfThePod, ..defaults.clone() };
        for (left_out, config, expected) in [
            ("", &defaults, None),
            ("vaultAddress", &defaults, Some("vaultAddress is missing")),
            ("vaultRole", &defaults, Some("vaultRole is missing")),
            ("", &everybody, Some("--trust-every-caller")),
            // Settings of a source that is not in use are none that matter.
            ("source", &everybody, None),
        ] {
            let mut file = whole.clone();
            file.as_object_mut().unwrap().remove(left_out);
            let found = read(file).unwrap().configure(config.clone());
            match (found, expected) {
                (Ok(_), None) => {}
                (Err(error), Some(words)) => {
                    assert!(error.to_string().contains(words), "{left_out}: {error}");
                }
                (found, _) => panic!("{left_out}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_first_of_two_wins() {
        let flags = read(json!({"volumeSize": "8Mi"})).unwrap();
        let file = read(json!({"volumeSize": "9Mi", "agentImage": "x"})).unwrap();
        let both = read(json!({"volumeSize": "8Mi", "agentImage": "x"})).unwrap();
        assert_eq!(flags.or(file), both);
    }
}
