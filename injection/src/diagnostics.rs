//! The violations and warnings of a decision. Every message about a pod's contents is here.
//!
//! A message names the path in the pod, the problem and a way to fix it. It may hold names that the
//! pod's author wrote, shortened and escaped. It never holds the value of a variable.

use contract::{BundleRef, SecretName, annotations, layout};

use crate::mount_point_conflict::MountPointConflict;

/// Everything that was found, in the order of the pod.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    pub(crate) violations: Vec<Violation>,
    pub(crate) warnings: Vec<Warning>,
    /// Whether there were more violations than are kept.
    has_more: bool,
}

/// The most violations that are kept, and the most warnings. Nobody reads more, and a pod could
/// have any number of them.
const MAX_KEPT: usize = 200;

/// The most warnings that are sent. The API server shortens them at 4 KiB in all.
const MAX_SENT_WARNINGS: usize = 20;

impl Diagnostics {
    pub(crate) fn deny(&mut self, violation: Violation) {
        if self.violations.len() >= MAX_KEPT {
            self.has_more = true;
        } else {
            self.violations.push(violation);
        }
    }

    /// Whether violations were left out, so that it is no use to look for more.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < MAX_KEPT {
            self.warnings.push(warning);
        }
    }

    /// The warnings for the pod's author.
    pub(crate) fn sent_warnings(&self) -> Vec<String> {
        let more = self.warnings.len().saturating_sub(MAX_SENT_WARNINGS);
        let sent = self.warnings.iter().take(MAX_SENT_WARNINGS).map(ToString::to_string);
        sent.chain((more > 0).then(|| format!("and {more} more warnings"))).collect()
    }

    /// All violations as one message, so that the author can fix all of them in one go.
    pub(crate) fn message(&self) -> String {
        // The message becomes an event of 1 KiB at most, and nobody reads a longer list.
        const MAX_LISTED: usize = 20;
        match self.violations.as_slice() {
            [only] => only.to_string(),
            all => {
                let plus = if self.has_more { "+" } else { "" };
                let mut message =
                    format!("{}{plus} problems keep this pod from getting its secrets:", all.len());
                for violation in all.iter().take(MAX_LISTED) {
                    message.push_str("\n- ");
                    message.push_str(&violation.to_string());
                }
                if all.len() > MAX_LISTED {
                    message.push_str(&format!("\n- and {}{plus} more", all.len() - MAX_LISTED));
                }
                message
            }
        }
    }
}

/// A user's text made safe for a message: at most 80 characters, on one line, with control
/// characters escaped.
pub fn printable(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

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
         the image runs as, or reload with http=… or none",
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
        "{at}, so the agent does not ask the cluster's resolver, which alone knows switchyard's \
         name: set spec.dnsPolicy to {policy}"
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
        "{at}: runs as root, and {} signal=… cannot reach it, because the agent has no rights over \
         a process with more capabilities than its own: set securityContext.runAsUser to another \
         UID, or reload with http=… or none",
        annotations::RELOAD
    )]
    RootSignalled { at: String },
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
        "{at}: uses $({name}), but the variable is removed from the pod: read the value from the \
         file that {name}_FILE names, or store the whole text as one secret, or list {name} in {}",
        annotations::PLAIN_ENV
    )]
    RemovedVariableUsed { at: String, name: String },
    #[error(
        "{at}: {name} is {what} in plain text, and no bundle of the pod has that key. Store it \
            with \
         `{set}` and remove the value from the manifest; if it is not a secret, list it in {}",
        annotations::PLAIN_ENV
    )]
    Plaintext { at: String, name: String, what: &'static str, set: String },
}

/// What the author of an admitted pod should know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Warning {
    #[error(
        "spec.dnsPolicy: is None, so the pod does not start unless the nameservers of its \
         dnsConfig know the name of switchyard's Service"
    )]
    OwnResolver,
    #[error("{0}")]
    UnknownAnnotation(String),
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
    #[error(
        "annotation {}: {mode} may keep container {container} from reading its files, since its \
            UID \
         is not the agent's {uid}",
        annotations::FILE_MODE
    )]
    Unreadable { mode: String, container: String, uid: i64 },
    #[error(
        "{at}: a mount at /var/run hides {} in images where /var/run is a link to /run; mount it \
         in a subdirectory",
        layout::SECRETS_DIRECTORY
    )]
    MayHideSecrets { at: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_violation_is_a_sentence_and_several_are_a_list() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.deny(Violation::HostPid);
        assert!(diagnostics.message().starts_with("spec.hostPID: is true"));
        for _ in 0..25 {
            diagnostics.deny(Violation::Windows);
        }
        let message = diagnostics.message();
        assert!(message.starts_with("26 problems keep this pod"), "{message}");
        assert_eq!(message.lines().count(), 22);
        assert!(message.ends_with("\n- and 6 more"), "{message}");
        for _ in 26..MAX_KEPT {
            diagnostics.deny(Violation::Windows);
        }
        assert!(!diagnostics.has_more() && diagnostics.message().starts_with("200 problems"));
        diagnostics.deny(Violation::Windows);
        let message = diagnostics.message();
        assert!(diagnostics.has_more() && message.starts_with("200+ problems"), "{message}");
        assert!(message.ends_with("\n- and 180+ more"), "{message}");
    }

    #[test]
    fn a_name_cannot_break_a_message() {
        assert_eq!(printable("A\nB\u{7}"), "A\\nB\\u{7}");
        assert_eq!(printable(&"é".repeat(100)).chars().count(), 81);
    }
}
