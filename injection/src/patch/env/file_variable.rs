//! A secret that is delivered in a file: `NAME_FILE` has its path.

use super::super::new_variable::NewVariable;
use super::changes::{EntryChange, EnvChanges};
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation, printable};
use crate::pod::EnvVar;
use crate::requested::RequestedSecrets;

/// Replaces the entry of `env` by `NAME_FILE`, or removes it if that is there already.
pub(super) fn replace(
    (app, requested): (&AppContainer<'_>, &RequestedSecrets<'_>),
    (index, variable): (usize, &EnvVar<'_>),
    secret: &str,
    changes: &mut EnvChanges<'_>,
    diagnostics: &mut Diagnostics,
) {
    changes.removed.file(&variable.name, Some(index));
    match file_variable((app, requested), &variable.name, secret, changes) {
        FileVariable::New(entry) => changes.entries.push((index, EntryChange::Replace(entry))),
        FileVariable::Present => changes.entries.push((index, EntryChange::Remove)),
        FileVariable::Conflict(file_variable) => diagnostics.deny(Violation::VariableTaken {
            at: app.at(format_args!(".env[{index}]")),
            name: printable(&variable.name),
            variable: printable(&file_variable),
            path: printable(&requested.secret_path(secret)),
        }),
    }
}

/// Adds `NAME_FILE` for a variable that the source at `index` of `envFrom` set.
pub(super) fn add(
    (app, requested): (&AppContainer<'_>, &RequestedSecrets<'_>),
    index: usize,
    (name, secret): (String, &str),
    changes: &mut EnvChanges<'_>,
    diagnostics: &mut Diagnostics,
) {
    match file_variable((app, requested), &name, secret, changes) {
        FileVariable::New(entry) => changes.additions.push(entry),
        FileVariable::Present => {}
        FileVariable::Conflict(file_variable) => diagnostics.deny(Violation::VariableTaken {
            at: app.at(format_args!(".envFrom[{index}]")),
            name: printable(&name),
            variable: printable(&file_variable),
            path: requested.secret_path(secret),
        }),
    }
    changes.removed.file(&name, None);
}

/// Whether a `NAME_FILE` variable can be written.
enum FileVariable {
    /// It can, as this entry.
    New(NewVariable),
    /// It exists with the right value.
    Present,
    /// It exists with another value. Holds its name.
    Conflict(String),
}

/// Decides on the `NAME_FILE` variable of the variable `name`.
fn file_variable(
    (app, requested): (&AppContainer<'_>, &RequestedSecrets<'_>),
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
    let path = requested.secret_path(secret);
    if let Some(existing) = changes.file_variables.get(&*file_variable) {
        let variables = app.container.env.as_deref().unwrap_or_default();
        let is_path =
            |index: &usize| variables.get(*index).and_then(EnvVar::literal) == Some(path.as_str());
        return present_if(existing.iter().all(is_path), file_variable);
    }
    let entry = NewVariable::literal(file_variable.clone(), path);
    changes.written.insert(file_variable, secret.to_owned());
    FileVariable::New(entry)
}
