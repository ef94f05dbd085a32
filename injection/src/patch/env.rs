//! The variables of a container: each that is a secret becomes what its delivery makes of it.

mod changes;
mod exec;
mod file_key;
mod file_variable;
mod markers;
mod outside;
mod reserved;
mod sources;

use contract::{Delivery, SecretName};

use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::expansion;
use crate::pod::EnvVar;
use crate::pod_patch::PodPatch;
use crate::requested::RequestedSecrets;
pub(crate) use changes::FromFiles;
use changes::{EntryChange, EnvChanges};

/// Adds the operations on a container's variables. A container that `is_signalled` also gets the
/// variables by which the agent finds its processes. `from_files` gets the secrets that kubelet
/// reads from the agent's files. Returns whether the agent's program starts the command.
pub(crate) fn patch(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    (is_signalled, restart_grace): (bool, Option<u32>),
    diagnostics: &mut Diagnostics,
    (patch, from_files): (&mut PodPatch, &mut FromFiles),
) -> bool {
    if !app.gets_secrets {
        outside::check(app, requested, diagnostics);
        return false;
    }
    let mut changes = EnvChanges::new(app);
    exec::keep(app, requested, &mut changes);
    change_env(app, requested, (&mut changes, from_files), diagnostics);
    sources::change(app, requested, (&mut changes, patch.len(), from_files), diagnostics);
    if changes.is_too_long {
        diagnostics.deny(Violation::LongVariables { at: app.at(format_args!(".env")) });
    }
    expansion::check(app, &changes.removed, diagnostics);
    if is_signalled {
        markers::add(app, &mut changes, diagnostics);
    }
    let requested = (app, requested);
    let program = (&mut changes, from_files);
    let starts_command = exec::write(requested, restart_grace, program, diagnostics);
    changes.write(app, patch);
    starts_command
}

/// Replaces entries of `env` that are secrets.
fn change_env(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    (changes, from_files): (&mut EnvChanges<'_>, &mut FromFiles),
    diagnostics: &mut Diagnostics,
) {
    for (index, variable) in app.container.env.iter().flatten().enumerate() {
        let at = || app.at(format_args!(".env[{index}]"));
        let Some(secret) = requested.secret_for(variable) else {
            reserved::check(variable, at, diagnostics);
            warn_of_other_source(variable, requested, at, diagnostics);
            continue;
        };
        if let Some(warning) = absent_optional(variable, secret, requested, at) {
            diagnostics.warn(warning);
            changes.entries.push((index, EntryChange::Remove));
            continue;
        }
        if let Some(violation) = no_such_key(variable, secret, requested, at)
            .or_else(|| reserved::unknown(variable, secret, requested, at))
        {
            diagnostics.deny(violation);
            continue;
        }
        // A name that is not valid has been refused already.
        match requested.delivery(secret) {
            Delivery::Files => {
                let app = (app, requested);
                file_variable::replace(app, (index, variable), secret, changes, diagnostics);
            }
            Delivery::Env => {
                if let Ok(secret) = secret.parse() {
                    let changes = (&mut *changes, &mut *from_files);
                    file_key::replace((index, variable), &secret, changes);
                }
            }
            Delivery::Exec => {
                if let Ok(secret) = secret.parse() {
                    exec::replace((index, variable), secret, changes);
                }
            }
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

/// A `secretKeyRef` to a Secret that a bundle replaces, whose key may be absent and is: kubelet
/// leaves such a variable out.
fn absent_optional(
    variable: &EnvVar<'_>,
    secret: &str,
    requested: &RequestedSecrets<'_>,
    at: impl Fn() -> String,
) -> Option<Warning> {
    let key = variable.secret_key().filter(|key| key.optional == Some(true))?;
    let (name, bundle) = requested.bundle_named(&key.name)?;
    let is_there = bundle.keys.contains(secret) || requested.is_listed_env(&variable.name);
    (!is_there).then(|| Warning::AbsentOptional {
        at: at(),
        name: printable(&variable.name),
        key: printable(secret),
        bundle: (*name).clone(),
    })
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
