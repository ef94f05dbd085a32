//! What the agent's container depends on in the pod: its user, the mode of the files, the container
//! that it signals, and the socket over which it tells HAProxy.

use contract::annotations::FileMode;
use contract::exec_config::MAX_RESTART_GRACE_SECONDS;
use contract::{Annotations, Placement, ReloadRequest, layout};

use crate::agent_resources::{self, ContainerResources};
use crate::app_container::{AppContainer, list_names};
use crate::choice::AgentUser;
use crate::config::InjectionConfig;
use crate::container_path::ContainerList;
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::haproxy_socket::HaproxySocket;
use crate::kubernetes_version::KubernetesVersion;
use crate::placement;
use crate::pod::Pod;

/// The settings of the agent that follow from the pod.
pub(crate) struct AgentSettings<'p> {
    /// The UID that the agent runs as; `None` if the namespace assigns it.
    pub(crate) uid: Option<i64>,
    /// The SELinux level of the containers that get the secrets, where they have their own.
    pub(crate) selinux_level: Option<&'p str>,
    /// The mode of the secrets' files.
    pub(crate) mode: FileMode,
    /// The container to signal, if the application reloads on a signal.
    pub(crate) signalled: Option<&'p str>,
    /// HAProxy's socket, if it is told over that.
    pub(crate) haproxy: Option<HaproxySocket<'p>>,
    /// Where the agent is; `None` if it ends when the files are written.
    pub(crate) placement: Option<Placement>,
    /// Whether the agent's exit restarts all containers.
    pub(crate) restarts: bool,
    /// How many seconds a command has to end that the agent's program starts again; `None` if it
    /// does not.
    restart_grace: Option<u32>,
    /// What the agent requests and is limited to.
    pub(crate) resources: ContainerResources,
}

/// The agent's UID if the application's is not known. Not 0, so that the restricted Pod Security
/// Standard accepts it.
const DEFAULT_UID: i64 = 65532;

impl<'p> AgentSettings<'p> {
    /// Derives the settings from the application's containers.
    pub(crate) fn resolve(
        pod: &'p Pod<'_>,
        annotations: &Annotations,
        containers: &[AppContainer<'p>],
        config: &InjectionConfig,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let signalled = if matches!(annotations.reload, ReloadRequest::Signal(_)) {
            check_process_namespace(pod, diagnostics);
            signalled(annotations, containers, diagnostics)
        } else {
            None
        };
        let mut uids =
            containers.iter().filter(|app| app.gets_secrets).map(|app| app.container.uid(pod));
        let first = uids.next().flatten();
        let common = first.filter(|_| uids.all(|uid| uid == first));
        let fallback = || {
            common.or(match config.agent_user {
                AgentUser::Fixed => Some(DEFAULT_UID),
                AgentUser::Namespace => None,
            })
        };
        let haproxy = HaproxySocket::resolve(pod, annotations, containers, diagnostics);
        let with_socket = haproxy.as_ref().and_then(|it| Some((it, containers.get(it.container)?)));
        let uid = match (signalled, with_socket) {
            (Some(app), _) => uid_of_signalled(pod, app, config.agent_user, diagnostics),
            (None, Some((socket, app))) => {
                let uid = app.container.uid(pod);
                if let (None, Some(uid)) = (uid, fallback()) {
                    let container = app.at(format_args!(""));
                    let socket = printable(socket.original.as_str());
                    diagnostics.warn(Warning::HaproxyUser { container, uid, socket });
                }
                uid.or_else(fallback)
            }
            (None, None) => fallback(),
        };
        // Kubelet reads the files of variables as root.
        let is_owners = (common.is_some() && common == uid) || !annotations.needs_volume();
        let default = if is_owners { FileMode::OWNER } else { FileMode::EVERYBODY };
        let mode = annotations.file_mode.unwrap_or(default);
        if annotations.needs_volume() {
            warn_of_unreadable(pod, containers, (uid, mode), diagnostics);
        }
        let resources = agent_resources::resolve(pod, annotations, containers, config, diagnostics);
        let selinux_level = selinux_level(containers, diagnostics);
        let signalled = signalled.map(|app| &*app.container.name);
        let restarts = annotations.reload == ReloadRequest::Restart
            && !annotations.deliver.restarts_commands()
            && config.kubernetes.is_some_and(|it| it >= KubernetesVersion::RESTARTS_ALL_CONTAINERS);
        let placement = (!annotations.deliver.init_only).then(|| {
            placement::resolve(pod, annotations, containers, (restarts, config), diagnostics)
        });
        let restart_grace = (annotations.reload == ReloadRequest::Restart
            && annotations.deliver.restarts_commands())
        .then(|| restart_grace(pod));
        Self {
            uid,
            selinux_level,
            mode,
            signalled,
            haproxy,
            placement,
            restarts,
            restart_grace,
            resources,
        }
    }

    /// The list of containers that the agent is in.
    pub(crate) fn agent_list(&self) -> ContainerList {
        match self.placement {
            Some(Placement::First) => ContainerList::Containers,
            Some(Placement::Native) | None => ContainerList::InitContainers,
        }
    }

    /// How many seconds the container's command has to end before it starts again; `None` if it
    /// never does, as that of a container that ends before the application starts.
    pub(crate) fn restart_grace(&self, app: &AppContainer<'_>) -> Option<u32> {
        let ends = app.path.list == ContainerList::InitContainers && !app.container.is_sidecar();
        self.restart_grace.filter(|_| !ends)
    }
}

/// The time that kubelet gives the pod to end, within bounds: a rotation waits for it.
fn restart_grace(pod: &Pod<'_>) -> u32 {
    let seconds = pod.spec.termination_grace_period_seconds.unwrap_or(30);
    u32::try_from(seconds).unwrap_or(1).clamp(1, MAX_RESTART_GRACE_SECONDS)
}

/// The UID that the agent needs to signal the container's process.
fn uid_of_signalled(
    pod: &Pod<'_>,
    app: &AppContainer<'_>,
    user: AgentUser,
    diagnostics: &mut Diagnostics,
) -> Option<i64> {
    match app.container.uid(pod) {
        // Root too: a process may signal others of its user, whatever their capabilities are, and
        // everybody may read which mounts a process has.
        Some(uid) => Some(uid),
        // The namespace assigns both the same.
        None if user == AgentUser::Namespace => None,
        None => {
            diagnostics.deny(Violation::UnknownUid { at: app.at(format_args!("")) });
            Some(DEFAULT_UID)
        }
    }
}

/// The SELinux level that all containers with secrets have of their own: the volume's files get one
/// level. A level of the whole pod is the agent's too.
fn selinux_level<'p>(
    containers: &[AppContainer<'p>],
    diagnostics: &mut Diagnostics,
) -> Option<&'p str> {
    let mut levels = containers.iter().filter(|app| app.gets_secrets);
    let first = levels.next()?.container.selinux_level();
    if levels.any(|app| app.container.selinux_level() != first) {
        diagnostics.warn(Warning::SeLinuxLevels);
        return None;
    }
    first
}

fn check_process_namespace(pod: &Pod<'_>, diagnostics: &mut Diagnostics) {
    if pod.spec.host_pid == Some(true) {
        diagnostics.deny(Violation::HostPid);
    } else if pod.spec.share_process_namespace == Some(false) {
        diagnostics.deny(Violation::ProcessNamespaceNotShared);
    }
}

/// The container to signal: the named one, or the only application container.
fn signalled<'a, 'p>(
    annotations: &Annotations,
    containers: &'a [AppContainer<'p>],
    diagnostics: &mut Diagnostics,
) -> Option<&'a AppContainer<'p>> {
    let Some(name) = &annotations.reload_container else {
        return only_application(containers, diagnostics);
    };
    // An unknown name has been refused already.
    let app = containers.iter().find(|app| &*app.container.name == name.as_str())?;
    if app.path.list == ContainerList::InitContainers && !app.container.is_sidecar() {
        diagnostics.deny(Violation::SignalledContainerEnds { name: printable(name) });
        return None;
    }
    if !app.gets_secrets {
        diagnostics.deny(Violation::SignalledWithoutSecrets { name: printable(name) });
        return None;
    }
    Some(app)
}

fn only_application<'a, 'p>(
    containers: &'a [AppContainer<'p>],
    diagnostics: &mut Diagnostics,
) -> Option<&'a AppContainer<'p>> {
    let applications = || {
        containers
            .iter()
            .filter(|app| app.path.list == ContainerList::Containers && app.gets_secrets)
    };
    // On reinvocation another webhook may have added containers. The container that the first pass
    // chose has its own name in a variable.
    let is_marked = |app: &&AppContainer<'_>| {
        let variables = app.container.env.iter().flatten();
        variables
            .filter(|variable| &*variable.name == layout::CONTAINER_VARIABLE)
            .any(|variable| variable.literal() == Some(&*app.container.name))
    };
    let only = |mut found: Box<dyn Iterator<Item = &'a AppContainer<'p>> + '_>| {
        found.next().filter(|_| found.next().is_none())
    };
    let chosen =
        only(Box::new(applications())).or_else(|| only(Box::new(applications().filter(is_marked))));
    if chosen.is_none() {
        diagnostics.deny(Violation::ReloadContainerMissing { known: list_names(applications()) });
    }
    chosen
}

/// Warns if the file mode may keep a container from reading its files.
fn warn_of_unreadable(
    pod: &Pod<'_>,
    containers: &[AppContainer<'_>],
    (uid, mode): (Option<i64>, FileMode),
    diagnostics: &mut Diagnostics,
) {
    let shares_group =
        pod.spec.security_context.as_ref().is_some_and(|context| context.fs_group.is_some());
    if mode.bits() & 0o004 != 0 || (mode.bits() & 0o040 != 0 && shares_group) {
        return;
    }
    let others = containers.iter().filter(|app| app.gets_secrets && app.container.uid(pod) != uid);
    let uid =
        uid.map_or_else(|| "own, which the namespace assigns".to_owned(), |uid| uid.to_string());
    for app in others {
        diagnostics.warn(Warning::Unreadable {
            mode: mode.to_string(),
            container: printable(&app.container.name),
            uid: uid.clone(),
        });
    }
}
