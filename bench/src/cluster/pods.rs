//! One pod of the sample application: made, asked when its first instruction ran, and removed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use e2e::sample::AppState;
use e2e::wait;
use serde_json::{Value, json};

use super::api::ApiProxy;
use crate::pod::BUNDLE;
use crate::statistics::milliseconds;

const STEP_TIMEOUT: Duration = Duration::from_secs(60);
const PORT: u16 = 8080;
const APPLICATION: &str = "api";

/// Whether a pod has the agent, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodVariant {
    /// Without the annotation.
    Plain,
    /// With a native sidecar.
    Native,
    /// With the agent as the first container.
    First,
}

impl PodVariant {
    /// All of them, in the order of their turns.
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Native, Self::First];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Native => "native",
            Self::First => "first",
        }
    }
}

/// The milliseconds from just before the create call to the application's first instruction. The
/// pod is gone when this returns, so that its end takes no time from the next one's start.
pub(super) fn measure_start(
    api: &ApiProxy,
    namespace: &str,
    variant: PodVariant,
    number: u32,
) -> Result<f64> {
    let name = format!("{}-{number}", variant.name());
    let all = format!("/api/v1/namespaces/{namespace}/pods");
    let one = format!("{all}/{name}");
    let from = SystemTime::now();
    api.create(&all, &pod_manifest(&name, variant))?;
    let state = wait_for_state(api, &one);
    api.delete(&one, &json!({"gracePeriodSeconds": 1}))?;
    wait::until("the pod to be gone", STEP_TIMEOUT, || {
        Ok(api.get_opt(&one)?.is_none().then_some(()))
    })?;
    let started = UNIX_EPOCH + Duration::from_millis(state?.started_at);
    Ok(milliseconds(
        started.duration_since(from).context("the application started before its pod was made")?,
    ))
}

/// The state that the application reports once it runs.
fn wait_for_state(api: &ApiProxy, pod: &str) -> Result<AppState> {
    let state = wait::until("the application", STEP_TIMEOUT, || {
        let found = api.get_opt(pod)?.unwrap_or_default();
        let containers = found["status"]["containerStatuses"].as_array();
        let mut containers = containers.into_iter().flatten();
        if !containers.any(|it| it["name"] == APPLICATION && it["state"]["running"].is_object()) {
            return Ok(None);
        }
        api.get_if_ready(&format!("{pod}:{PORT}/proxy/state"))
    })?;
    serde_json::from_value(state).context("parse the application's state")
}

pub(super) fn pod_manifest(name: &str, variant: PodVariant) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {
            "serviceAccountName": "api",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsUser": 1000, "runAsNonRoot": true},
            "containers": [{
                "name": APPLICATION,
                "image": format!("enclii/sample:{}", env!("CARGO_PKG_VERSION")),
                "imagePullPolicy": "Never",
                "ports": [{"containerPort": PORT}],
                "env": [{"name": "LOG_LEVEL", "value": "info"}]
            }]
        }
    });
    if variant != PodVariant::Plain {
        pod["metadata"]["annotations"] =
            json!({"enclii.io/secrets": BUNDLE, "enclii.io/placement": variant.name()});
    }
    pod
}
