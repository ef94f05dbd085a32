//! The agent's container: a native sidecar. It comes first among the init containers, so that it
//! starts first and stops last, and its `postStart` hook ends when every file is written. Where the
//! operator has it so, it is the first of the ordinary containers, with the same hook. Only the
//! proxy of a mesh may come before it. In a pod that asks for its secrets once, it is an ordinary
//! init container.

use contract::agent_config::{self, AgentConfig, Files, Source};
use contract::{Annotations, Readiness, ReloadRequest, layout};
use serde_json::Value;

use super::agent_container::AgentContainer;
use super::agent_env::config_value;
use super::reinvocation;
use crate::agent_settings::AgentSettings;
use crate::app_container::AppContainer;
use crate::config::InjectionConfig;
use crate::container_path::{ContainerList, ContainerPath};
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod::Pod;
use crate::pod_patch::PodPatch;

/// Adds the operations that insert the agent. If an earlier pass has inserted it, adapts it to the
/// containers that were added since. One that is elsewhere, or behind a container that needs it,
/// is taken out and inserted anew.
pub(crate) fn patch(
    pod: &Pod<'_>,
    agent_config: &AgentConfig,
    (settings, containers): (&AgentSettings<'_>, &[AppContainer<'_>]),
    config: &InjectionConfig,
    diagnostics: &mut Diagnostics,
    patch: &mut PodPatch,
) {
    let value = config_value(agent_config);
    let (bytes, maximum) = (value.len(), layout::MAX_CONFIG_BYTES);
    if bytes > maximum {
        return diagnostics.deny(Violation::LongConfig { bytes, maximum });
    }
    let container = AgentContainer::new(agent_config, value, settings, config);
    let list = settings.agent_list();
    let mut agents = pod.containers().filter(|(_, found)| found.is_agent());
    let found = agents.next();
    if let Some((second, _)) = agents.next() {
        let difference = "there are two".to_owned();
        diagnostics.deny(Violation::AgentNameTaken { at: second.to_string(), difference });
        return;
    }
    let is_late = |path: ContainerPath| {
        let before = containers.iter().filter(|app| app.path.list == list);
        before.filter(|app| app.path.index < path.index).any(|app| app.gets_secrets)
    };
    if let Some((path, agent)) = found {
        // One of the application that only has the name is not taken out of the pod.
        if path.list != list && agent.variable(layout::CONFIG_VARIABLE).is_none() {
            let difference = "it is none that the webhook has made".to_owned();
            diagnostics.deny(Violation::AgentNameTaken { at: path.to_string(), difference });
            return;
        }
        let is_here = path.list == list && !is_late(path);
        let found = is_here.then(|| reinvocation::container(pod, path)).flatten();
        if let Some(Value::Object(found)) = found
            && let Ok(Value::Object(canonical)) = serde_json::to_value(&container)
        {
            return reinvocation::agent(&canonical, &found, path, config, patch);
        }
        patch.remove(&path.pointer());
    }
    // Ours may have been the only one.
    let exists = match list {
        ContainerList::Containers => pod.spec.containers.is_some(),
        ContainerList::InitContainers => pod.spec.init_containers.is_some(),
    };
    if exists {
        let place = place(list, containers, config);
        patch.add(&list.pointer().element(place), container);
    } else {
        patch.append(&list.pointer(), false, vec![container]);
    }
}

/// The agent's index in its list: 0, or after the proxies of meshes that stand first, as native
/// sidecars or as ordinary containers. Where a mesh redirects a pod's connections from the start,
/// as with its CNI plugin, nothing can be reached before its proxy runs.
fn place(list: ContainerList, containers: &[AppContainer<'_>], config: &InjectionConfig) -> usize {
    let is_others = |app: &&AppContainer<'_>| {
        !app.gets_secrets && config.left_out_containers.contains(&*app.container.name)
    };
    let goes_on =
        |app: &&AppContainer<'_>| list == ContainerList::Containers || app.container.is_sidecar();
    let first = containers.iter().filter(|app| app.path.list == list).take_while(is_others);
    first.filter(goes_on).last().map_or(0, |last| last.path.index + 1)
}

/// What the agent does in a pod with these annotations.
pub(crate) fn config(
    annotations: &Annotations,
    settings: &AgentSettings<'_>,
    (files, has_program): (Files, bool),
    readiness: Option<Readiness>,
    source: Source,
) -> AgentConfig {
    let reload = match &annotations.reload {
        ReloadRequest::Restart if !settings.restarts => ReloadRequest::None,
        // One that it cannot reach has been refused already.
        ReloadRequest::Haproxy(_) => match &settings.haproxy {
            Some(socket) => ReloadRequest::Haproxy(socket.path.clone()),
            None => ReloadRequest::None,
        },
        reload => reload.clone(),
    };
    let stays = settings.placement.is_some();
    AgentConfig {
        version: agent_config::VERSION,
        source,
        bundles: annotations.bundles.clone(),
        files,
        program_directory: has_program.then(|| layout::PROGRAM_DIRECTORY.to_owned()),
        // A signal without a container has been refused already.
        reload: reload.resolve(settings.signalled.map(str::to_owned)).unwrap_or_default(),
        reload_timeout_seconds: annotations.reload_timeout_seconds,
        verify: annotations.verify.clone().unwrap_or_default(),
        // Who asks for no check gets none.
        readiness: readiness.filter(|_| stays && annotations.verify.is_none()),
        metrics: annotations.metrics.clone().filter(|_| stays),
        agent_metrics: annotations.agent_metrics.filter(|_| stays),
    }
}
