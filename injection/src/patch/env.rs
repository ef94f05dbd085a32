//! The variables of a container: removes those that are secrets and adds the paths of their files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contract::{SecretName, layout};
use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::agent_env::pod_uid;
use super::{append, remove, replace};
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::expansion;
use crate::pod::EnvVar;
use crate::requested::{RequestedSecrets, secret_path};

/// The most changes of one pod: a full bundle in a few containers.
const MAX_CHANGES: usize = 8192;

/// The changes to one container's variables.
struct EnvChanges<'p> {
    /// By index in `env`.
    entries: Vec<(usize, EntryChange)>,
    /// New entries at the end of `env`.
    additions: Vec<Value>,
    /// Indexes of removed entries of `envFrom`.
    removed_sources: Vec<usize>,
    /// The names of removed variables.
    removed: BTreeSet<String>,
    /// The `NAME_FILE` variables that are written, with the secret whose path each holds.
    written: BTreeMap<String, String>,
    /// The indexes in `env` of the variables whose names end as those of files.
    file_variables: HashMap<&'p str, Vec<usize>>,
}

enum EntryChange {
    Replace(Value),
    Remove,
}

/// Adds the operations on a container's variables. A container that `is_signalled` also gets the
/// variables by which the agent finds its processes.
pub(crate) fn patch(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    is_signalled: bool,
    diagnostics: &mut Diagnostics,
    patch: &mut Vec<PatchOperation>,
) {
    if !app.gets_secrets {
        return check_without_secrets(app, requested, diagnostics);
    }
    let mut changes = EnvChanges::new(app);
    change_env(app, requested, &mut changes, diagnostics);
    change_env_from(app, requested, (&mut changes, patch.len()), diagnostics);
    expansion::check(app, &changes.removed, diagnostics);
    if is_signalled {
        add_process_markers(app, &mut changes, diagnostics);
    }
    changes.write(app, patch);
}

impl<'p> EnvChanges<'p> {
    fn new(app: &AppContainer<'p>) -> Self {
        let mut file_variables: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, variable) in app.container.env.iter().flatten().enumerate() {
            if variable.name.ends_with("_FILE") {
                file_variables.entry(&variable.name).or_default().push(index);
            }
        }
        Self {
            entries: Vec::new(),
            additions: Vec::new(),
            removed_sources: Vec::new(),
            removed: BTreeSet::new(),
            written: BTreeMap::new(),
            file_variables,
        }
    }

    fn write(self, app: &AppContainer<'_>, patch: &mut Vec<PatchOperation>) {
        let (env, env_from) = (app.path.field("env"), app.path.field("envFrom"));
        let mut removed = Vec::new();
        for (index, change) in self.entries {
            let path = env.with_trailing_token(index);
            match change {
                EntryChange::Replace(value) => patch.push(replace(path, value)),
                EntryChange::Remove => removed.push(path),
            }
        }
        append(env, app.container.env.is_some(), self.additions, patch);
        // From the end, so that no removal shifts the index of another.
        patch.extend(removed.into_iter().rev().map(remove));
        let sources = self.removed_sources.into_iter().rev();
        patch.extend(sources.map(|index| remove(env_from.with_trailing_token(index))));
    }
}

/// Replaces entries of `env` that are secrets.
fn change_env(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    changes: &mut EnvChanges<'_>,
    diagnostics: &mut Diagnostics,
) {
    for (index, variable) in app.container.env.iter().flatten().enumerate() {
        let at = || app.at(format_args!(".env[{index}]"));
        let Some(secret) = requested.secret_for(variable) else {
            warn_of_other_source(variable, requested, at, diagnostics);
            continue;
        };
        if let Some(violation) = no_such_key(variable, secret, requested, at) {
            diagnostics.deny(violation);
            continue;
        }
        changes.removed.insert(variable.name.to_string());
        match file_variable(app, &variable.name, secret, changes) {
            FileVariable::New(entry) => {
                changes.entries.push((index, EntryChange::Replace(entry)));
            }
            FileVariable::Present => changes.entries.push((index, EntryChange::Remove)),
            FileVariable::Conflict(file_variable) => diagnostics.deny(Violation::VariableTaken {
                at: at(),
                name: printable(&variable.name),
                variable: printable(&file_variable),
                path: secret_path(&printable(secret)),
            }),
        }
    }
}

fn warn_of_other_source(
    variable: &EnvVar<'_>,
    requested: &RequestedSecrets<'_>,
    at: impl Fn() -> String,
    diagnostics: &mut Diagnostics,
) {
    if variable.literal().is_none()
        && !requested.is_plain_env(&variable.name)
        && let Some(bundle) = requested.bundle_with_key(&variable.name)
    {
        diagnostics.warn(Warning::OtherSource {
            at: at(),
            name: printable(&variable.name),
            bundle: bundle.clone(),
        });
    }
}

/// Refuses a `secretKeyRef` to a Secret that a bundle replaces, if the bundle lacks the key: its
/// file would never exist.
fn no_such_key(
    variable: &EnvVar<'_>,
    secret: &str,
    requested: &RequestedSecrets<'_>,
    at: impl Fn() -> String,
) -> Option<Violation> {
    let (name, bundle) = requested.bundle_named(&variable.secret_key()?.name)?;
    let is_valid = secret.parse::<SecretName>().is_ok();
    if bundle.keys.contains(secret) || (is_valid && requested.is_listed_env(&variable.name)) {
        return None;
    }
    let set = requested.set_command(secret, name, Some(bundle));
    Some(Violation::NoSuchKey {
        at: at(),
        name: printable(&variable.name),
        key: printable(secret),
        bundle: (*name).clone(),
        set,
    })
}

/// Whether a `NAME_FILE` variable can be written.
enum FileVariable {
    /// It can, as this entry.
    New(Value),
    /// It exists with the right value.
    Present,
    /// It exists with another value. Holds its name.
    Conflict(String),
}

fn file_variable(
    app: &AppContainer<'_>,
    name: &str,
    secret: &str,
    changes: &mut EnvChanges<'_>,
) -> FileVariable {
    let file_variable = format!("{name}_FILE");
    let present_if = |is_same: bool, name: String| {
        if is_same { FileVariable::Present } else { FileVariable::Conflict(name) }
    };
    if let Some(earlier) = changes.written.get(&file_variable) {
        return present_if(earlier == secret, file_variable);
    }
    let path = secret_path(secret);
    if let Some(existing) = changes.file_variables.get(&*file_variable) {
        let variables = app.container.env.as_deref().unwrap_or_default();
        let is_path =
            |index: &usize| variables.get(*index).and_then(EnvVar::literal) == Some(path.as_str());
        return present_if(existing.iter().all(is_path), file_variable);
    }
    let entry = json!({ "name": file_variable, "value": path });
    changes.written.insert(file_variable, secret.to_owned());
    FileVariable::New(entry)
}

/// Replaces entries of `envFrom` that name a bundle by one variable for each key, except those that
/// `env` already sets. That tells the asker every key, so it is refused to one who may be anybody.
fn change_env_from(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    (changes, earlier): (&mut EnvChanges<'_>, usize),
    diagnostics: &mut Diagnostics,
) {
    for (index, source) in app.container.env_from.iter().flatten().enumerate() {
        let Some((name, bundle)) =
            source.secret_ref.as_ref().and_then(|secret| requested.bundle_named(&secret.name))
        else {
            continue;
        };
        if !requested.may_list_keys() {
            let at = app.at(format_args!(".envFrom[{index}]"));
            let bundle = (*name).clone();
            diagnostics.deny(Violation::SourceListsKeys { at, bundle });
            continue;
        }
        // Each entry may have a prefix of its own, and then it is every key once more.
        let changed = earlier + changes.entries.len() + changes.additions.len();
        if changed + bundle.keys.len() > MAX_CHANGES {
            let at = app.at(format_args!(".envFrom[{index}]"));
            diagnostics.deny(Violation::TooManyChanges { at, maximum: MAX_CHANGES });
            break;
        }
        changes.removed_sources.push(index);
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for key in &bundle.keys {
            let name = format!("{prefix}{key}");
            match file_variable(app, &name, key.as_str(), changes) {
                FileVariable::New(entry) => changes.additions.push(entry),
                FileVariable::Present => {}
                FileVariable::Conflict(file_variable) => {
                    diagnostics.deny(Violation::VariableTaken {
                        at: app.at(format_args!(".envFrom[{index}]")),
                        name: printable(&name),
                        variable: printable(&file_variable),
                        path: secret_path(key.as_str()),
                    });
                }
            }
            changes.removed.insert(name);
        }
    }
    // `env` overrides `envFrom`: a name that stays in `env` is not removed.
    for variable in app.container.env.iter().flatten() {
        if requested.secret_for(variable).is_none() {
            changes.removed.remove(&*variable.name);
        }
    }
}

/// Adds the variables by which the agent finds the signalled container's processes.
fn add_process_markers(
    app: &AppContainer<'_>,
    changes: &mut EnvChanges<'_>,
    diagnostics: &mut Diagnostics,
) {
    let container: &str = &app.container.name;
    let find = |name: &str| {
        let variables = app.container.env.iter().flatten();
        variables.enumerate().find(|(_, variable)| &*variable.name == name)
    };
    let taken = |index: usize, name| Violation::MarkerTaken {
        at: app.at(format_args!(".env[{index}]")),
        name,
    };
    match find(layout::CONTAINER_VARIABLE) {
        None => {
            let marker = json!({ "name": layout::CONTAINER_VARIABLE, "value": container });
            changes.additions.push(marker);
        }
        Some((_, variable)) if variable.literal() == Some(container) => {}
        Some((index, _)) => diagnostics.deny(taken(index, layout::CONTAINER_VARIABLE)),
    }
    match find(layout::POD_UID_VARIABLE) {
        None => changes.additions.push(pod_uid()),
        Some((_, variable)) if variable.field_path() == Some("metadata.uid") => {}
        Some((index, _)) => diagnostics.deny(taken(index, layout::POD_UID_VARIABLE)),
    }
}

/// Refuses secrets in a container that does not get them: it would keep the plaintext, or lose it
/// without getting a file.
fn check_without_secrets(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    for (index, variable) in app.container.env.iter().flatten().enumerate() {
        if requested.secret_for(variable).is_some() {
            let at = app.at(format_args!(".env[{index}]"));
            let name = printable(&variable.name);
            diagnostics.deny(Violation::SecretOutsideContainers { at, name });
        }
    }
    for (index, source) in app.container.env_from.iter().flatten().enumerate() {
        if let Some((bundle, _)) =
            source.secret_ref.as_ref().and_then(|secret| requested.bundle_named(&secret.name))
        {
            let at = app.at(format_args!(".envFrom[{index}]"));
            let bundle = (*bundle).clone();
            diagnostics.deny(Violation::SourceOutsideContainers { at, bundle });
        }
    }
}
