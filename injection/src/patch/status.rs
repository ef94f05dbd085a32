//! What an injected pod says about itself: its status, and which container people mean who name
//! none.

use contract::{Placement, annotations};
use serde_json::Value;

use crate::agent_settings::AgentSettings;
use crate::app_container::AppContainer;
use crate::compat::COMPAT_BUNDLE;
use crate::config::InjectionConfig;
use crate::container_path::ContainerList;
use crate::pod::Pod;
use crate::pod_patch::PodPatch;
use crate::pod_pointer::PodPointer;

/// The container that `kubectl logs` and `kubectl exec` take; without it, the first.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Adds the operations that write the annotations. A status that somebody else wrote is replaced.
pub(crate) fn patch(
    pod: &Pod<'_>,
    (settings, containers): (&AgentSettings<'_>, &[AppContainer<'_>]),
    config: &InjectionConfig,
    patch: &mut PodPatch,
) {
    let status = status(settings, config);
    if pod.annotation(annotations::STATUS) != Some(&status) {
        patch.add(&pointer(annotations::STATUS), status);
    }
    let application = containers.iter().find(|app| app.path.list == ContainerList::Containers);
    if settings.placement == Some(Placement::First)
        && pod.annotation(DEFAULT_CONTAINER).is_none()
        && let Some(app) = application
    {
        patch.add(&pointer(DEFAULT_CONTAINER), &*app.container.name);
    }
}

/// Adds the annotations of this system that a pod with the Injector's would have: the policies of
/// the API server look at them, and so does a later pass.
pub(crate) fn patch_compat(pod: &Pod<'_>, init_only: bool, patch: &mut PodPatch) {
    let once = init_only.then_some((annotations::DELIVER, "init"));
    for (key, value) in [(annotations::SECRETS, COMPAT_BUNDLE)].into_iter().chain(once) {
        if pod.annotation(key) != Some(value) {
            patch.add(&pointer(key), value);
        }
    }
}

/// Where the agent is (`native`, `first` or `init`), the fingerprint of the operator's settings,
/// and the webhook's version. The policy of the API server looks at the beginning.
fn status(settings: &AgentSettings<'_>, config: &InjectionConfig) -> String {
    format!(
        r#"{{"agent":"{}","configuration":{},"version":"{}"}}"#,
        settings.placement.map_or("init", Placement::as_str),
        Value::from(&*config.fingerprint),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The pod asks by an annotation, so it has some.
fn pointer(annotation: &str) -> PodPointer {
    PodPointer::new("/metadata/annotations").field(annotation)
}
