//! The decision on a pod: skip it, inject it, or refuse it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use contract::agent_config::Files;
use contract::{Annotations, SecretName, layout};

use crate::agent_metrics;
use crate::agent_settings::AgentSettings;
use crate::app_container::{self, AppContainer};
use crate::bundles::BundleLookup;
use crate::compat::{Mapped, Mapping, Treatment, VaultRequest, asks_for_vault};
use crate::config::InjectionConfig;
use crate::delivery;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::dns;
use crate::exec_variable;
use crate::mapped_references;
use crate::patch;
use crate::patch::mounts::{MountPoints, OwnMounts};
use crate::patch::secret_volumes::FilledVolumes;
use crate::plaintext;
use crate::pod::Pod;
use crate::pod_patch::PodPatch;
use crate::pod_pointer::PodPointer;
use crate::pod_size;
use crate::readiness;
use crate::requested::RequestedSecrets;
use crate::source;
use crate::unhandled_signal;
use crate::verify;

/// What happens to a pod.
#[derive(Debug, PartialEq)]
pub enum Decision {
    /// The pod is admitted unchanged.
    Skip(SkipReason),
    /// The pod is admitted with this patch.
    Inject {
        /// The operations on the pod's JSON. Empty if an earlier pass has done everything.
        patch: PodPatch,
        /// Warnings for the pod's author.
        warnings: Vec<String>,
    },
    /// The pod is not admitted.
    Refuse {
        /// Every problem, each with its path in the pod and a way to fix it. Never holds a value.
        message: String,
        /// Warnings for the pod's author.
        warnings: Vec<String>,
    },
}

/// Why a pod is admitted unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The pod does not have the annotation that requests secrets.
    NotRequested,
    /// The pod is in `kube-system` or in the webhook's own namespace.
    ExemptNamespace,
    /// The pod is the mirror of a static pod, which kubelet runs from a file whatever the API
    /// server says.
    MirrorPod,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRequested => "the pod has no annotation enclii.io/secrets",
            Self::ExemptNamespace => "the namespace is exempt",
            Self::MirrorPod => "the pod is a mirror pod",
        })
    }
}

/// Decides on a pod that is to be created in `namespace`.
pub fn admit(
    pod: &Pod<'_>,
    namespace: &str,
    bundles: &impl BundleLookup,
    config: &InjectionConfig,
) -> Decision {
    if let Some(reason) = skip_reason(pod, namespace, config) {
        return Decision::Skip(reason);
    }
    let mut diagnostics = Diagnostics::default();
    if let Some(violation) = pod_size::check(pod) {
        return Decision::Refuse { message: violation.to_string(), warnings: Vec::new() };
    }
    let vault = VaultRequest::resolve(pod, namespace, config);
    let patch = if let Some((request, mapping)) = vault {
        warn_of_ignored(&mapping, &mut diagnostics);
        match request {
            Some(vault) => {
                let requested = (&vault.annotations, Some(&vault));
                inject(pod, namespace, requested, &vault, config, &mut diagnostics)
            }
            None => PodPatch::default(),
        }
    } else {
        match Annotations::parse(pod.annotations()) {
            Ok(None) => return Decision::Skip(SkipReason::NotRequested),
            Ok(Some(annotations)) => {
                let requested = (&annotations, None);
                inject(pod, namespace, requested, bundles, config, &mut diagnostics)
            }
            Err(errors) => {
                for error in errors.iter() {
                    diagnostics.deny(Violation::Annotation(error.message()));
                }
                PodPatch::default()
            }
        }
    };
    let warnings = diagnostics.sent_warnings();
    if diagnostics.violations.is_empty() {
        Decision::Inject { patch, warnings }
    } else {
        Decision::Refuse { message: diagnostics.message(), warnings }
    }
}

/// Whether the pods of a namespace must be able to start without the webhook.
pub fn is_exempt(namespace: &str, own_namespace: &str) -> bool {
    namespace == "kube-system" || namespace == own_namespace
}

/// Why a pod is skipped, before its other annotations are parsed.
pub fn skip_reason(pod: &Pod<'_>, namespace: &str, config: &InjectionConfig) -> Option<SkipReason> {
    let asks = pod.asks_for_secrets() || (config.vault_compat.is_some() && asks_for_vault(pod));
    if !asks {
        Some(SkipReason::NotRequested)
    } else if is_exempt(namespace, &config.own_namespace) {
        Some(SkipReason::ExemptNamespace)
    } else {
        pod.is_mirror().then_some(SkipReason::MirrorPod)
    }
}

/// Computes the patch. Goes through everything even after the first violation, so that the author
/// learns of all of them at once.
fn inject(
    pod: &Pod<'_>,
    namespace: &str,
    (annotations, vault): (&Annotations, Option<&VaultRequest>),
    bundles: &impl BundleLookup,
    config: &InjectionConfig,
    diagnostics: &mut Diagnostics,
) -> PodPatch {
    for key in &annotations.unknown {
        diagnostics.warn(Warning::UnknownAnnotation(key.to_string()));
    }
    if pod.spec.os.as_ref().is_some_and(|os| &*os.name == "windows") {
        diagnostics.deny(Violation::Windows);
    }
    delivery::check(annotations, config.kubernetes, diagnostics);
    dns::check(pod, config, diagnostics);
    let from = (bundles, config);
    let requested = RequestedSecrets::resolve(annotations, pod, namespace, from, diagnostics);
    patch::templates::check(annotations, &requested, diagnostics);
    patch::paths::check(annotations, &requested, diagnostics);
    verify::check(annotations, &requested, diagnostics);
    let containers = app_container::all(pod, annotations, config, diagnostics);
    agent_metrics::check(pod, annotations, &containers, diagnostics);
    mapped_references::check(&containers, &requested, diagnostics);
    let agent = AgentSettings::resolve(pod, annotations, &containers, config, diagnostics);

    let mut patch = PodPatch::default();
    let mut from_files = patch::env::FromFiles::default();
    let mut has_program = false;
    let size = &agent.resources.volume_size;
    let mut filled = FilledVolumes::resolve(pod, &requested, size, diagnostics);
    if let Some(vault) = vault {
        filled.add(pod, &vault.volumes, diagnostics);
    }
    let mut mount_points = MountPoints::new(pod, &requested, &filled);
    for app in &containers {
        let is_signalled = agent.signalled == Some(&*app.container.name);
        let changes = (&mut patch, &mut from_files);
        let how = (is_signalled, agent.restart_grace(app));
        let starts = patch::env::patch(app, &requested, how, diagnostics, changes);
        if starts {
            patch::command::patch(app, diagnostics, &mut patch);
        }
        has_program |= starts;
        filled.patch_mounts(app, diagnostics, &mut patch);
        let needs = OwnMounts { program: starts, mark: is_signalled };
        patch::mounts::patch(app, (&mut mount_points, needs), diagnostics, &mut patch);
        if is_signalled {
            unhandled_signal::warn(app, &annotations.reload, diagnostics);
        }
    }
    // The keys of an unknown bundle are unknown too, so any credential could be one of them.
    // The Injector leaves variables alone.
    if requested.is_complete() && vault.is_none() {
        plaintext::check(pod, &requested, config, diagnostics);
        delivery::warn_of_unknown_names(annotations, &requested, diagnostics);
    }
    if !agent.restarts {
        delivery::warn_of_rolling_restarts(
            annotations,
            (namespace, config.kubernetes),
            !from_files.is_empty(),
            diagnostics,
        );
    }
    warn_of_absent_env(annotations, &containers, &requested, diagnostics);
    let mount_points = mount_points.into_list();
    filled.patch(size, &mut patch);
    let templates = patch::templates::volume(annotations);
    patch::volumes::patch(
        pod,
        (size, config),
        (has_program, templates, filled.missing(size)),
        diagnostics,
        &mut patch,
    );
    share_process_namespace(pod, &agent, &mut patch);
    // Inserting the agent shifts the indexes of the other containers, so it comes last.
    let files = Files {
        mount_points,
        env: from_files.into_list(),
        rendered: patch::templates::files(annotations),
        rendered_only: vault.is_some(),
        paths: annotations.paths.clone(),
        volumes: filled.into_list(),
        ..Files::new(layout::SECRETS_DIRECTORY.to_owned(), agent.mode)
    };
    let readiness = readiness::resolve(&containers, agent.signalled);
    let files = (files, has_program);
    let choice = vault.map(|vault| &vault.login);
    let source = source::resolve(&requested, &agent, (config, choice), diagnostics);
    let agent_config = patch::agent::config(annotations, &agent, files, readiness, source);
    let of_pod = (&agent, &*containers);
    patch::status::patch(pod, of_pod, config, &mut patch);
    if vault.is_some() {
        patch::status::patch_compat(pod, annotations.deliver.init_only, &mut patch);
    }
    patch::agent::patch(pod, &agent_config, of_pod, config, diagnostics, &mut patch);
    patch
}

/// Warns of the Injector's annotations that have no effect, and denies for what is wrong with the
/// others.
fn warn_of_ignored(mapping: &Mapping, diagnostics: &mut Diagnostics) {
    for error in &mapping.errors {
        diagnostics.deny(Violation::Annotation(error.clone()));
    }
    let ignored = mapping.annotations.iter().filter(|it| it.treatment == Treatment::Ignored);
    for Mapped { annotation, outcome, .. } in ignored {
        let (annotation, why) = (annotation.clone(), outcome.clone());
        diagnostics.warn(Warning::VaultAnnotation { annotation, why });
    }
}

/// A signal reaches a process in another container only if both share a process namespace.
fn share_process_namespace(pod: &Pod<'_>, agent: &AgentSettings<'_>, patch: &mut PodPatch) {
    if agent.signalled.is_some() && pod.spec.share_process_namespace.is_none() {
        patch.add(&PodPointer::new("/spec/shareProcessNamespace"), true);
    }
}

/// Warns of names in `enclii.io/env` that no container has: neither as a variable nor as the
/// `NAME_FILE` variable that an earlier pass has written.
fn warn_of_absent_env(
    annotations: &Annotations,
    containers: &[AppContainer<'_>],
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    if annotations.env.is_empty() {
        return;
    }
    let with_secrets = containers.iter().filter(|app| app.gets_secrets);
    let present: HashSet<&str> = with_secrets
        .clone()
        .flat_map(|app| app.container.env.iter().flatten())
        .map(|variable| &*variable.name)
        .collect();
    let by_program: BTreeMap<String, SecretName> =
        with_secrets.flat_map(|app| exec_variable::of(app.container)).collect();
    for name in &annotations.env {
        let is_present = present.contains(&**name)
            || present.contains(&*format!("{name}_FILE"))
            || by_program.contains_key(name);
        if !is_present && !requested.is_plain_env(name) {
            diagnostics.warn(Warning::AbsentEnv { name: printable(name) });
        }
    }
}
