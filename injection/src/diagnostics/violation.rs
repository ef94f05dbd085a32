//! Why a pod cannot be admitted.

use contract::template::TemplateFault;
use contract::{BundleRef, Check, FilePath, Quantity, SecretName, annotations, layout};

use super::NotFirst;
use crate::agent_metrics_problem::AgentMetricsProblem;
use crate::haproxy_socket_problem::HaproxySocketProblem;
use crate::kubernetes_version::KubernetesVersion;
use crate::mount_point_conflict::MountPointConflict;
use crate::references::ReferenceProblem;
use crate::secret_volume_problem::SecretVolumeProblem;

/// Why a pod cannot be admitted. `at` is a path such as
/// `spec.containers[0].env[2] in container api`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("{what}: the pod has {count}, and a pod with secrets may have {maximum} at most")]
    TooMany { what: &'static str, count: usize, maximum: usize },
    #[error(
        "{at}: with it, the pod would need more than {maximum} changes: name the variables that \
         the application reads in env instead of taking all of them from envFrom"
    )]
    TooManyChanges { at: String, maximum: usize },
    #[error(
        "{at}: the names of the variables that kubelet reads from files have more than 512 KiB \
         together, and each is in the patch three times: deliver some of them as files"
    )]
    LongVariables { at: String },
    #[error("{0}")]
    Annotation(String),
    #[error(
        "annotation {}: {name} is not a valid file name; use letters, digits, '_', '.' and '-'",
        annotations::ENV
    )]
    InvalidFileName { name: String },
    #[error(
        "annotation {}: bundle {bundle} does not exist in namespace {namespace} for service \
            account \
         {service_account} yet: write its first secret with `{set}`, and check that the namespace \
         has the labels {} and {}; the pod is admitted as soon as the bundle exists",
        annotations::SECRETS,
        layout::PROJECT_LABEL,
        layout::ENVIRONMENT_LABEL
    )]
    UnknownBundle { bundle: BundleRef, namespace: String, service_account: String, set: String },
    #[error(
        "annotation {}: bundle {bundle} does not exist in namespace {namespace} yet: create the \
         SecretBundle {bundle} there, whose spec.vault says where each of its keys is in Vault; \
         the pod is admitted as soon as it exists",
        annotations::SECRETS
    )]
    UnknownMapping { bundle: BundleRef, namespace: String },
    #[error(
        "annotation {}: bundle {bundle} does not say where its keys are in Vault, which is the \
         source of secrets here: map each in spec.vault of the SecretBundle, as with `{map}`",
        annotations::SECRETS
    )]
    NoMapping { bundle: BundleRef, map: String },
    #[error(
        "annotation {}: bundle {bundle} does not say where these keys are in Vault, or not in a \
         form or length that this webhook takes: {keys}: map them in spec.vault of the \
         SecretBundle, as with `{map}`, or take them out of the object",
        annotations::SECRETS
    )]
    UnmappedKeys { bundle: BundleRef, keys: String, map: String },
    #[error(
        "annotation {}: {name} is in no bundle of the pod, so nothing says where it is in Vault: \
         map it with `{map}`, or take it out of the annotation",
        annotations::ENV
    )]
    UnmappedVariable { name: String, map: String },
    #[error(
        "annotation {}: the mappings of the pod's bundles to Vault have more than {maximum} KiB \
         together, and they are in one variable of the agent: split the pod's bundles, or shorten \
         the parameters",
        annotations::SECRETS
    )]
    LongMapping { maximum: usize },
    #[error(
        "annotation {}: bundle {bundle} only says where its keys are in Vault, and the source of \
         secrets here is switchyard: write its secrets with enclii secrets set, or ask the \
         operator for source: vault in the webhook's configuration",
        annotations::SECRETS
    )]
    OnlyMapped { bundle: BundleRef },
    #[error(
        "the agent's configuration would have {bytes} bytes, and a variable may have {maximum} at \
         most: have fewer templates, checks or bundles in the pod, or shorter ones"
    )]
    LongConfig { bytes: usize, maximum: usize },
    #[error(
        "annotation {}: bundles {first} and {second} both have the key {key}, and both would write \
         the same file: rename the key in one of them, or list only one of the bundles",
        annotations::SECRETS
    )]
    SharedKey { key: SecretName, first: BundleRef, second: BundleRef },
    #[error(
        "annotation {}: bundles {first} and {second} have keys in common, and both would write the \
         same files: `enclii secrets list` shows them; rename the keys in one of the bundles, or \
         list only one of them",
        annotations::SECRETS
    )]
    SharedKeys { first: BundleRef, second: BundleRef },
    #[error(
        "annotation {}: env needs Kubernetes {}, and the cluster has {cluster}: use exec or files",
        annotations::DELIVER,
        KubernetesVersion::FILE_KEYS
    )]
    EnvNeedsFileKeys { cluster: KubernetesVersion },
    #[error(
        "annotation {annotation}: it depends on the cluster's version, which the webhook has not \
         learned yet: try again"
    )]
    UnknownVersion { annotation: &'static str },
    #[error(
        "annotation {}: {reload} needs an agent beside the application, and {}: init leaves none: \
         remove one of them",
        annotations::RELOAD,
        annotations::DELIVER
    )]
    ReloadWithInit { reload: String },
    #[error("annotation {}: haproxy={socket}: {problem}", annotations::RELOAD)]
    HaproxySocket { socket: String, problem: HaproxySocketProblem },
    #[error(
        "annotation {}: {reload}: {name} is no key of the pod's bundles: write it with `{set}`",
        annotations::RELOAD
    )]
    ReloadSecret { reload: String, name: SecretName, set: String },
    #[error(
        "annotation {}: checks need an agent beside the application, and {}: init leaves none: \
         remove one of them",
        annotations::VERIFY,
        annotations::DELIVER
    )]
    VerifyWithInit,
    #[error(
        "annotation {}: {check}: {name} is no key of the pod's bundles: write it with `{set}`",
        annotations::VERIFY
    )]
    CheckedSecret { check: Check, name: SecretName, set: String },
    #[error(
        "annotation {}: first is not allowed by the operator (agentPlacement in the webhook's \
         configuration): remove the annotation",
        annotations::PLACEMENT
    )]
    PlacementNotAllowed,
    #[error("annotation {}: {problem}", annotations::AGENT_METRICS)]
    AgentMetrics { problem: AgentMetricsProblem },
    #[error(
        "annotation {}: {name} is {quantity}, and may be {}{most} at most (agentMax… in the \
         webhook's configuration)",
        annotations::AGENT_RESOURCES,
        .least.as_ref().map_or_else(String::new, |least| format!("{least} at least and "))
    )]
    AgentResourceBounds {
        name: &'static str,
        quantity: Quantity,
        least: Option<Quantity>,
        most: Quantity,
    },
    #[error(
        "annotation {}: the {name} request {request} is over the limit {limit}: raise \
         limits.{name}, or lower requests.{name}",
        annotations::AGENT_RESOURCES
    )]
    AgentRequestOverLimit { name: &'static str, request: Quantity, limit: Quantity },
    #[error(
        "{at}: mounts a volume at /run that cannot hold a directory secrets, where the secrets \
         are mounted: mount it below /run, or leave the container out of {}",
        annotations::CONTAINERS
    )]
    ReadOnlyRun { at: String },
    #[error(
        "the agent is a native sidecar, which needs Kubernetes {}, and the cluster has {cluster}: \
         ask the operator for agentPlacement: first, or use {}: init",
        KubernetesVersion::NATIVE_SIDECARS,
        annotations::DELIVER
    )]
    NoNativeSidecars { cluster: KubernetesVersion },
    #[error(
        "the agent cannot be the first container: {reason}; and a native sidecar needs Kubernetes \
         {}, and the cluster has {cluster}: use {}: init",
        KubernetesVersion::NATIVE_SIDECARS,
        annotations::DELIVER
    )]
    NoPlacement { cluster: KubernetesVersion, reason: NotFirst },
    #[error("annotation {annotation}: the pod has no container {name}; it has {known}")]
    NoSuchContainer { annotation: &'static str, name: String, known: String },
    #[error(
        "annotation {}: is missing, and {} needs to know which of the application containers \
         {known} to signal: name one",
        annotations::RELOAD_CONTAINER,
        annotations::RELOAD
    )]
    ReloadContainerMissing { known: String },
    #[error(
        "annotation {}: container {name} is an init container that ends before the application \
         starts: name one that keeps running",
        annotations::RELOAD_CONTAINER
    )]
    SignalledContainerEnds { name: String },
    #[error(
        "annotation {}: container {name} is to be signalled but is not in {}: add it there",
        annotations::RELOAD_CONTAINER,
        annotations::CONTAINERS
    )]
    SignalledWithoutSecrets { name: String },
    #[error(
        "{at}: securityContext.runAsUser is not set, and {} signal=… needs it, because a process \
         can only signal processes with its own UID: set securityContext.runAsUser to the UID that \
         the application runs as (0 for root), or reload with http=… or none",
        annotations::RELOAD
    )]
    UnknownUid { at: String },
    #[error(
        "spec.shareProcessNamespace: is false, and {} signal=… needs it to be true: remove the \
         field, or reload with http=… or none",
        annotations::RELOAD
    )]
    ProcessNamespaceNotShared,
    #[error(
        "spec.hostPID: is true, and {} signal=… would let the agent see every process of the node: \
         remove hostPID, or reload with http=… or none",
        annotations::RELOAD
    )]
    HostPid,
    #[error(
        "{at}, so the agent does not ask the cluster's resolver, which alone knows the \
         name of the secrets' source: set spec.dnsPolicy to {policy}"
    )]
    HostResolver { at: String, policy: &'static str },
    #[error(
        "spec.os.name: is windows, which has no memory volumes and no signals: remove the \
         annotation {}",
        annotations::SECRETS
    )]
    Windows,
    #[error(
        "{at}: mountPath {path} is where the secrets are mounted: mount it somewhere else, or \
            leave \
         the container out of {}",
        annotations::CONTAINERS
    )]
    MountPathTaken { at: String, path: String },
    #[error(
        "{at}: mountPath {path} is inside {} (/var/run is a link to /run in most images), and \
         {reason}: mount it somewhere else, or leave the container out of {}",
        layout::SECRETS_DIRECTORY,
        annotations::CONTAINERS
    )]
    MountPathInside { at: String, path: String, reason: MountPointConflict },
    #[error(
        "{at}: mountPath {path} overlaps {}, where the container that is signalled has its mark: \
         mount it somewhere else, or reload with http=… or none",
        layout::CONTAINER_MARK_DIRECTORY
    )]
    MarkPathTaken { at: String, path: String },
    #[error(
        "{at}: {name} comes from a file of the volume {}, and no secret of the pod's bundles is \
         there: remove the fileKeyRef",
        layout::SECRETS_VOLUME
    )]
    ReservedFile { at: String, name: String },
    #[error("{at}: mounts the volume {volume}, which only the webhook may mount: remove the mount")]
    ReservedVolumeMounted { at: String, volume: &'static str },
    #[error(
        "spec.volumes[{index}]: is named {volume}, a name that is reserved for a volume of the \
         webhook: rename it"
    )]
    VolumeNameTaken { index: usize, volume: &'static str },
    #[error(
        "{at}: is named {name}, a name that is reserved for the agent, and is not the agent \
         ({difference}): rename it",
        name = layout::AGENT_CONTAINER
    )]
    AgentNameTaken { at: String, difference: String },
    #[error(
        "{at}: {variable} replaces {name}, but {variable} already exists with a value other than \
         {path}: remove it, or list {name} in {}",
        annotations::PLAIN_ENV
    )]
    VariableTaken { at: String, name: String, variable: String, path: String },
    #[error("{at}: {name} is set by the webhook in the container that is signalled: remove it")]
    MarkerTaken { at: String, name: &'static str },
    #[error(
        "{at}: {name} is a secret of the pod's bundles, but the container is not in {}: add the \
         container there, or remove the variable",
        annotations::CONTAINERS
    )]
    SecretOutsideContainers { at: String, name: String },
    #[error(
        "{at}: takes its variables from the Secret {bundle}, which the bundle replaces, but the \
         container is not in {}: add the container there, or remove the entry",
        annotations::CONTAINERS
    )]
    SourceOutsideContainers { at: String, bundle: BundleRef },
    #[error(
        "{at}: mounts the Secret {bundle}, which the bundle replaces, but the container is not in \
         {}: add the container there, or remove the mount",
        annotations::CONTAINERS
    )]
    VolumeOutsideContainers { at: String, bundle: BundleRef },
    #[error("{at}: holds the Secret {bundle}, which the bundle replaces, but {problem}")]
    SecretVolume { at: String, bundle: BundleRef, problem: SecretVolumeProblem },
    #[error(
        "{at}: takes its variables from the Secret {bundle}, which the bundle replaces, and the \
         webhook lists a bundle's keys to the API server alone, which it cannot tell from others \
         here: name each variable in env with a secretKeyRef instead, or have the operator set up \
         the API server's client certificate (docs/guide.md, 'Who may ask the webhook')"
    )]
    SourceListsKeys { at: String, bundle: BundleRef },
    #[error(
        "{at}: {name} is the key {key} of the Secret {bundle}, but the bundle {bundle} has no such \
         key: write it with `{set}`"
    )]
    NoSuchKey { at: String, name: String, key: String, bundle: BundleRef, set: String },
    #[error(
        "{at}: {name} is a reference that the operator maps to bundle {bundle}, but {problem}. To \
         leave it as it is, list {name} in {}",
        annotations::PLAIN_ENV
    )]
    Reference { at: String, name: String, bundle: BundleRef, problem: ReferenceProblem },
    #[error(
        "{at}: uses $({name}), but the variable is removed from the pod: read the value from the \
         file that {name}_FILE names, or store the whole text as one secret, or list {name} in {}",
        annotations::PLAIN_ENV
    )]
    RemovedVariableUsed { at: String, name: String },
    #[error(
        "{at}: uses $({name}), which kubelet expands before the agent's program sets the \
         variable: let a shell expand it (sh -c 'exec app \"${name}\"'), or deliver it as a \
         variable of the container ({}: {name}=env)",
        annotations::DELIVER
    )]
    ExecVariableUsed { at: String, name: String },
    #[error(
        "{at}: uses $({name}), which kubelet replaces there by a literal value of env at most: \
         have a shell read the variable (sh -c 'exec app \"${name}\"') and deliver it as a \
         variable of the container ({}: {name}=env), or list {name} in {}",
        annotations::DELIVER,
        annotations::PLAIN_ENV
    )]
    HandlerVariableUsed { at: String, name: String },
    #[error(
        "{at}: has no command, so the agent's program cannot start it: set command to the image's \
         entrypoint and, without args, its command (crane config IMAGE, or docker image inspect \
         IMAGE, prints both), or deliver the variables with {}: env (Kubernetes 1.35 and later) \
         or files",
        annotations::DELIVER
    )]
    ExecWithoutCommand { at: String },
    #[error(
        "annotation for the rendered file {file}: bundle {bundle} has a key of that name, which \
         is a file too: rename the rendered file"
    )]
    RenderedNameTaken { file: SecretName, bundle: BundleRef },
    #[error("annotation {}{file}: {fault}", annotations::TEMPLATE)]
    Template { file: SecretName, fault: TemplateFault },
    #[error(
        "annotation {}{file}: line {line}: {name} is no key of the pod's bundles: write it with \
         `{set}`, or have the template do without it ({{% if {name} is defined %}})",
        annotations::TEMPLATE
    )]
    TemplateName { file: SecretName, line: usize, name: String, set: String },
    #[error(
        "annotation {}{file}: {path} begins with the name of another file of the pod: choose \
         another path",
        annotations::PATH
    )]
    PathTaken { file: SecretName, path: FilePath },
    #[error(
        "{at}: {} is the variable by which the agent's program knows what to set, so it cannot be \
         a secret: rename the variable",
        layout::EXEC_VARIABLE
    )]
    ProgramVariableTaken { at: String },
    #[error(
        "{at}: has {names} variables from secrets, whose names have more than {maximum} bytes \
         together: name those that the application reads in env instead of taking all of them \
         from envFrom"
    )]
    TooManyVariables { at: String, names: usize, maximum: usize },
    #[error(
        "{at}: {name} is {what} in plain text, and no bundle of the pod has that key. Store it \
            with \
         `{set}` and remove the value from the manifest; if it is not a secret, list it in {}",
        annotations::PLAIN_ENV
    )]
    Plaintext { at: String, name: String, what: &'static str, set: String },
}
