//! The agent's configuration: JSON that the webhook writes into the pod and the agent reads.
//!
//! It has a version, because a pod lives longer than a release: a new agent image must read what an
//! older webhook wrote, and an old agent must report that it cannot read what a newer one wrote. It
//! holds names and addresses, never a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent_metrics_port::AgentMetricsPort;
use crate::annotations::FileMode;
use crate::bundle::BundleRef;
use crate::check::Check;
use crate::file_path::{self, FilePath};
use crate::metrics_endpoint::MetricsEndpoint;
use crate::name::SecretName;
use crate::readiness::Readiness;
use crate::reload::Reload;
use crate::rendered::RenderedFile;
use crate::secret_volume::SecretVolume;
use crate::vault_source::VaultSource;

/// The version that this build writes, and the only one it reads.
pub const VERSION: u32 = 1;

/// What one agent does. It comes from the operator's configuration of the webhook, except
/// `bundles`, `reload`, `verify`, `files.mode` and where metrics are, which the pod's annotations
/// ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// Always [`VERSION`].
    pub version: u32,
    /// Where secrets come from.
    pub source: Source,
    /// The bundles to hold.
    pub bundles: Vec<BundleRef>,
    /// The files to write.
    pub files: Files,
    /// The directory into which the agent copies its own program before anything else, for the
    /// containers whose command it starts; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_directory: Option<String>,
    /// How to notify the application. In JSON: `reload` as in the annotation, and
    /// `reload_container`, which a signal needs.
    #[serde(flatten)]
    pub reload: Reload,
    /// How many seconds the application has to answer a reload; `None` is the agent's choice. An
    /// agent that does not know the field takes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_timeout_seconds: Option<u32>,
    /// What must be true after a reload. An agent that does not know the field checks nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<Check>,
    /// The application's readiness probe, for a pod that names no check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Readiness>,
    /// Where the application counts its requests. An agent that does not know the field looks at
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsEndpoint>,
    /// Where the agent shows its own metrics. One that does not know the field has no port, as one
    /// without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_metrics: Option<AgentMetricsPort>,
}

/// Where secrets come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Source {
    /// The control plane, over one stream.
    Switchyard {
        /// `https://HOST[:PORT]`.
        address: String,
        /// The CAs that may have signed its certificate, PEM. The stream brings a newer bundle.
        ca: String,
        /// The file with the pod's service-account token, read again for each login.
        token_file: String,
    },
    /// Vault or OpenBao, without switchyard.
    Vault(VaultSource),
}

/// The files to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The memory volume's mount point.
    pub directory: String,
    /// Each file's mode.
    pub mode: FileMode,
    /// Where other volumes of the pod are mounted below the directory. The volume is read-only for
    /// the application, so the agent makes these places before the application starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_points: Vec<MountPoint>,
    /// The secrets that kubelet reads as variables: each gets a file in
    /// [`ENV_DIRECTORY`](crate::layout::ENV_DIRECTORY) too. An agent that does not know the field
    /// writes none, and then kubelet does not create the containers that need them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<SecretName>,
    /// The files that the agent renders from all secrets. One that does not know the field writes
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rendered: Vec<RenderedFile>,
    /// Whether the directory has the rendered files alone, and not the secrets that they are made
    /// of. An agent that does not know the field writes both.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rendered_only: bool,
    /// The paths in the directory at which files are too, each by its name. One that does not know
    /// the field makes none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<SecretName, FilePath>,
    /// The other volumes that the agent fills. One that does not know the field leaves them empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<SecretVolume>,
}

impl Files {
    /// The secrets' files of this mode in a directory, and nothing else.
    #[must_use]
    pub fn new(directory: String, mode: FileMode) -> Self {
        Self {
            directory,
            mode,
            mount_points: Vec::new(),
            env: Vec::new(),
            rendered: Vec::new(),
            rendered_only: false,
            paths: BTreeMap::new(),
            volumes: Vec::new(),
        }
    }
}

/// A place below the secrets directory where another volume is mounted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MountPoint {
    /// The path below the directory: names with a slash between them, none of them starting with
    /// two dots.
    pub path: String,
    /// Whether what is mounted there is a file. A container runtime mounts neither over the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub file: bool,
}

impl MountPoint {
    /// The names in its path, or `None` if it leads elsewhere than below the directory.
    #[must_use]
    pub fn names(&self) -> Option<Vec<&str>> {
        file_path::names(&self.path)
    }
}

/// Why a configuration cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a field is missing or wrong.
    #[error("parse agent configuration: {0}")]
    Form(#[source] serde_json::Error),
    /// Written by a webhook of another version.
    #[error(
        "parse agent configuration: version {found} is not known to this agent, which reads \
         version {VERSION}; update the agent image"
    )]
    Version {
        /// The version it names.
        found: u32,
    },
}

impl AgentConfig {
    /// An agent that writes these files, and does nothing else.
    #[must_use]
    pub fn new(source: Source, bundles: Vec<BundleRef>, files: Files) -> Self {
        Self {
            version: VERSION,
            source,
            bundles,
            files,
            program_directory: None,
            reload: Reload::None,
            reload_timeout_seconds: None,
            verify: Vec::new(),
            readiness: None,
            metrics: None,
            agent_metrics: None,
        }
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// When it does not have a version and form that this build reads.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // The version first: a newer form may lack every field that this build knows.
        let Versioned { version } = serde_json::from_str(text).map_err(ConfigError::Form)?;
        if version != VERSION {
            return Err(ConfigError::Version { found: version });
        }
        serde_json::from_str(text).map_err(ConfigError::Form)
    }

    /// Writes the configuration, on one line and always in the same order.
    ///
    /// # Errors
    /// None for a value of this type; the serializer can return one.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> AgentConfig {
        let source = Source::Switchyard {
            address: "https://switchyard.enclii-system.svc".into(),
            ca: "-----BEGIN CERTIFICATE-----\n".into(),
            token_file: "/run/enclii/identity/token".into(),
        };
        let files = Files::new("/run/secrets".into(), FileMode::OWNER);
        let reload = Reload::Signal { signal: "SIGHUP".parse().unwrap(), container: "app".into() };
        let bundles = vec!["api-prod".parse().unwrap()];
        AgentConfig { reload, ..AgentConfig::new(source, bundles, files) }
    }

    #[test]
    fn the_form_of_version_1() {
        let json = sample().to_json().unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"version":1,"source":{"type":"switchyard","#,
                r#""address":"https://switchyard.enclii-system.svc","#,
                r#""ca":"-----BEGIN CERTIFICATE-----\n","#,
                r#""token_file":"/run/enclii/identity/token"},"#,
                r#""bundles":["api-prod"],"files":{"directory":"/run/secrets","mode":"0400"},"#,
                r#""reload":"signal=SIGHUP","reload_container":"app"}"#,
            )
        );
        assert_eq!(AgentConfig::from_json(&json).unwrap(), sample());
    }

    #[test]
    fn the_form_of_vault_as_the_source() {
        let json = concat!(
            r#"{"type":"vault","address":"https://vault.vault.svc:8200","ca":"-----BEGIN","#,
            r#""namespace":"team","auth_mount":"kubernetes","role":"api","token_file":"/t","#,
            r#""poll_seconds":5,"revoke_on_shutdown":true,"secrets":{"api-prod":{"DB_URL":{"#,
            r#""type":"kv","mount":"secret","path":"shop/api","field":"url"}}}}"#,
        );
        let source: Source = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&source).unwrap(), json);
        let Source::Vault(vault) = source else { panic!("another source") };
        assert_eq!((vault.poll_seconds.get(), vault.revoke_on_shutdown), (5, true));
        let short = concat!(
            r#"{"type":"vault","address":"http://127.0.0.1:8200","auth_mount":"kubernetes","#,
            r#""role":"api","token_file":"/t","secrets":{}}"#,
        );
        let Source::Vault(vault) = serde_json::from_str(short).unwrap() else { panic!() };
        assert_eq!((vault.poll_seconds.get(), vault.revoke_on_shutdown), (30, false));
        assert!(serde_json::from_str::<Source>(&json.replace(":5,", ":0,")).is_err());
        assert!(serde_json::from_str::<Source>(&json.replace("api-prod", "API")).is_err());
    }

    #[test]
    fn mount_points_are_read_and_stay_below_the_directory() {
        let mut config = sample();
        let point = |path: &str, file| MountPoint { path: path.to_owned(), file };
        config.files.mount_points = vec![point("azure/tokens", false), point("x.pem", true)];
        let json = config.to_json().unwrap();
        let expected = r#""mount_points":[{"path":"azure/tokens"},{"path":"x.pem","file":true}]"#;
        assert!(json.contains(expected), "{json}");
        assert_eq!(AgentConfig::from_json(&json).unwrap(), config);
        for (path, names) in [
            ("a", Some(vec!["a"])),
            ("a/.b/c", Some(vec!["a", ".b", "c"])),
            ("", None),
            ("/a", None),
            ("a//b", None),
            ("a/../b", None),
            ("..data", None),
            ("a/./b", None),
        ] {
            assert_eq!(point(path, false).names(), names, "{path}");
        }
    }

    #[test]
    fn the_variables_are_names() {
        let mut config = sample();
        config.files.env = vec!["DB".parse().unwrap(), "tls.crt".parse().unwrap()];
        let json = config.to_json().unwrap();
        assert!(json.contains(r#""mode":"0400","env":["DB","tls.crt"]"#), "{json}");
        assert_eq!(AgentConfig::from_json(&json).unwrap(), config);
        assert!(AgentConfig::from_json(&json.replace("tls.crt", "../x")).is_err());
    }

    #[test]
    fn other_paths_stay_below_the_directory() {
        let mut config = sample();
        let (file, path) = ("tls.crt".parse().unwrap(), "nginx/server.crt".parse().unwrap());
        config.files.paths = [(file, path)].into();
        let json = config.to_json().unwrap();
        assert!(json.contains(r#""paths":{"tls.crt":"nginx/server.crt"}"#), "{json}");
        assert_eq!(AgentConfig::from_json(&json).unwrap(), config);
        assert!(AgentConfig::from_json(&json.replace("nginx/", "../")).is_err());
    }

    #[test]
    fn checks_are_listed_as_in_the_annotation() {
        let mut config = sample();
        config.verify = ["tls=8443,sni=a", "postgres=DB"].map(|it| it.parse().unwrap()).to_vec();
        config.reload_timeout_seconds = Some(60);
        let path = "/ready".to_owned();
        config.readiness = Some(Readiness::Http { port: 80, path, tls: false });
        let json = config.to_json().unwrap();
        let expected = concat!(
            r#""reload_container":"app","reload_timeout_seconds":60,"#,
            r#""verify":["tls=8443,sni=a","postgres=DB"],"#,
            r#""readiness":{"type":"http","port":80,"path":"/ready"}}"#,
        );
        assert!(json.ends_with(expected), "{json}");
        assert_eq!(AgentConfig::from_json(&json).unwrap(), config);
        assert!(AgentConfig::from_json(&json.replace("postgres=", "exec=")).is_err());
    }

    #[test]
    fn the_agents_own_port_is_a_number_at_the_end() {
        let mut config = sample();
        config.agent_metrics = Some("9876".parse().unwrap());
        let json = config.to_json().unwrap();
        assert!(json.ends_with(r#","reload_container":"app","agent_metrics":9876}"#), "{json}");
        assert_eq!(AgentConfig::from_json(&json).unwrap(), config);
        assert!(AgentConfig::from_json(&json.replace("9876", "80")).is_err());
    }

    #[test]
    fn a_signal_without_a_container_is_refused() {
        let json = sample().to_json().unwrap();
        let error =
            AgentConfig::from_json(&json.replace(r#","reload_container":"app""#, "")).unwrap_err();
        assert!(error.to_string().contains("reload_container is missing"), "{error}");
        let without = json.replace(r#","reload":"signal=SIGHUP","reload_container":"app""#, "");
        assert_eq!(AgentConfig::from_json(&without).unwrap().reload, Reload::None);
    }

    #[test]
    fn another_version_is_named() {
        let error = AgentConfig::from_json(r#"{"version":2,"everything":"else"}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
        assert!(AgentConfig::from_json("{}").is_err());
        assert!(AgentConfig::from_json("").is_err());
    }
}
