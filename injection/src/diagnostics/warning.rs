//! What the author of an admitted pod should know.

use contract::{BundleRef, Quantity, SecretName, annotations, layout};

use super::NotFirst;
use crate::kubernetes_version::KubernetesVersion;

/// What the author of an admitted pod should know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Warning {
    #[error(
        "spec.dnsPolicy: is None, so the pod does not start unless the nameservers of its \
         dnsConfig know the name of switchyard's Service"
    )]
    OwnResolver,
    #[error(
        "annotation {}: the agent is a native sidecar, because {reason}",
        annotations::PLACEMENT
    )]
    PlacedNative { reason: NotFirst },
    #[error(
        "a LimitRange gives container {container} the memory limit {limit}, and the agent has \
         {agent}: if it allows no more, the pod is refused; with {}: limits.memory={limit}, it is \
         not",
        annotations::AGENT_RESOURCES
    )]
    LimitRange { container: String, limit: Quantity, agent: Quantity },
    #[error(
        "{at}: mounts a read-only volume at /run, so the container does not start unless that \
         has a directory secrets"
    )]
    ReadOnlyRun { at: String },
    #[error(
        "the containers with secrets have different SELinux levels \
         (securityContext.seLinuxOptions), so some may not read their files"
    )]
    SeLinuxLevels,
    #[error(
        "annotation {}: {container} does not set securityContext.runAsUser, so the agent runs as \
         {uid}, which HAProxy has to let use {socket}: set runAsUser, or a mode of the socket",
        annotations::RELOAD
    )]
    HaproxyUser { container: String, uid: i64, socket: String },
    #[error("{0}")]
    UnknownAnnotation(String),
    #[error("annotation {annotation} has no effect: {why}")]
    VaultAnnotation { annotation: String, why: String },
    #[error(
        "annotation {}: no bundle of the pod has the key {name}, and {} does not list it",
        annotations::DELIVER,
        annotations::ENV
    )]
    UnknownDelivery { name: SecretName },
    #[error(
        "annotation {}{file}: no bundle of the pod has that key, and no annotation renders that \
         file",
        annotations::PATH
    )]
    UnknownPath { file: SecretName },
    #[error(
        "annotation {}: a container keeps the variables that it was created with, so a new value \
         reaches the application by a rolling restart: kubectl -n {namespace} rollout restart \
         deployment/NAME; with {}: restart, the agent restarts the containers (Kubernetes {})",
        annotations::DELIVER,
        annotations::RELOAD,
        KubernetesVersion::RESTARTS_ALL_CONTAINERS
    )]
    VariablesStay { namespace: String },
    #[error(
        "annotation {}: restart needs Kubernetes {}, and the cluster has {cluster}, so a new value \
         reaches the application by a rolling restart: kubectl -n {namespace} rollout restart \
         deployment/NAME",
        annotations::RELOAD,
        KubernetesVersion::RESTARTS_ALL_CONTAINERS
    )]
    NoRestarts { cluster: KubernetesVersion, namespace: String },
    #[error(
        "{at}: {name} looks like a credential in plain text; store it with enclii secrets set, or \
         list it in {}",
        annotations::PLAIN_ENV
    )]
    LooksLikeCredential { at: String, name: String },
    #[error(
        "{at}: looks like {what} in plain text; store it with enclii secrets set and read it from \
         its file"
    )]
    CredentialElsewhere { at: String, what: &'static str },
    #[error(
        "the pod holds more literals than a review looks at, so credentials may be among the rest; \
         `enclii scan` looks at all of them"
    )]
    NotAllExamined,
    #[error(
        "{at}: {name} is a reference to another store, and stays as it is, since no rule of the \
         operator maps it to a bundle (`foreignReferences` in the webhook's configuration)"
    )]
    UnmappedReference { at: String, name: String },
    #[error(
        "annotation {}: {name} is a key of bundle {bundle} and stays in plain text",
        annotations::PLAIN_ENV
    )]
    PlainKey { name: String, bundle: BundleRef },
    #[error(
        "annotation {}: no container that gets the secrets has the variable {name}",
        annotations::ENV
    )]
    AbsentEnv { name: String },
    #[error(
        "{at}: {name} is a key of bundle {bundle} but comes from another source, and is not changed"
    )]
    OtherSource { at: String, name: String, bundle: BundleRef },
    #[error("{at}: {name} is left out, since it is optional and bundle {bundle} has no key {key}")]
    AbsentOptional { at: String, name: String, key: String, bundle: BundleRef },
    #[error(
        "annotation {}: {mode} may keep container {container} from reading its files, since its \
            UID \
         is not the agent's {uid}",
        annotations::FILE_MODE
    )]
    Unreadable { mode: String, container: String, uid: String },
    #[error(
        "{at}: a shell finds ${name} empty there, since the variable is not in the container's \
         environment: read the value from its file"
    )]
    ShellUse { at: String, name: String },
    #[error(
        "{at}: {program} does not handle {signal} by itself: unless the application does, it ends \
         or is not told; install a handler, or use another value of {} (docs/guide.md, 'Programs \
         without a handler')",
        annotations::RELOAD
    )]
    UnhandledSignal { at: String, program: &'static str, signal: &'static str },
    #[error(
        "{at}: a mount at /var/run hides {} in images where /var/run is a link to /run; mount it \
         in a subdirectory",
        layout::SECRETS_DIRECTORY
    )]
    MayHideSecrets { at: String },
}
