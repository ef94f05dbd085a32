//! Every annotation of the Injector (vault-k8s 1.7), and what becomes of it.
//! docs/from-vault-agent-injector.md has the same table, compared by a test.

/// The prefix of the Injector's keys.
pub const PREFIX: &str = "vault.hashicorp.com/";

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It has its effect.
    Used,
    /// It has none, and the author is told.
    Ignored,
    /// The pod is not admitted.
    Refused,
}

impl Treatment {
    /// The word in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        }
    }
}

/// Whether a key ends with the name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationForm {
    /// `NAME`.
    Pod,
    /// `NAME-FILE`.
    File,
    /// Either, and that of the file counts.
    Both,
}

/// An annotation of the Injector.
#[derive(Debug)]
pub struct VaultAnnotation {
    /// Its name after [`PREFIX`].
    pub name: &'static str,
    /// Whether a file's name follows.
    pub form: AnnotationForm,
    /// What becomes of it.
    pub treatment: Treatment,
    /// What it means here, or why it has no effect, and what takes its place.
    pub outcome: &'static str,
}

const fn used(name: &'static str, form: AnnotationForm, outcome: &'static str) -> VaultAnnotation {
    VaultAnnotation { name, form, treatment: Treatment::Used, outcome }
}

const fn ignored(
    name: &'static str,
    form: AnnotationForm,
    outcome: &'static str,
) -> VaultAnnotation {
    VaultAnnotation { name, form, treatment: Treatment::Ignored, outcome }
}

const fn refused(
    name: &'static str,
    form: AnnotationForm,
    outcome: &'static str,
) -> VaultAnnotation {
    VaultAnnotation { name, form, treatment: Treatment::Refused, outcome }
}

use AnnotationForm::{Both, File, Pod};

/// Every annotation, in the order of the documentation.
pub const ANNOTATIONS: &[VaultAnnotation] = &[
    used("agent-inject", Pod, "`true` opts the pod in"),
    used(
        "role",
        Pod,
        "the role to log in with, if the operator's `compatVault.roles` has it; without the \
         annotation the operator's `vaultRole`",
    ),
    used(
        "agent-inject-secret",
        File,
        "the path in Vault of a file of that name, rendered by the template or by the default one",
    ),
    used(
        "agent-inject-template",
        File,
        "the template of the file; its paths are read from Vault by the agent",
    ),
    used("agent-inject-file", File, "the file's name or path below the volume"),
    used(
        "agent-inject-perms",
        File,
        "the file's mode; 0644 without it. The agent can always read it",
    ),
    used(
        "agent-inject-command",
        File,
        "a signal or a POST on loopback becomes `enclii.io/reload`; any other command is refused \
         with the line that replaces it",
    ),
    used("agent-inject-default-template", Pod, "`map` or `json`, for files without a template"),
    used("agent-template-left-delim", File, "what begins an action of the template"),
    used("agent-template-right-delim", File, "what ends an action of the template"),
    used(
        "error-on-missing-key",
        Both,
        "a key that the secret does not have is an error; else it is `<no value>`",
    ),
    used("secret-volume-path", Both, "where the files are mounted; `/vault/secrets` without it"),
    used("preserve-secret-case", Both, "keeps upper case in a file's name"),
    used(
        "agent-inject-containers",
        Pod,
        "the containers that get the files, as `enclii.io/containers`",
    ),
    used(
        "agent-pre-populate-only",
        Pod,
        "the agent ends before the application starts, as `enclii.io/deliver: init`",
    ),
    used(
        "agent-revoke-on-shutdown",
        Pod,
        "revokes the token and its leases when the pod ends, where the agent outlives the \
         application",
    ),
    used(
        "auth-path",
        Pod,
        "the auth method to log in with, if the operator's `compatVault.authPaths` has it",
    ),
    used(
        "namespace",
        Pod,
        "the namespace of Vault, if the operator's `compatVault.namespaces` has it",
    ),
    used(
        "template-static-secret-render-interval",
        Pod,
        "how often the agent looks for changes, 5 s to an hour",
    ),
    used(
        "auth-type",
        Pod,
        "`kubernetes`; any other method is refused, since the agent's identity is the pod's \
         service account",
    ),
    ignored(
        "agent-inject-status",
        Pod,
        "the webhook looks at the pod itself, and writes `enclii.io/status`",
    ),
    ignored("agent-request-namespace", Pod, "the namespace is that of the request"),
    ignored("agent-image", Pod, "the agent's image is the operator's"),
    ignored(
        "agent-limits-cpu",
        Pod,
        "the agent is smaller; `enclii.io/agent-resources` changes its resources",
    ),
    ignored(
        "agent-limits-mem",
        Pod,
        "the agent is smaller; `enclii.io/agent-resources` changes its resources",
    ),
    ignored("agent-limits-ephemeral", Pod, "the agent writes to memory alone"),
    ignored(
        "agent-requests-cpu",
        Pod,
        "the agent is smaller; `enclii.io/agent-resources` changes its resources",
    ),
    ignored(
        "agent-requests-mem",
        Pod,
        "the agent is smaller; `enclii.io/agent-resources` changes its resources",
    ),
    ignored("agent-requests-ephemeral", Pod, "the agent writes to memory alone"),
    ignored("agent-run-as-user", Pod, "the agent runs as the application's user"),
    ignored("agent-run-as-group", Pod, "the agent runs as the application's user"),
    ignored("agent-run-as-same-user", Pod, "the agent runs as the application's user"),
    ignored("agent-set-security-context", Pod, "the agent always has the restricted one"),
    ignored("agent-share-process-namespace", Pod, "shared where a signal needs it"),
    ignored(
        "agent-service-account-token-volume-name",
        Pod,
        "the agent has a token of its own, with Vault's audience",
    ),
    ignored("agent-init-first", Pod, "the agent always comes first"),
    ignored("agent-pre-populate", Pod, "the application always starts with its files there"),
    ignored(
        "agent-revoke-grace",
        Pod,
        "the token is revoked when the agent, which ends last, is asked to stop",
    ),
    ignored("agent-cache-enable", Pod, "nothing listens: the agent keeps what it has read"),
    ignored(
        "agent-cache-use-auto-auth-token",
        Pod,
        "nothing listens: the agent keeps what it has read",
    ),
    ignored("agent-cache-listener-port", Pod, "nothing listens: the agent keeps what it has read"),
    ignored("agent-cache-exit-on-err", Pod, "nothing listens: the agent keeps what it has read"),
    ignored("agent-enable-quit", Pod, "a native sidecar ends with the pod, that of a Job too"),
    ignored(
        "agent-auto-auth-exit-on-err",
        Pod,
        "a pod without files ends with the reason, one with files keeps them",
    ),
    ignored(
        "agent-disable-idle-connections",
        Pod,
        "the agent has one connection and closes it after a secret",
    ),
    ignored(
        "agent-disable-keep-alives",
        Pod,
        "the agent has one connection and closes it after a secret",
    ),
    ignored(
        "agent-telemetry",
        File,
        "`enclii.io/agent-metrics` has the agent's numbers, and `enclii-agent status` says what it \
         does",
    ),
    ignored("auth-min-backoff", Pod, "the agent's waits are bounded and drawn at random"),
    ignored("auth-max-backoff", Pod, "the agent's waits are bounded and drawn at random"),
    ignored("client-max-retries", Pod, "the agent's waits are bounded and drawn at random"),
    ignored("client-timeout", Pod, "the agent waits 10 s for an answer"),
    ignored("go-max-procs", Pod, "the agent has one thread"),
    ignored("log-level", Pod, "the operator's"),
    ignored("log-format", Pod, "the operator's"),
    ignored(
        "template-config-exit-on-retry-failure",
        Pod,
        "a pod without files ends with the reason, one with files keeps them",
    ),
    ignored("template-max-connections-per-host", Pod, "the agent has one connection"),
    ignored(
        "template-lease-renewal-threshold",
        Pod,
        "a lease is replaced at two thirds of its time",
    ),
    refused(
        "service",
        Pod,
        "the address of Vault is the operator's `vaultAddress`; remove the annotation",
    ),
    refused("proxy-address", Pod, "the way to Vault is the operator's; remove the annotation"),
    refused(
        "tls-skip-verify",
        Pod,
        "Vault's certificate is always checked: the operator's `vaultCa` names its CA",
    ),
    refused(
        "tls-secret",
        Pod,
        "the CAs of Vault are the operator's `vaultCa`; remove the annotation",
    ),
    refused(
        "tls-server-name",
        Pod,
        "the certificate has to be of the operator's `vaultAddress`; remove the annotation",
    ),
    refused("ca-cert", Pod, "the CAs of Vault are the operator's `vaultCa`; remove the annotation"),
    refused("ca-key", Pod, "the CAs of Vault are the operator's `vaultCa`; remove the annotation"),
    refused(
        "client-cert",
        Pod,
        "the agent proves who the pod is with its service account; remove the annotation",
    ),
    refused(
        "client-key",
        Pod,
        "the agent proves who the pod is with its service account; remove the annotation",
    ),
    refused("auth-config", File, "the login is the operator's; remove the annotation"),
    refused(
        "agent-configmap",
        Pod,
        "a configuration of Vault Agent chooses addresses and roles: write its templates as \
         `agent-inject-template-FILE`",
    ),
    refused(
        "agent-extra-secret",
        Pod,
        "it is for a configuration of Vault Agent (`agent-configmap`); remove the annotation",
    ),
    refused(
        "agent-copy-volume-mounts",
        Pod,
        "the agent sees nothing of the application; write templates as \
         `agent-inject-template-FILE`",
    ),
    refused(
        "agent-inject-template-file",
        File,
        "a file of the application's is not the agent's: write the template as \
         `agent-inject-template-FILE`",
    ),
    refused(
        "agent-inject-token",
        Pod,
        "the application would act as the agent: have it log in by itself",
    ),
    refused(
        "agent-json-patch",
        Pod,
        "the agent's container is the operator's; `enclii.io/agent-resources` changes its \
         resources",
    ),
    refused(
        "agent-init-json-patch",
        Pod,
        "the agent's container is the operator's; `enclii.io/agent-resources` changes its \
         resources",
    ),
];
