//! What a decision has found wrong, and what it wants to say: every text of the webhook in one
//! place.
//!
//! A text names the JSON path, what is wrong and the way out. It may hold names that the pod's
//! author wrote, shortened and escaped; it never holds the value of a variable.

use contract::layout;
use contract::{BundleRef, SecretName, annotations};

use crate::credential::Kind;

/// All that was found, in the order of the pod.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) warnings: Vec<Warning>,
}

impl Findings {
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refusals.push(refusal);
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// Everything that stands against the pod, as one message: whoever mends it should need one
    /// try.
    pub(crate) fn message(&self) -> String {
        // A message goes into an event, which holds a kilobyte; past this nobody reads on either.
        const SHOWN: usize = 20;
        match self.refusals.as_slice() {
            [only] => only.to_string(),
            all => {
                let mut message =
                    format!("{} things keep this pod from getting its secrets:", all.len());
                for refusal in all.iter().take(SHOWN) {
                    message.push_str("\n- ");
                    message.push_str(&refusal.to_string());
                }
                if all.len() > SHOWN {
                    message.push_str(&format!("\n- and {} more", all.len() - SHOWN));
                }
                message
            }
        }
    }
}

/// A name that somebody else chose, made fit for a message: short, on one line, without control
/// characters.
pub fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

/// Why a pod cannot be admitted. `at` is a place as `spec.containers[0].env[2] in container api`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Annotation(String),
    #[error(
        "annotation {}: {name} cannot be the name of a file; write names of letters, digits, '_', '.' and '-'",
        annotations::ENV
    )]
    EnvIsNoFile { name: String },
    #[error(
        "annotation {}: bundle {bundle} does not exist in namespace {namespace} for service account {service_account} yet: \
         write its first secret with `{set}`, and see that the namespace has the labels {} and {}; \
         the pod is admitted as soon as the bundle exists",
        annotations::SECRETS,
        layout::PROJECT_LABEL,
        layout::ENVIRONMENT_LABEL
    )]
    UnknownBundle { bundle: BundleRef, namespace: String, service_account: String, set: String },
    #[error(
        "annotation {}: bundles {first} and {second} both have the key {key}, which would be one file: rename it in one of them, or name one bundle only",
        annotations::SECRETS
    )]
    SharedKey { key: SecretName, first: BundleRef, second: BundleRef },
    #[error("annotation {annotation}: the pod has no container {name}; it has {known}")]
    NoSuchContainer { annotation: &'static str, name: String, known: String },
    #[error(
        "annotation {}: is missing, and {} must know which of the application containers {known} to signal: name one",
        annotations::RELOAD_CONTAINER,
        annotations::RELOAD
    )]
    WhichContainer { known: String },
    #[error(
        "annotation {}: container {name} is an init container that ends before the application starts: name one that goes on running",
        annotations::RELOAD_CONTAINER
    )]
    ContainerEnds { name: String },
    #[error(
        "annotation {}: container {name} is to be signalled but is not in {}: add it there",
        annotations::RELOAD_CONTAINER,
        annotations::CONTAINERS
    )]
    SignalledWithoutSecrets { name: String },
    #[error(
        "{at}: securityContext.runAsUser is not set, and {} signal=… needs it, because a process may only signal processes of its own UID: \
         set securityContext.runAsUser to the UID that the image runs as, or reload with http=… or none",
        annotations::RELOAD
    )]
    UnknownUid { at: String },
    #[error(
        "spec.shareProcessNamespace: is false, and {} signal=… needs it to be true: take the field out, or reload with http=… or none",
        annotations::RELOAD
    )]
    ProcessesNotShared,
    #[error(
        "spec.hostPID: is true, and {} signal=… would let the agent see every process of the node: take hostPID out, or reload with http=… or none",
        annotations::RELOAD
    )]
    HostProcesses,
    #[error(
        "spec.os.name: is windows, which has no memory volume and no signals: take the annotation {} off",
        annotations::SECRETS
    )]
    Windows,
    #[error(
        "{at}: mountPath {path} is where the secrets are mounted: mount it somewhere else, or leave the container out of {}",
        annotations::CONTAINERS
    )]
    MountTaken { at: String, path: String },
    #[error(
        "{at}: mountPath {path} is inside {}, which is mounted read-only (/var/run is a link to /run in most images), so the container would not start: \
         mount it somewhere else, or leave the container out of {}",
        layout::SECRETS_DIRECTORY,
        annotations::CONTAINERS
    )]
    MountBelow { at: String, path: String },
    #[error(
        "{at}: runs as root, and {} signal=… cannot reach it, because the agent has no right over a process with more rights than its own: \
         set securityContext.runAsUser to another UID, or reload with http=… or none",
        annotations::RELOAD
    )]
    RootSignalled { at: String },
    #[error(
        "{at}: mounts the volume {volume}, which the webhook mounts itself where it belongs: take the mount out"
    )]
    OurVolume { at: String, volume: &'static str },
    #[error(
        "spec.volumes[{index}]: is already named {volume}, which is the name of a volume of the webhook's: rename it"
    )]
    VolumeTaken { index: usize, volume: &'static str },
    #[error("{at}: a container is already named {name}, like the agent, and is not the agent ({difference}): rename it", name = layout::AGENT_CONTAINER)]
    AgentTaken { at: String, difference: String },
    #[error(
        "{at}: {name} leaves the pod for {variable}, but {variable} exists already and is not {path}: take it out, or name {name} in {}",
        annotations::PLAIN_ENV
    )]
    VariableTaken { at: String, name: String, variable: String, path: String },
    #[error("{at}: {name} is set by the webhook in the container that is signalled: take it out")]
    MarkerTaken { at: String, name: &'static str },
    #[error(
        "{at}: {name} is a secret of the pod's bundles, but the container is not in {}: add the container there, or take the variable out",
        annotations::CONTAINERS
    )]
    OutsideContainers { at: String, name: String },
    #[error(
        "{at}: takes its variables from the Secret {bundle}, which the bundle replaces, but the container is not in {}: add the container there, or take the entry out",
        annotations::CONTAINERS
    )]
    SourceOutsideContainers { at: String, bundle: BundleRef },
    #[error(
        "{at}: {name} is the key {key} of the Secret {bundle}, but the bundle {bundle} has no such key: write it with `{set}`"
    )]
    NoSuchKey { at: String, name: String, key: String, bundle: BundleRef, set: String },
    #[error(
        "{at}: uses $({name}), which leaves the pod: read the value from the file that {name}_FILE names, or write the whole of it as one secret, or name {name} in {}",
        annotations::PLAIN_ENV
    )]
    Used { at: String, name: String },
    #[error(
        "{at}: {name} is {kind} in plain text, and no bundle of the pod has that key. Store it with `{set}` and take the value out of the manifest; \
         if it is no secret, name it in {}",
        annotations::PLAIN_ENV
    )]
    Plaintext { at: String, name: String, kind: Kind, set: String },
}

/// What the author of a pod should know, though it is admitted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Warning {
    #[error("{0}")]
    UnknownAnnotation(String),
    #[error(
        "{at}: {name} looks like a credential in plain text; store it with enclii secrets set, or name it in {}",
        annotations::PLAIN_ENV
    )]
    LooksLikeCredential { at: String, name: String },
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
        "{at}: {name} is a key of bundle {bundle} but comes from elsewhere, and stays as it is"
    )]
    OtherSource { at: String, name: String, bundle: BundleRef },
    #[error(
        "annotation {}: {mode} may keep container {container} from reading its files, since its UID is not the agent's {uid}",
        annotations::FILE_MODE
    )]
    Unreadable { mode: String, container: String, uid: i64 },
    #[error(
        "{at}: a mount at /var/run hides {} in images where /var/run is a link to /run; mount it below",
        layout::SECRETS_DIRECTORY
    )]
    MayHide { at: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_is_a_sentence_and_several_are_a_list() {
        let mut findings = Findings::default();
        findings.refuse(Refusal::HostProcesses);
        assert!(findings.message().starts_with("spec.hostPID: is true"));
        for _ in 0..25 {
            findings.refuse(Refusal::Windows);
        }
        let message = findings.message();
        assert!(message.starts_with("26 things keep this pod"), "{message}");
        assert_eq!(message.lines().count(), 22);
        assert!(message.ends_with("\n- and 6 more"), "{message}");
    }

    #[test]
    fn a_name_cannot_break_a_message() {
        assert_eq!(shown("A\nB\u{7}"), "A\\nB\\u{7}");
        assert_eq!(shown(&"é".repeat(100)).chars().count(), 81);
    }
}
