//! Where the agent is: as the operator says and the pod asks, where that can be.

use contract::{Annotations, Placement};

use crate::app_container::AppContainer;
use crate::choice::PlacementPolicy;
use crate::config::InjectionConfig;
use crate::container_path::ContainerList;
use crate::diagnostics::{Diagnostics, NotFirst, Violation, Warning, printable};
use crate::kubernetes_version::KubernetesVersion;
use crate::pod::Pod;

/// The placement of an agent that stays. `restarts` says whether its exit restarts all containers.
pub(crate) fn resolve(
    pod: &Pod<'_>,
    annotations: &Annotations,
    containers: &[AppContainer<'_>],
    (restarts, config): (bool, &InjectionConfig),
    diagnostics: &mut Diagnostics,
) -> Placement {
    let asked = annotations.placement;
    if asked == Some(Placement::First) && config.placement == PlacementPolicy::Native {
        diagnostics.deny(Violation::PlacementNotAllowed);
        return Placement::Native;
    }
    let by_default = match config.placement {
        PlacementPolicy::First => Placement::First,
        PlacementPolicy::Native | PlacementPolicy::Either => Placement::Native,
    };
    let wants_first = asked.unwrap_or(by_default) == Placement::First;
    let obstacle = wants_first.then(|| obstacle(pod, containers, restarts)).flatten();
    if wants_first && obstacle.is_none() {
        return Placement::First;
    }
    let old = config.kubernetes.filter(|it| *it < KubernetesVersion::NATIVE_SIDECARS);
    match (obstacle, old) {
        (Some(reason), Some(cluster)) => {
            diagnostics.deny(Violation::NoPlacement { cluster, reason });
        }
        (None, Some(cluster)) => diagnostics.deny(Violation::NoNativeSidecars { cluster }),
        (Some(reason), None) if asked.is_some() => {
            diagnostics.warn(Warning::PlacedNative { reason });
        }
        (_, None) => {}
    }
    Placement::Native
}

/// What keeps the agent from being the first container.
fn obstacle(pod: &Pod<'_>, containers: &[AppContainer<'_>], restarts: bool) -> Option<NotFirst> {
    let mut inits = containers.iter().filter(|app| app.path.list == ContainerList::InitContainers);
    if pod.ends() {
        Some(NotFirst::Ends)
    } else if let Some(app) = inits.find(|app| app.gets_secrets) {
        Some(NotFirst::InitContainer(printable(&app.container.name)))
    } else {
        restarts.then_some(NotFirst::Restarts)
    }
}
