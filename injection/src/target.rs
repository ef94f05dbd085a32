//! Which containers get the secrets, which one is told of new ones, and as whom the agent runs.

use contract::annotations::FileMode;
use contract::{Annotations, ReloadRequest, annotations, layout};

use crate::findings::{Findings, Refusal, Warning, shown};
use crate::place::{List, Place};
use crate::pod::{Container, Pod};

/// A container of the application's.
pub(crate) struct Target<'p> {
    pub(crate) place: Place,
    pub(crate) container: &'p Container<'p>,
    /// Whether it gets the secrets.
    pub(crate) gets_secrets: bool,
}

impl Target<'_> {
    /// A place in the container, for a message.
    pub(crate) fn at(&self, rest: std::fmt::Arguments<'_>) -> String {
        format!("{}{rest} in container {}", self.place, shown(&self.container.name))
    }
}

/// As whom the agent runs and whom it tells.
pub(crate) struct Owner<'p> {
    pub(crate) uid: i64,
    pub(crate) mode: FileMode,
    /// The container to signal, where reloading is by signal.
    pub(crate) signalled: Option<&'p str>,
}

/// The UID of an agent whose application's UID is not known: nobody's in particular, and not 0, so
/// that the restricted Pod Security Standard takes it.
const DEFAULT_UID: i64 = 65532;

/// Every container but the agent.
pub(crate) fn targets<'p>(
    pod: &'p Pod<'p>,
    annotations: &Annotations,
    findings: &mut Findings,
) -> Vec<Target<'p>> {
    let wanted = annotations.containers.as_ref();
    let targets: Vec<_> = pod
        .containers()
        .filter(|(_, container)| &*container.name != layout::AGENT_CONTAINER)
        .map(|(place, container)| {
            let gets_secrets = wanted.is_none_or(|names| names.contains(&*container.name));
            Target { place, container, gets_secrets }
        })
        .collect();
    let named = wanted.into_iter().flatten().map(|name| (annotations::CONTAINERS, name));
    for (annotation, name) in named.chain(
        annotations.reload_container.iter().map(|name| (annotations::RELOAD_CONTAINER, name)),
    ) {
        if !targets.iter().any(|target| &*target.container.name == name.as_str()) {
            findings.refuse(Refusal::NoSuchContainer {
                annotation,
                name: shown(name),
                known: names(targets.iter()),
            });
        }
    }
    targets
}

/// Decides as whom the agent runs.
pub(crate) fn owner<'p>(
    pod: &Pod<'_>,
    annotations: &Annotations,
    targets: &[Target<'p>],
    findings: &mut Findings,
) -> Owner<'p> {
    let reload = if matches!(annotations.reload, ReloadRequest::Signal(_)) {
        check_processes(pod, findings);
        signalled(annotations, targets, findings)
    } else {
        None
    };
    let mut uids =
        targets.iter().filter(|target| target.gets_secrets).map(|target| target.container.uid(pod));
    let first = uids.next().flatten();
    let common = first.filter(|_| uids.all(|uid| uid == first));
    let uid = match reload {
        Some(target) => uid_of_signalled(pod, target, findings),
        None => common.unwrap_or(DEFAULT_UID),
    };
    let natural = if common == Some(uid) { FileMode::OWNER } else { FileMode::EVERYBODY };
    let mode = annotations.file_mode.unwrap_or(natural);
    check_readable(pod, targets, (uid, mode), findings);
    Owner { uid, mode, signalled: reload.map(|target| &*target.container.name) }
}

/// The UID that the agent needs to signal the container's process.
fn uid_of_signalled(pod: &Pod<'_>, target: &Target<'_>, findings: &mut Findings) -> i64 {
    let at = || target.at(format_args!(""));
    match target.container.uid(pod) {
        // The agent drops all capabilities. The kernel lets nobody see the environment of a process
        // that has more of them, and a root container has unless it drops them too.
        Some(0) => findings.refuse(Refusal::RootSignalled { at: at() }),
        Some(uid) => return uid,
        None => findings.refuse(Refusal::UnknownUid { at: at() }),
    }
    DEFAULT_UID
}

fn check_processes(pod: &Pod<'_>, findings: &mut Findings) {
    if pod.spec.host_pid == Some(true) {
        findings.refuse(Refusal::HostProcesses);
    } else if pod.spec.share_process_namespace == Some(false) {
        findings.refuse(Refusal::ProcessesNotShared);
    }
}

/// The container to signal: the named one, or the only application container.
fn signalled<'t, 'p>(
    annotations: &Annotations,
    targets: &'t [Target<'p>],
    findings: &mut Findings,
) -> Option<&'t Target<'p>> {
    let Some(name) = &annotations.reload_container else {
        return only_application(targets, findings);
    };
    // A name that is none has been refused already.
    let target = targets.iter().find(|target| &*target.container.name == name.as_str())?;
    if target.place.list == List::InitContainers && !target.container.is_sidecar() {
        findings.refuse(Refusal::ContainerEnds { name: shown(name) });
        return None;
    }
    if !target.gets_secrets {
        findings.refuse(Refusal::SignalledWithoutSecrets { name: shown(name) });
        return None;
    }
    Some(target)
}

fn only_application<'t, 'p>(
    targets: &'t [Target<'p>],
    findings: &mut Findings,
) -> Option<&'t Target<'p>> {
    let applications = || {
        targets.iter().filter(|target| target.place.list == List::Containers && target.gets_secrets)
    };
    // On a second pass a later webhook may have added containers of its own; the one that the first
    // pass chose carries its own name in a variable.
    let marked = |target: &&Target<'_>| {
        let variables = target.container.env.iter().flatten();
        variables
            .filter(|found| &*found.name == layout::CONTAINER_VARIABLE)
            .any(|found| found.literal() == Some(&*target.container.name))
    };
    let only = |mut found: Box<dyn Iterator<Item = &'t Target<'p>> + '_>| {
        found.next().filter(|_| found.next().is_none())
    };
    let chosen =
        only(Box::new(applications())).or_else(|| only(Box::new(applications().filter(marked))));
    if chosen.is_none() {
        findings.refuse(Refusal::WhichContainer { known: names(applications()) });
    }
    chosen
}

/// Warns of a mode that somebody asked for and that keeps a container from its files.
fn check_readable(
    pod: &Pod<'_>,
    targets: &[Target<'_>],
    (uid, mode): (i64, FileMode),
    findings: &mut Findings,
) {
    let shares_group =
        pod.spec.security_context.as_ref().is_some_and(|context| context.fs_group.is_some());
    if mode.bits() & 0o004 != 0 || (mode.bits() & 0o040 != 0 && shares_group) {
        return;
    }
    for target in targets
        .iter()
        .filter(|target| target.gets_secrets && target.container.uid(pod) != Some(uid))
    {
        findings.warn(Warning::Unreadable {
            mode: mode.to_string(),
            container: shown(&target.container.name),
            uid,
        });
    }
}

fn names<'t, 'p: 't>(targets: impl Iterator<Item = &'t Target<'p>>) -> String {
    let names: Vec<_> = targets.take(20).map(|target| shown(&target.container.name)).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
