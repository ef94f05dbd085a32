//! A secret that is delivered as a variable: kubelet reads it from the agent's file when it creates
//! the container.

use contract::{SecretName, layout};

use super::super::new_variable::NewVariable;
use super::changes::{EntryChange, EnvChanges, FromFiles};
use crate::pod::EnvVar;
use crate::requested::file_key_path;

/// Has kubelet read the entry of `env` from the secret's file. It keeps its place, because later
/// entries may refer to it.
pub(super) fn replace(
    (index, variable): (usize, &EnvVar<'_>),
    secret: &SecretName,
    (changes, from_files): (&mut EnvChanges<'_>, &mut FromFiles),
) {
    if !from_files.add(&variable.name, secret) {
        changes.is_too_long = true;
    } else if !is_canonical(variable, secret.as_str()) {
        // A probe with `$(NAME)` had this value, and would get an empty text.
        if variable.literal().is_some() {
            changes.removed.env(&variable.name);
        }
        let entry = entry(&variable.name, secret.as_str());
        changes.entries.push((index, EntryChange::Replace(entry)));
    }
}

/// Adds a variable that a source of `envFrom` set. It comes first, where entries may refer to it
/// and override it.
pub(super) fn add(
    name: String,
    secret: &SecretName,
    (changes, from_files): (&mut EnvChanges<'_>, &mut FromFiles),
) {
    if changes.names.contains(&*name) || changes.inserted.contains(&name) {
        return;
    }
    if !from_files.add(&name, secret) {
        changes.is_too_long = true;
        return;
    }
    changes.insertions.push(entry(&name, secret.as_str()));
    changes.inserted.insert(name);
}

fn entry(name: &str, secret: &str) -> NewVariable {
    NewVariable::from_file(name.to_owned(), file_key_path(secret), secret.to_owned())
}

/// Whether a variable is what [`entry`] makes of it.
fn is_canonical(variable: &EnvVar<'_>, secret: &str) -> bool {
    variable.file_key().is_some_and(|found| {
        *found.volume_name == *layout::SECRETS_VOLUME
            && *found.path == *file_key_path(secret)
            && *found.key == *secret
            && found.optional == Some(false)
    })
}
