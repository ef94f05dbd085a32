//! The decision on a pod: leave it, inject it, or refuse it. Pure: the same pod, bundles and
//! configuration give the same answer, here and in `enclii inject`.

use std::fmt;

use contract::{Annotations, annotations};
use serde_json::Value;

use crate::bundles::Bundles;
use crate::config::InjectionConfig;
use crate::findings::{Findings, Refusal, Warning};
use crate::patch::{self, Operation};
use crate::plaintext;
use crate::pod::Pod;
use crate::target::{self, Owner, Target};
use crate::wanted::Wanted;

/// What becomes of a pod.
#[derive(Debug, PartialEq)]
pub enum Decision {
    /// It is admitted as it is.
    Untouched(Reason),
    /// It is admitted with this patch, which is empty where an earlier pass did everything.
    Inject {
        /// The operations on the pod's JSON.
        patch: Vec<Operation>,
        /// What its author should know.
        warnings: Vec<String>,
    },
    /// It is not admitted.
    Refuse {
        /// Everything that is wrong, each with its place and the way out. Holds no value.
        message: String,
        /// What its author should know besides.
        warnings: Vec<String>,
    },
}

/// Why a pod is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has no annotation that asks for secrets.
    NotAsked,
    /// Its namespace is the system's own or Kubernetes'.
    ExemptNamespace,
    /// It is the mirror of a static pod, which kubelet runs from a file whatever the API server
    /// says.
    MirrorPod,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "not asked",
            Self::ExemptNamespace => "exempt namespace",
            Self::MirrorPod => "mirror pod",
        })
    }
}

/// Decides on a pod that is to be created in `namespace`.
pub fn admit(
    pod: &Pod<'_>,
    namespace: &str,
    bundles: &impl Bundles,
    config: &InjectionConfig,
) -> Decision {
    if let Some(reason) = exempt(pod, namespace, &config.own_namespace) {
        return Decision::Untouched(reason);
    }
    let mut findings = Findings::default();
    let patch = match Annotations::parse(pod.annotations()) {
        Ok(None) => return Decision::Untouched(Reason::NotAsked),
        Ok(Some(annotations)) => {
            inject(pod, namespace, &annotations, bundles, config, &mut findings)
        }
        Err(errors) => {
            for error in errors.iter() {
                findings.refuse(Refusal::Annotation(error.message()));
            }
            Vec::new()
        }
    };
    let warnings = findings.warnings.iter().map(ToString::to_string).collect();
    if findings.refusals.is_empty() {
        Decision::Inject { patch, warnings }
    } else {
        Decision::Refuse { message: findings.message(), warnings }
    }
}

/// Why nothing is asked of a pod, before its annotations are read in full.
pub fn exempt(pod: &Pod<'_>, namespace: &str, own_namespace: &str) -> Option<Reason> {
    if pod.annotation(annotations::SECRETS).is_none() {
        Some(Reason::NotAsked)
    } else if namespace == "kube-system" || namespace == own_namespace {
        Some(Reason::ExemptNamespace)
    } else {
        pod.annotation("kubernetes.io/config.mirror").map(|_| Reason::MirrorPod)
    }
}

/// Goes through everything, though the patch is of no use once something is refused: the author
/// should learn of all of it at once.
fn inject(
    pod: &Pod<'_>,
    namespace: &str,
    annotations: &Annotations,
    bundles: &impl Bundles,
    config: &InjectionConfig,
    findings: &mut Findings,
) -> Vec<Operation> {
    findings
        .warnings
        .extend(annotations.unknown.iter().map(|key| Warning::UnknownAnnotation(key.to_string())));
    if pod.spec.os.as_ref().is_some_and(|os| &*os.name == "windows") {
        findings.refuse(Refusal::Windows);
    }
    let wanted = Wanted::gather(annotations, pod, namespace, bundles, findings);
    let targets = target::targets(pod, annotations, findings);
    let owner = target::owner(pod, annotations, &targets, findings);

    let mut patch = Vec::new();
    for target in &targets {
        let is_signalled = owner.signalled == Some(&*target.container.name);
        patch::env::patch(target, &wanted, is_signalled, findings, &mut patch);
        patch::mounts::patch(target, findings, &mut patch);
        // With a bundle unknown its keys are, and every credential would seem to be none's.
        if wanted.is_complete() {
            plaintext::check(target, &wanted, findings);
        }
    }
    warn_of_absent(annotations, &targets, &wanted, findings);
    patch::volumes::patch(pod, config, findings, &mut patch);
    share_processes(pod, &owner, &mut patch);
    // The agent goes in before the other init containers, which changes their indexes: it is the
    // last.
    patch::agent::patch(pod, annotations, &owner, config, findings, &mut patch);
    patch
}

/// A signal reaches another container's process only in a common process namespace.
fn share_processes(pod: &Pod<'_>, owner: &Owner<'_>, patch: &mut Vec<Operation>) {
    if owner.signalled.is_some() && pod.spec.share_process_namespace.is_none() {
        patch.push(Operation::Add {
            path: "/spec/shareProcessNamespace".to_owned(),
            value: Value::Bool(true),
        });
    }
}

/// Warns of names in `enclii.io/env` that are nowhere: not as a variable, nor as the path of its
/// file that an earlier pass has written.
fn warn_of_absent(
    annotations: &Annotations,
    targets: &[Target<'_>],
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) {
    for name in &annotations.env {
        let file_variable = format!("{name}_FILE");
        let is_there = targets.iter().filter(|target| target.gets_secrets).any(|target| {
            let mut variables = target.container.env.iter().flatten();
            variables.any(|variable| *variable.name == **name || *variable.name == *file_variable)
        });
        if !is_there && !wanted.is_plain(name) {
            findings.warn(Warning::AbsentEnv { name: crate::findings::shown(name) });
        }
    }
}
