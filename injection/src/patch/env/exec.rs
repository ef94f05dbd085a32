//! A secret that is delivered by the agent's program: it starts the container's command, with the
//! variable in its environment. Its own variable names what it sets.

use contract::exec_config::{ExecVariables, VERSION};
use contract::{Delivery, ExecConfig, SecretName, layout};

use super::super::agent_env::escaped;
use super::super::new_variable::NewVariable;
use super::changes::{EntryChange, EnvChanges, FromFiles};
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation};
use crate::exec_variable;
use crate::pod::EnvVar;
use crate::requested::RequestedSecrets;

/// The longest value of the program's variable, in bytes. The kernel takes no more than 128 KiB.
const MAX_CONFIG_BYTES: usize = 96 << 10;

/// Keeps what an earlier pass has removed from `env`: only the program's variable names it still.
pub(super) fn keep(
    app: &AppContainer<'_>,
    requested: &RequestedSecrets<'_>,
    changes: &mut EnvChanges<'_>,
) {
    for (name, secret) in exec_variable::of(app.container) {
        let is_known =
            requested.bundle_with_key(secret.as_str()).is_some() || requested.is_listed_env(&name);
        let is_exec = requested.delivery(secret.as_str()) == Delivery::Exec;
        if is_known && is_exec && name != layout::EXEC_VARIABLE {
            // References that the earlier pass left in `env` are to a later variable.
            changes.removed.exec(&name, Some(usize::MAX));
            changes.exec.insert(name, secret);
        }
    }
}

/// Removes the entry of `env`, and has the program set it.
pub(super) fn replace(
    (index, variable): (usize, &EnvVar<'_>),
    secret: SecretName,
    changes: &mut EnvChanges<'_>,
) {
    changes.entries.push((index, EntryChange::Remove));
    changes.removed.exec(&variable.name, Some(index));
    changes.exec.insert(variable.name.to_string(), secret);
}

/// Has the program set a variable that a source of `envFrom` set, unless `env` does.
pub(super) fn add(name: String, secret: &SecretName, changes: &mut EnvChanges<'_>) {
    if !changes.names.contains(&*name) {
        changes.removed.exec(&name, None);
        changes.exec.insert(name, secret.clone());
    }
}

/// Writes the program's variable. Returns whether the program starts the container's command.
pub(super) fn write(
    (app, requested): (&AppContainer<'_>, &RequestedSecrets<'_>),
    restart_grace_seconds: Option<u32>,
    (changes, from_files): (&mut EnvChanges<'_>, &mut FromFiles),
    diagnostics: &mut Diagnostics,
) -> bool {
    if changes.exec.is_empty() {
        return false;
    }
    let mut variables = app.container.env.iter().flatten();
    if changes.exec.contains_key(layout::EXEC_VARIABLE)
        || variables
            .any(|it| &*it.name == layout::EXEC_VARIABLE && requested.secret_for(it).is_some())
    {
        diagnostics.deny(Violation::ProgramVariableTaken { at: app.at(format_args!(".env")) });
        return true;
    }
    let config = ExecConfig {
        version: VERSION,
        directory: layout::SECRETS_DIRECTORY.to_owned(),
        variables: ExecVariables(std::mem::take(&mut changes.exec)),
        restart_grace_seconds,
    };
    // The type serializes always; an empty text would be refused by the program.
    let value = escaped(config.to_json().unwrap_or_default());
    if value.len() > MAX_CONFIG_BYTES || !from_files.add_program(value.len()) {
        let (at, names) = (app.at(format_args!("")), config.variables.0.len());
        diagnostics.deny(Violation::TooManyVariables { at, names, maximum: MAX_CONFIG_BYTES });
        return true;
    }
    place(app, value, changes);
    true
}

/// One entry of the variable: the last, which counts, or a new one at the end.
fn place(app: &AppContainer<'_>, value: String, changes: &mut EnvChanges<'_>) {
    let variables = app.container.env.as_deref().unwrap_or_default().iter().enumerate();
    let mut found = variables.filter(|(_, it)| &*it.name == layout::EXEC_VARIABLE).rev();
    let entry = |value| NewVariable::literal(layout::EXEC_VARIABLE, value);
    match found.next() {
        None => changes.additions.push(entry(value)),
        Some((_, variable)) if variable.literal() == Some(&*value) => {}
        Some((index, _)) => changes.entries.push((index, EntryChange::Replace(entry(value)))),
    }
    changes.entries.extend(found.map(|(index, _)| (index, EntryChange::Remove)));
}
