//! What happens to a pod at admission: annotations in, a decision and a JSON Patch out.
//!
//! This crate is pure: no clock, no environment, no network. The webhook and `enclii inject` share
//! it, so both give the same answer for the same pod, bundles and configuration.

mod admit;
mod agent_metrics;
mod agent_metrics_problem;
mod agent_resources;
mod agent_settings;
mod app_container;
mod bundles;
mod choice;
mod compat;
mod config;
mod container_path;
mod credential;
mod delivery;
mod diagnostics;
mod dns;
mod exec_variable;
mod expansion;
mod explain;
mod findings;
mod fingerprint;
mod haproxy_socket;
mod haproxy_socket_problem;
mod json_size;
mod kubernetes_version;
mod mapped_references;
mod mount_point_conflict;
mod operator_file;
mod patch;
mod path_components;
mod placement;
mod plaintext;
mod plaintext_policy;
mod pod;
mod pod_patch;
mod pod_pointer;
mod pod_size;
mod readiness;
mod references;
mod requested;
mod secret_volume_problem;
mod source;
mod unhandled_signal;
mod vault;
mod verify;

pub use admit::{Decision, SkipReason, admit, is_exempt, skip_reason};
pub use bundles::{Bundle, BundleLookup};
pub use choice::{AgentUser, PlacementPolicy, SecretSource, UnknownChoice};
pub use compat::{
    ANNOTATIONS as VAULT_ANNOTATIONS, AnnotationForm, COMPAT_BUNDLE, Mapped, Mapping,
    PREFIX as VAULT_PREFIX, Treatment, VaultAnnotation, asks_for_vault,
};
pub use config::{
    ConfigConflict, DEFAULT_GUARANTEED_CPU, DEFAULT_VOLUME_SIZE, InjectionConfig, KeyNames,
    LEFT_OUT_CONTAINERS, PullPolicy, PullPolicyError, Resources,
};
pub use contract::{Quantity, QuantityError};
pub use credential::{Confidence, Rule, rules};
pub use diagnostics::printable;
pub use explain::explain;
pub use findings::{Finding, Findings, ScanLimits, findings};
pub use json_size::MAX_JSON_VALUES;
pub use kubernetes_version::{KubernetesVersion, KubernetesVersionError};
pub use operator_file::{HttpsAddress, ImageName, OperatorFile, OperatorKey, SettingError};
pub use plaintext_policy::{
    PlaintextMode, PlaintextVerdict, injection_checks_variables, plaintext_verdict,
};
pub use pod::{JsonStr, ParsePodError, Pod};
pub use pod_patch::{PatchError, PodPatch};
pub use references::{ReferenceRuleError, ReferenceRules};
pub use vault::{
    AllowedRole, PemCertificates, PollSeconds, RoleTemplate, TokenAudience, VaultAddress,
    VaultCompat, VaultPod, VaultSecrets, VaultSettingError, VaultSettings,
};
