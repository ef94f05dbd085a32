//! The variables of a container: secrets leave, the paths of their files take their place.

use std::collections::{BTreeMap, BTreeSet};

use contract::{SecretName, layout};
use serde_json::{Value, json};

use super::{Operation, append};
use crate::findings::{Findings, Refusal, Warning, shown};
use crate::pod::Variable;
use crate::reference;
use crate::target::Target;
use crate::wanted::{Wanted, secret_path};

/// What becomes of one container's variables.
#[derive(Default)]
struct Plan {
    /// By index in `env`.
    changes: Vec<(usize, Change)>,
    /// At the end of `env`.
    additions: Vec<Value>,
    /// Indexes in `envFrom`.
    sources: Vec<usize>,
    /// The names that the container has no longer.
    gone: BTreeSet<String>,
    /// The variables that this plan writes, with the secret whose path each holds.
    written: BTreeMap<String, String>,
}

enum Change {
    Replace(Value),
    Remove,
}

/// Adds the operations on a container's variables. `is_signalled` says that the container is the
/// one to signal, which gets what tells the agent its processes.
pub(crate) fn patch(
    target: &Target<'_>,
    wanted: &Wanted<'_>,
    is_signalled: bool,
    findings: &mut Findings,
    patch: &mut Vec<Operation>,
) {
    if !target.gets_secrets {
        return check_outside(target, wanted, findings);
    }
    let mut plan = Plan::default();
    literals(target, wanted, &mut plan, findings);
    sources(target, wanted, &mut plan, findings);
    reference::check(target, &plan.gone, findings);
    if is_signalled {
        markers(target, &mut plan, findings);
    }
    plan.write(target, patch);
}

impl Plan {
    fn write(self, target: &Target<'_>, patch: &mut Vec<Operation>) {
        let mut removed = Vec::new();
        for (index, change) in self.changes {
            let path = target.place.pointer(format_args!("/env/{index}"));
            match change {
                Change::Replace(value) => patch.push(Operation::Replace { path, value }),
                Change::Remove => removed.push(path),
            }
        }
        append(
            &target.place.pointer(format_args!("/env")),
            target.container.env.is_some(),
            self.additions,
            patch,
        );
        patch.extend(removed.into_iter().rev().map(|path| Operation::Remove { path }));
        let sources = self
            .sources
            .into_iter()
            .rev()
            .map(|index| target.place.pointer(format_args!("/envFrom/{index}")));
        patch.extend(sources.map(|path| Operation::Remove { path }));
    }
}

/// Entries of `env` that are secrets.
fn literals(target: &Target<'_>, wanted: &Wanted<'_>, plan: &mut Plan, findings: &mut Findings) {
    for (index, variable) in target.container.env.iter().flatten().enumerate() {
        let at = || target.at(format_args!(".env[{index}]"));
        let Some(secret) = wanted.secret_of(variable) else {
            warn_of_other_source(variable, wanted, at, findings);
            continue;
        };
        if let Some(refusal) = no_such_key(variable, secret, wanted, at) {
            findings.refuse(refusal);
            continue;
        }
        plan.gone.insert(variable.name.to_string());
        match claim(target, &variable.name, secret, plan) {
            Claim::Free(file_variable) => {
                plan.changes.push((index, Change::Replace(file_variable)))
            }
            Claim::Held => plan.changes.push((index, Change::Remove)),
            Claim::Taken(file_variable) => findings.refuse(Refusal::VariableTaken {
                at: at(),
                name: shown(&variable.name),
                variable: shown(&file_variable),
                path: secret_path(&shown(secret)),
            }),
        }
    }
}

fn warn_of_other_source(
    variable: &Variable<'_>,
    wanted: &Wanted<'_>,
    at: impl Fn() -> String,
    findings: &mut Findings,
) {
    if variable.literal().is_none()
        && !wanted.is_plain(&variable.name)
        && let Some(bundle) = wanted.bundle_of(&variable.name)
    {
        findings.warn(Warning::OtherSource {
            at: at(),
            name: shown(&variable.name),
            bundle: bundle.clone(),
        });
    }
}

/// A key of the Secret that the bundle replaces, which the bundle does not have: its file would
/// never be there.
fn no_such_key(
    variable: &Variable<'_>,
    secret: &str,
    wanted: &Wanted<'_>,
    at: impl Fn() -> String,
) -> Option<Refusal> {
    let (bundle, known) = wanted.bundle_named(&variable.secret_key()?.name)?;
    let is_file = secret.parse::<SecretName>().is_ok();
    if known.has_key(secret) || (is_file && wanted.is_listed(&variable.name)) {
        return None;
    }
    let set = wanted.set_line(secret, bundle, Some(known));
    Some(Refusal::NoSuchKey {
        at: at(),
        name: shown(&variable.name),
        key: shown(secret),
        bundle: (*bundle).clone(),
        set,
    })
}

/// Whether the variable that is to point at a file can be written.
enum Claim {
    /// It can, and this is it.
    Free(Value),
    /// It is there with that very value.
    Held,
    /// It is there with another value.
    Taken(String),
}

fn claim(target: &Target<'_>, name: &str, secret: &str, plan: &mut Plan) -> Claim {
    let file_variable = format!("{name}_FILE");
    if let Some(earlier) = plan.written.get(&file_variable) {
        return if earlier == secret { Claim::Held } else { Claim::Taken(file_variable) };
    }
    let path = secret_path(secret);
    let mut present = target
        .container
        .env
        .iter()
        .flatten()
        .filter(|found| *found.name == *file_variable)
        .peekable();
    if present.peek().is_some() {
        let same = present.all(|found| found.literal() == Some(&path));
        return if same { Claim::Held } else { Claim::Taken(file_variable) };
    }
    let value = json!({ "name": file_variable, "value": path });
    plan.written.insert(file_variable, secret.to_owned());
    Claim::Free(value)
}

/// Entries of `envFrom` that name the bundle: a variable for each key, less those that `env`
/// already brings.
fn sources(target: &Target<'_>, wanted: &Wanted<'_>, plan: &mut Plan, findings: &mut Findings) {
    for (index, source) in target.container.env_from.iter().flatten().enumerate() {
        let Some((_, bundle)) =
            source.secret_ref.as_ref().and_then(|secret| wanted.bundle_named(&secret.name))
        else {
            continue;
        };
        plan.sources.push(index);
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for key in &bundle.keys {
            let name = format!("{prefix}{key}");
            match claim(target, &name, key.as_str(), plan) {
                Claim::Free(file_variable) => plan.additions.push(file_variable),
                Claim::Held => {}
                Claim::Taken(file_variable) => findings.refuse(Refusal::VariableTaken {
                    at: target.at(format_args!(".envFrom[{index}]")),
                    name: shown(&name),
                    variable: shown(&file_variable),
                    path: secret_path(key.as_str()),
                }),
            }
            plan.gone.insert(name);
        }
    }
    // A variable of `env` goes before one of `envFrom`: where it stays, the name stays.
    for variable in target.container.env.iter().flatten() {
        if wanted.secret_of(variable).is_none() {
            plan.gone.remove(&*variable.name);
        }
    }
}

/// What tells the agent which processes are the signalled container's.
fn markers(target: &Target<'_>, plan: &mut Plan, findings: &mut Findings) {
    let name: &str = &target.container.name;
    let found = |wanted: &str| {
        target
            .container
            .env
            .iter()
            .flatten()
            .enumerate()
            .find(|(_, variable)| &*variable.name == wanted)
    };
    match found(layout::CONTAINER_VARIABLE) {
        None => plan.additions.push(json!({ "name": layout::CONTAINER_VARIABLE, "value": name })),
        Some((_, variable)) if variable.literal() == Some(name) => {}
        Some((index, _)) => findings.refuse(Refusal::MarkerTaken {
            at: target.at(format_args!(".env[{index}]")),
            name: layout::CONTAINER_VARIABLE,
        }),
    }
    match found(layout::POD_UID_VARIABLE) {
        None => plan.additions.push(pod_uid()),
        Some((_, variable)) if variable.field_path() == Some("metadata.uid") => {}
        Some((index, _)) => {
            findings.refuse(Refusal::MarkerTaken {
                at: target.at(format_args!(".env[{index}]")),
                name: layout::POD_UID_VARIABLE,
            });
        }
    }
}

/// The variable with the pod's UID. The version is the default, which the API server would add.
pub(super) fn pod_uid() -> Value {
    json!({ "name": layout::POD_UID_VARIABLE, "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.uid" } } })
}

/// A container that does not get the secrets must not hold them either: it would keep the
/// plaintext, or lose it without a file in its place.
fn check_outside(target: &Target<'_>, wanted: &Wanted<'_>, findings: &mut Findings) {
    for (index, variable) in target.container.env.iter().flatten().enumerate() {
        if wanted.secret_of(variable).is_some() {
            let at = target.at(format_args!(".env[{index}]"));
            findings.refuse(Refusal::OutsideContainers { at, name: shown(&variable.name) });
        }
    }
    for (index, source) in target.container.env_from.iter().flatten().enumerate() {
        if let Some((bundle, _)) =
            source.secret_ref.as_ref().and_then(|secret| wanted.bundle_named(&secret.name))
        {
            let at = target.at(format_args!(".envFrom[{index}]"));
            findings.refuse(Refusal::SourceOutsideContainers { at, bundle: (*bundle).clone() });
        }
    }
}
