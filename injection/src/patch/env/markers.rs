//! The variables by which the agent finds the signalled container's processes.

use contract::layout;

use super::super::new_variable::NewVariable;
use super::changes::EnvChanges;
use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation};

/// Adds the variables by which the agent finds the signalled container's processes.
pub(super) fn add(
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
            let marker = NewVariable::literal(layout::CONTAINER_VARIABLE, container.to_owned());
            changes.additions.push(marker);
        }
        Some((_, variable)) if variable.literal() == Some(container) => {}
        Some((index, _)) => diagnostics.deny(taken(index, layout::CONTAINER_VARIABLE)),
    }
    match find(layout::POD_UID_VARIABLE) {
        None => changes.additions.push(NewVariable::pod_uid()),
        Some((_, variable)) if variable.field_path() == Some("metadata.uid") => {}
        Some((index, _)) => diagnostics.deny(taken(index, layout::POD_UID_VARIABLE)),
    }
}
