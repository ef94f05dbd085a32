//! Bounds on what a pod with secrets may hold. Its cost is bounded with them: nothing that follows
//! takes more than a step or two for each element.
//!
//! The API server's own limits are checked after mutation, so they do not protect a webhook.

use crate::diagnostics::Violation;
use crate::pod::{Container, Pod};

/// The most containers, init containers included.
const MAX_CONTAINERS: usize = 256;

/// The most volumes.
const MAX_VOLUMES: usize = 4096;

/// The most variables of all containers.
const MAX_VARIABLES: usize = 8192;

/// The most sources of variables (`envFrom`) of all containers.
const MAX_SOURCES: usize = 1024;

/// The most mounts of all containers.
const MAX_MOUNTS: usize = 8192;

/// The most words of all commands and arguments.
const MAX_WORDS: usize = 16384;

/// The first bound that a pod exceeds.
pub(crate) fn check(pod: &Pod<'_>) -> Option<Violation> {
    let sum = |count: fn(&Container<'_>) -> usize| {
        pod.containers().map(|(_, container)| count(container)).sum()
    };
    let words = |container: &Container<'_>| length(&container.command) + length(&container.args);
    [
        ("spec.containers and initContainers", pod.containers().count(), MAX_CONTAINERS),
        ("spec.volumes", length(&pod.spec.volumes), MAX_VOLUMES),
        ("env of all containers", sum(|it| length(&it.env)), MAX_VARIABLES),
        ("envFrom of all containers", sum(|it| length(&it.env_from)), MAX_SOURCES),
        ("volumeMounts of all containers", sum(|it| length(&it.volume_mounts)), MAX_MOUNTS),
        ("command and args of all containers", sum(words), MAX_WORDS),
    ]
    .into_iter()
    .find(|(_, count, maximum)| count > maximum)
    .map(|(what, count, maximum)| Violation::TooMany { what, count, maximum })
}

fn length<T>(list: &Option<Vec<T>>) -> usize {
    list.as_ref().map_or(0, Vec::len)
}
