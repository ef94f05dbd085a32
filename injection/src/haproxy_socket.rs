//! How the agent reaches HAProxy's socket: it mounts the volume that HAProxy's container has at the
//! socket's directory.

use contract::{Annotations, ReloadRequest, SocketPath, layout};

use crate::app_container::{AppContainer, list_names};
use crate::container_path::ContainerList;
use crate::diagnostics::{Diagnostics, Violation, printable};
use crate::haproxy_socket_problem::HaproxySocketProblem;
use crate::path_components::components;
use crate::pod::{Pod, Volume, VolumeMount};

/// The socket of HAProxy, seen from the agent.
pub(crate) struct HaproxySocket<'p> {
    /// Where the agent has it.
    pub(crate) path: SocketPath,
    /// Where HAProxy has it.
    pub(crate) original: SocketPath,
    /// The index of HAProxy's container among the application's.
    pub(crate) container: usize,
    /// The volume that it is in.
    pub(crate) volume: &'p str,
    /// The part of the volume that HAProxy mounts.
    pub(crate) sub_path: Option<&'p str>,
}

/// A mount that leads to the socket.
struct Candidate<'a, 'p> {
    container: usize,
    app: &'a AppContainer<'p>,
    index: usize,
    mount: &'p VolumeMount<'p>,
    /// How many names of the socket's path lead to the mount.
    depth: usize,
}

impl<'p> HaproxySocket<'p> {
    /// The socket that a pod's annotation names, if it names one and the agent can reach it.
    pub(crate) fn resolve(
        pod: &'p Pod<'_>,
        annotations: &Annotations,
        containers: &[AppContainer<'p>],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let ReloadRequest::Haproxy(socket) = &annotations.reload else { return None };
        let named = annotations.reload_container.as_deref();
        match find(pod, socket, (named, containers)) {
            Ok(found) => Some(found),
            Err(problem) => {
                let socket = printable(socket.as_str());
                diagnostics.deny(Violation::HaproxySocket { socket, problem });
                None
            }
        }
    }
}

fn find<'p>(
    pod: &'p Pod<'_>,
    socket: &SocketPath,
    (named, containers): (Option<&str>, &[AppContainer<'p>]),
) -> Result<HaproxySocket<'p>, HaproxySocketProblem> {
    let names = components(socket.as_str());
    let names = below_run(&names);
    let goes_on = |app: &AppContainer<'_>| {
        app.path.list == ContainerList::Containers || app.container.is_sidecar()
    };
    let candidates: Vec<_> = containers
        .iter()
        .enumerate()
        .filter(|(_, app)| app.gets_secrets && goes_on(app))
        .filter(|(_, app)| named.is_none_or(|named| *named == *app.container.name))
        .filter_map(|(container, app)| innermost(container, app, names))
        .collect();
    let first = candidates.first().ok_or(HaproxySocketProblem::NoMount)?;
    let (mount, app) = (first.mount, first.app);
    let is_other = |it: &Candidate<'_, '_>| {
        *it.mount.name != *mount.name
            || it.mount.sub_path != mount.sub_path
            || it.depth != first.depth
    };
    if candidates.iter().any(is_other) {
        let names = list_names(candidates.iter().map(|it| it.app));
        return Err(HaproxySocketProblem::Several { names });
    }
    let at = || app.at(format_args!(".volumeMounts[{}]", first.index));
    if mount.sub_path_expr.is_some() {
        return Err(HaproxySocketProblem::Expression(at()));
    }
    let mut volumes = pod.spec.volumes.iter().flatten();
    let volume = volumes.find(|volume| *volume.name == *mount.name);
    if !volume.is_some_and(Volume::is_empty_dir) {
        return Err(HaproxySocketProblem::NotEmptyDir(at()));
    }
    for other in containers.iter().filter(|other| !other.gets_secrets && goes_on(other)) {
        let mounts = other.container.volume_mounts.iter().flatten();
        let writable = mounts
            .enumerate()
            .find(|(_, it)| *it.name == *mount.name && it.read_only != Some(true));
        if let Some((index, _)) = writable {
            let at = other.at(format_args!(".volumeMounts[{index}]"));
            return Err(HaproxySocketProblem::Shared { at });
        }
    }
    let rest = names.get(first.depth..).unwrap_or_default().join("/");
    let path = format!("{}/{rest}", layout::SOCKET_DIRECTORY).parse();
    Ok(HaproxySocket {
        path: path.map_err(|_| HaproxySocketProblem::TooLong)?,
        original: socket.clone(),
        container: first.container,
        volume: &mount.name,
        sub_path: mount.sub_path.as_deref(),
    })
}

/// The mount of a container that is nearest to the socket.
fn innermost<'a, 'p>(
    container: usize,
    app: &'a AppContainer<'p>,
    socket: &[&str],
) -> Option<Candidate<'a, 'p>> {
    let mounts = app.container.volume_mounts.iter().flatten().enumerate();
    let leading = mounts.filter_map(|(index, mount)| {
        let path = components(&mount.mount_path);
        let path = below_run(&path);
        let leads = path.len() < socket.len() && socket.starts_with(path);
        leads.then_some(Candidate { container, app, index, mount, depth: path.len() })
    });
    // The webhook's own are not HAProxy's.
    leading.filter(|it| !layout::VOLUMES.contains(&&*it.mount.name)).max_by_key(|it| it.depth)
}

/// `/var/run` is a link to `/run` in most images, so both are the same directory.
fn below_run<'a>(names: &'a [&'a str]) -> &'a [&'a str] {
    match names {
        ["var", rest @ ..] if rest.first() == Some(&"run") => rest,
        names => names,
    }
}
