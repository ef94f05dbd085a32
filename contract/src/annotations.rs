//! The annotations of a pod: the only parser of them.
//!
//! An annotation asks; it never decides. There is none for an address, an image, a role, a CA or a
//! path outside the secrets directory, because the author of a pod could then choose them.

mod error;
mod file_mode;
mod paths;
mod rendered;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::agent_metrics_port::AgentMetricsPort;
use crate::agent_resources::AgentResources;
use crate::bundle::BundleRef;
use crate::check::Check;
use crate::delivery::DeliveryRequest;
use crate::file_path::FilePath;
use crate::metrics_endpoint::MetricsEndpoint;
use crate::name::SecretName;
use crate::placement::Placement;
use crate::reload::ReloadRequest;
use crate::rendered::RequestedContents;

pub use error::{AnnotationError, AnnotationErrors, ValueError};
pub use file_mode::FileMode;
use paths::paths;
use rendered::rendered;
use value::{
    agent_resources, bundles, checks, container, deliveries, env_name, list, quoted, seconds,
};

/// The prefix of all keys.
pub const PREFIX: &str = "enclii.io/";
/// Bundle names, separated by commas; its presence opts the pod in.
pub const SECRETS: &str = "enclii.io/secrets";
/// How the application learns of a new generation.
pub const RELOAD: &str = "enclii.io/reload";
/// The container to signal.
pub const RELOAD_CONTAINER: &str = "enclii.io/reload-container";
/// How long the application may take to answer a POST.
pub const RELOAD_TIMEOUT: &str = "enclii.io/reload-timeout";
/// What must be true of the application after a reload.
pub const VERIFY: &str = "enclii.io/verify";
/// Where the application counts its requests.
pub const METRICS: &str = "enclii.io/metrics";
/// How the values reach the application.
pub const DELIVER: &str = "enclii.io/deliver";
/// Environment variables to remove when the webhook cannot know the bundle's keys.
pub const ENV: &str = "enclii.io/env";
/// Environment variables that look like credentials and are not.
pub const PLAIN_ENV: &str = "enclii.io/plain-env";
/// Containers that get the secrets.
pub const CONTAINERS: &str = "enclii.io/containers";
/// Where the agent is among the containers.
pub const PLACEMENT: &str = "enclii.io/placement";
/// Where the agent shows its own metrics.
pub const AGENT_METRICS: &str = "enclii.io/agent-metrics";
/// The agent's requests and limits.
pub const AGENT_RESOURCES: &str = "enclii.io/agent-resources";
/// The files' mode, octal.
pub const FILE_MODE: &str = "enclii.io/file-mode";

/// What became of the pod, written by the webhook alone.
pub const STATUS: &str = "enclii.io/status";

/// The beginning of the keys that ask for a rendered file: its name follows.
pub const TEMPLATE: &str = "enclii.io/template-";
/// Likewise, in a ready format.
pub const FORMAT: &str = "enclii.io/format-";

/// The beginning of the keys that give a file another path: the file's name follows.
pub const PATH: &str = "enclii.io/path-";

/// The most bundles of one pod.
pub const MAX_BUNDLES: usize = 16;

/// The longest value that is read, in bytes. The API server checks annotations only after the
/// webhook has seen them.
pub const MAX_VALUE_BYTES: usize = 32 << 10;

/// The longest time that an application may take to answer a POST, in seconds.
pub const MAX_RELOAD_TIMEOUT_SECONDS: u32 = 300;

/// The most unknown keys that get a warning.
const MAX_UNKNOWN: usize = 16;

/// The longest key that is compared with the known ones, in bytes.
const MAX_COMPARED: usize = 64;

/// All keys, each with the line of help that `enclii inject --help` shows.
pub const KEYS: &[(&str, &str)] = &[
    (SECRETS, "bundle names, comma separated; opts the pod in"),
    (
        RELOAD,
        "none (default), signal=SIGHUP, http=http://127.0.0.1:PORT/PATH (POST, 2xx = accepted), \
         haproxy=SOCKET (runtime API), postgres-reload=SECRET, redis-config=SECRET (each a login \
         with the URL in the secret), or restart",
    ),
    (
        RELOAD_CONTAINER,
        "the container to signal, or HAProxy's (default: the only application container)",
    ),
    (RELOAD_TIMEOUT, "how long a POST may take to be answered, 1s to 300s (default: 30s)"),
    (
        VERIFY,
        "what must be true after a reload, separated by ; or line breaks: tls=PORT, \
         http=http://127.0.0.1:PORT/PATH, postgres=SECRET, mysql=SECRET, redis=SECRET, each with \
         options (sni=, certificate=, starttls=, field=, timeout=); none (default: the readiness \
         probe)",
    ),
    (
        METRICS,
        "PORT/PATH of the application's metrics (Prometheus), from which the agent counts requests \
         while a new generation is looked at",
    ),
    (
        DELIVER,
        "files (default), env, exec, or NAME=files|env|exec for one secret; init leaves no sidecar",
    ),
    (ENV, "env names to take out where the webhook can't know the bundle's keys"),
    (PLAIN_ENV, "env names that look like credentials and are none"),
    (
        CONTAINERS,
        "containers that get the secrets, init containers too (default: all but other webhooks')",
    ),
    (PLACEMENT, "native, or first where the operator allows it (default: the operator's choice)"),
    (
        AGENT_METRICS,
        "the PORT of the agent's own metrics (Prometheus), 1024 to 65535 (default: the agent has \
         no port)",
    ),
    (
        AGENT_RESOURCES,
        "the agent's requests and limits, as limits.memory=32Mi,requests.cpu=10m (default: the \
         operator's)",
    ),
    (
        FILE_MODE,
        "octal mode of the files (default: 0400 where the application's UID is known, else 0444)",
    ),
];

/// The beginnings of the keys that end with the name of a file, each with its line of help.
pub const FILE_KEYS: &[(&str, &str)] = &[
    (TEMPLATE, "a template to render (minijinja) as FILE, or configmap=NAME/KEY where it is"),
    (FORMAT, "dotenv, json or properties: all secrets in FILE"),
    (PATH, "where FILE, a secret's or a rendered one, is too: a path below /run/secrets"),
];

/// What a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// The bundles, in the order written, each once; never empty.
    pub bundles: Vec<BundleRef>,
    /// How to notify the application.
    pub reload: ReloadRequest,
    /// The container to signal, if the pod names one.
    pub reload_container: Option<String>,
    /// How many seconds the application has to answer a POST, if the pod says.
    pub reload_timeout_seconds: Option<u32>,
    /// What must be true after a reload; `None` if the pod does not say, empty for nothing.
    pub verify: Option<Vec<Check>>,
    /// Where the application counts its requests, if the pod says.
    pub metrics: Option<MetricsEndpoint>,
    /// How the values reach the application.
    pub deliver: DeliveryRequest,
    /// The files to render from the secrets.
    pub rendered: BTreeMap<SecretName, RequestedContents>,
    /// Other paths at which files are, below the secrets directory, by the names of the files.
    pub paths: BTreeMap<SecretName, FilePath>,
    /// Environment variables to remove besides the bundles' keys.
    pub env: BTreeSet<String>,
    /// Environment variables to leave alone.
    pub plain_env: BTreeSet<String>,
    /// The containers that get the secrets; `None` means all.
    pub containers: Option<BTreeSet<String>>,
    /// Where the agent is, if the pod asks.
    pub placement: Option<Placement>,
    /// Where the agent shows its own metrics, if the pod asks for them.
    pub agent_metrics: Option<AgentMetricsPort>,
    /// Requests and limits of the agent, if the pod names some.
    pub agent_resources: AgentResources,
    /// The files' mode, if the pod names one.
    pub file_mode: Option<FileMode>,
    /// Keys under [`PREFIX`] that are not known. They get a warning.
    pub unknown: Vec<UnknownKey>,
}

/// A key under [`PREFIX`] that is not one of [`KEYS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// The key as written, or the beginning of a long one.
    pub key: String,
    /// The known key that resembles it.
    pub similar: Option<&'static str>,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "annotation {} is not known and has no effect", self.key.escape_debug())?;
        match self.similar {
            Some(similar) => write!(f, "; did you mean {similar}?"),
            None => Ok(()),
        }
    }
}

impl Annotations {
    /// Reads a pod's annotations. `Ok(None)` when the pod did not opt in.
    ///
    /// # Errors
    /// Every mistake in every value, so that the author can correct all of them at once.
    pub fn parse<'a>(
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, AnnotationErrors> {
        let mut values: [Option<&str>; KEYS.len()] = [None; KEYS.len()];
        let (mut unknown, mut files, mut other_paths) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in annotations {
            if let Some(at) = KEYS.iter().position(|(known, _)| *known == key) {
                values[at] = Some(value);
            } else if key.starts_with(TEMPLATE) || key.starts_with(FORMAT) {
                files.push((key, value));
            } else if key.starts_with(PATH) {
                other_paths.push((key, value));
            } else if key.starts_with(PREFIX) && key != STATUS && unknown.len() < MAX_UNKNOWN {
                unknown.push(UnknownKey { key: quoted(key), similar: similar(key) });
            }
        }
        let [
            secrets,
            reload,
            reload_container,
            reload_timeout,
            verify,
            metrics,
            deliver,
            env,
            plain_env,
            containers,
            placement,
            agent_metrics,
            resources,
            file_mode,
        ] = values;
        let Some(secrets) = secrets else { return Ok(None) };
        unknown.sort_by(|a, b| a.key.cmp(&b.key));

        let mut errors = Errors::default();
        let parsed = Self {
            bundles: errors.collect(SECRETS, Some(secrets), bundles),
            reload: errors.collect(RELOAD, reload, |text| {
                one(text.trim().parse().map_err(ValueError::Reload))
            }),
            reload_container: errors.collect(RELOAD_CONTAINER, reload_container, |text| {
                one(container(text.trim()).map(Some))
            }),
            reload_timeout_seconds: errors.collect(RELOAD_TIMEOUT, reload_timeout, |text| {
                one(seconds(text.trim()).map(Some))
            }),
            verify: errors.collect(VERIFY, verify, |text| checks(text).map(Some)),
            metrics: errors.collect(METRICS, metrics, |text| {
                one(text.trim().parse().map(Some).map_err(ValueError::Metrics))
            }),
            deliver: errors.collect(DELIVER, deliver, deliveries),
            rendered: rendered(files, &mut errors),
            paths: paths(other_paths, &mut errors),
            env: errors.collect(ENV, env, |text| list(text, env_name)),
            plain_env: errors.collect(PLAIN_ENV, plain_env, |text| list(text, env_name)),
            containers: errors
                .collect(CONTAINERS, containers, |text| list(text, container).map(Some)),
            placement: errors.collect(PLACEMENT, placement, |text| {
                one(text.trim().parse().map(Some).map_err(ValueError::Placement))
            }),
            agent_metrics: errors.collect(AGENT_METRICS, agent_metrics, |text| {
                one(text.trim().parse().map(Some).map_err(ValueError::AgentMetrics))
            }),
            agent_resources: errors.collect(AGENT_RESOURCES, resources, agent_resources),
            file_mode: errors
                .collect(FILE_MODE, file_mode, |text| one(text.trim().parse().map(Some))),
            unknown,
        };
        // What `reload` should have been is not known if it has a mistake.
        let is_post = matches!(parsed.reload, ReloadRequest::Http(_)) || errors.has(RELOAD);
        if parsed.reload_timeout_seconds.is_some() && !is_post {
            errors.add(RELOAD_TIMEOUT, ValueError::TimeoutWithoutPost);
        }
        AnnotationErrors::check(errors.0)?;
        Ok(Some(parsed))
    }

    /// Whether a container reads files itself, and so needs the volume: a secret's, one that is
    /// rendered, or one at another path.
    #[must_use]
    pub fn needs_volume(&self) -> bool {
        self.deliver.needs_volume() || !self.rendered.is_empty() || !self.paths.is_empty()
    }
}

/// Goes on after a mistake, so that the later ones are found too.
#[derive(Default)]
struct Errors(Vec<AnnotationError>);

impl Errors {
    fn add(&mut self, key: &'static str, source: ValueError) {
        self.0.push(AnnotationError { key, source });
    }

    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|error| error.key == key)
    }

    /// The parsed value, or the default when it is absent or wrong.
    fn collect<T: Default>(
        &mut self,
        key: &'static str,
        value: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, Vec<ValueError>>,
    ) -> T {
        let parse = |value: &str| match value.len() {
            0..=MAX_VALUE_BYTES => parse(value),
            length => Err(vec![ValueError::TooLong(length)]),
        };
        value.map_or_else(|| Ok(T::default()), parse).unwrap_or_else(|errors| {
            self.0.extend(errors.into_iter().map(|source| AnnotationError { key, source }));
            T::default()
        })
    }
}

fn one<T>(result: Result<T, ValueError>) -> Result<T, Vec<ValueError>> {
    result.map_err(|error| vec![error])
}

/// The known key within two edits of `key`.
fn similar(key: &str) -> Option<&'static str> {
    if key.len() > MAX_COMPARED {
        return None;
    }
    KEYS.iter()
        .map(|(known, _)| (strsim::levenshtein(known, key), *known))
        .min()
        .filter(|(edits, _)| *edits <= 2)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
