//! The application's containers, and which of them get the secrets.

use std::collections::HashSet;

use contract::{Annotations, annotations};

use crate::config::InjectionConfig;
use crate::container_path::ContainerPath;
use crate::diagnostics::{Diagnostics, Violation, printable};
use crate::pod::{Container, Pod};

/// A container of the application: any container but the agent.
pub(crate) struct AppContainer<'p> {
    pub(crate) path: ContainerPath,
    pub(crate) container: &'p Container<'p>,
    /// Whether it gets the secrets.
    pub(crate) gets_secrets: bool,
}

impl AppContainer<'_> {
    /// The path of a field in the container, for a message.
    pub(crate) fn at(&self, rest: std::fmt::Arguments<'_>) -> String {
        format!("{}{rest} in container {}", self.path, printable(&self.container.name))
    }
}

/// Every container but the agent. Without an annotation, all get the secrets but those that the
/// operator leaves out. Refuses annotations that name a container the pod lacks.
pub(crate) fn all<'p>(
    pod: &'p Pod<'p>,
    annotations: &Annotations,
    config: &InjectionConfig,
    diagnostics: &mut Diagnostics,
) -> Vec<AppContainer<'p>> {
    let named = annotations.containers.as_ref();
    let containers: Vec<_> = pod
        .containers()
        .filter(|(_, container)| !container.is_agent())
        .map(|(path, container)| {
            let gets_secrets = named.map_or_else(
                || !config.left_out_containers.contains(&*container.name),
                |names| names.contains(&*container.name),
            );
            AppContainer { path, container, gets_secrets }
        })
        .collect();
    let names = named.into_iter().flatten().map(|name| (annotations::CONTAINERS, name));
    let reload_container =
        annotations.reload_container.iter().map(|name| (annotations::RELOAD_CONTAINER, name));
    let known: HashSet<&str> = containers.iter().map(|app| &*app.container.name).collect();
    for (annotation, name) in names.chain(reload_container) {
        if diagnostics.has_more() {
            break;
        }
        if !known.contains(name.as_str()) {
            diagnostics.deny(Violation::NoSuchContainer {
                annotation,
                name: printable(name),
                known: list_names(containers.iter()),
            });
        }
    }
    containers
}

/// The containers' names for a message, at most 20 of them.
pub(crate) fn list_names<'a, 'p: 'a>(
    containers: impl Iterator<Item = &'a AppContainer<'p>>,
) -> String {
    let names: Vec<_> = containers.take(20).map(|app| printable(&app.container.name)).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
