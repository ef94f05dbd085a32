//! The variable of the agent's program in a container that an earlier pass has changed.

use std::collections::BTreeMap;

use contract::{ExecConfig, SecretName, layout};

use crate::pod::{Container, EnvVar};

/// The variables that the program sets; none if its own is absent or not of the webhook's form.
pub(crate) fn of(container: &Container<'_>) -> BTreeMap<String, SecretName> {
    let variables = container.env.as_deref().unwrap_or_default();
    let last = variables.iter().rev().find(|it| &*it.name == layout::EXEC_VARIABLE);
    let config = last.and_then(EnvVar::literal).map(|text| text.replace("$$", "$"));
    let config = config.and_then(|text| ExecConfig::from_json(&text).ok());
    config.map(|config| config.variables.0).unwrap_or_default()
}
