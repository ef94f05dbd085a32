//! `/v1/pods…`: what pods hold, and how their applications took it. Names and numbers, never a
//! value.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PodRequests;
use crate::bundle::{BundleRef, Generation, GenerationTag};
use crate::scope::Scope;

/// A pod, as its agent last reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PodStatus {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// Its service account.
    pub service_account: String,
    /// The version of its agent.
    pub agent: String,
    /// Whether its agent has an open stream.
    pub connected: bool,
    /// When its last stream was opened.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub connected_at: Timestamp,
    /// When that stream ended, where it has and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub disconnected_at: Option<Timestamp>,
    /// The bundles of which it has reported something, and which the caller may list.
    pub bundles: Vec<PodBundle>,
    /// Of how many more bundles it has reported something.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hidden_bundles: u64,
    /// The application's requests, where its agent has counted them lately for this replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<PodRequests>,
    /// The last checks of each stage. Absent where the caller may not list all of its bundles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<PodCheck>,
}

/// What a pod holds of one bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PodBundle {
    /// The bundle's service scope: `shop.prod.api`.
    pub scope: Scope,
    /// The bundle's name as the pod asks for it: `api-prod`.
    pub bundle: BundleRef,
    /// The generation that its files hold; absent where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Tells the generation apart from others with this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<GenerationTag>,
    /// Since when its files hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub since: Option<Timestamp>,
    /// The generation that it should hold.
    pub newest: Generation,
    /// Whether it holds another one than it should.
    pub drifts: bool,
    /// How the application was told of the generation: `signalled`, `accepted`, `not-needed` or
    /// `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
    /// When it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub reloaded_at: Option<Timestamp>,
    /// The generation that last failed, if no newer one was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<PodFailedGeneration>,
    /// The generations that failed a check in the pod, and are not sent to it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<PodRefusedGeneration>,
    /// When it last reported something of the bundle.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub reported_at: Timestamp,
}

/// A generation that a pod could not put into effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PodFailedGeneration {
    /// The generation.
    pub generation: Generation,
    /// Where it failed: `plan`, `write`, `reload` or `check`.
    pub step: String,
    /// What went wrong.
    pub detail: String,
}

/// A generation that failed a check in a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PodRefusedGeneration {
    /// The generation.
    pub generation: Generation,
    /// Tells it apart from others with this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<GenerationTag>,
    /// Which check failed and what was seen, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One check, and its last outcome at one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PodCheck {
    /// When it ran: `before` the files were written, `after` the application was told, or when an
    /// earlier generation was `restored`.
    pub stage: String,
    /// The check, as the pod's annotation has it.
    pub check: String,
    /// `passed`, `failed`, or `skipped` where it could not be looked at.
    pub outcome: String,
    /// Whether the application uses the new value, where the target can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<bool>,
    /// What was seen.
    pub detail: String,
    /// When.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// A page of pods, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PodList {
    /// The pods.
    pub pods: Vec<PodStatus>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_round_trips() {
        let text = concat!(
            r#"{"namespace":"shop-prod","pod":"api-1","uid":"1","service_account":"api","#,
            r#""agent":"1.2.3","connected":true,"connected_at":"2026-11-30T08:00:00Z","#,
            r#""bundles":[{"scope":"shop.prod.api","bundle":"api-prod","generation":6,"#,
            r#""tag":"91d3","since":"2026-11-30T08:00:01Z","newest":7,"drifts":true,"#,
            r#""failed":{"generation":7,"step":"check","detail":"tls=8443: another"},"#,
            r#""refused":[{"generation":7,"tag":"4f0c","reason":"tls=8443: another"}],"#,
            r#""reported_at":"2026-11-30T08:00:02Z"}],"hidden_bundles":1,"#,
            r#""requests":{"metric":"http_requests_total","seconds":60,"requests":1200,"#,
            r#""errors":3,"p95_milliseconds":250,"at":"2026-11-30T08:00:03Z"},"#,
            r#""checks":[{"stage":"after","check":"tls=8443","outcome":"failed","#,
            r#""detail":"another","at":"2026-11-30T08:00:02Z"}]}"#,
        );
        let read: PodStatus = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
