//! What `enclii-agent status --json` prints and `enclii agent status` shows: names and numbers,
//! never a value.
//!
//! Agents and command lines of different versions meet here. A field that is added is optional, and
//! one that is not known is ignored. Times are seconds since 1970 by the agent's own clock, which
//! is in `now`, so that an age is right although another machine's clock is not.

pub mod age;
pub mod report;

use serde::{Deserialize, Serialize};

use crate::bundle::{BundleRef, Generation, GenerationTag};
use crate::stream::{BundleGeneration, CheckResult, CheckStage};

/// The state of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// The agent's version.
    pub agent: String,
    /// When this was true, in seconds since 1970.
    pub now: u64,
    /// Where the secrets come from.
    pub source: SourceStatus,
    /// What the files hold, in the order in which the pod names its bundles.
    #[serde(default)]
    pub bundles: Vec<BundleStatus>,
    /// The last time that the application was told of new files; absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<ReloadStatus>,
    /// The last checks of each stage, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckRun>,
    /// The generations that failed a check in this pod, and are not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedGeneration>,
    /// The application's requests, as the agent last counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestStatus>,
    /// What is wrong, the worst first. Empty where nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<AgentProblem>,
}

/// Where the secrets come from, and whether the agent has a connection to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The kind of source: `switchyard` or `vault`.
    pub kind: String,
    /// Its address, without a credential.
    pub address: String,
    /// Whether it answers: the stream is open, or the last request succeeded.
    pub connected: bool,
    /// Since when that is so, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Why there is no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What the files hold of one bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleStatus {
    /// The bundle.
    pub bundle: BundleRef,
    /// Its generation; absent where nothing of it arrived yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Tells the generation apart from others with this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<GenerationTag>,
    /// Since when the files hold it, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// How many secrets it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<u64>,
}

/// The last time that the application was told of new files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// The word of its [`ReloadOutcome`](crate::stream::ReloadOutcome); a newer agent may have
    /// others.
    pub outcome: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// What the agent did, or what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The checks of one stage, which ran together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRun {
    /// When they ran: before the swap, after the reload, or after a generation was restored.
    pub stage: CheckStage,
    /// When they ended, in seconds since 1970.
    pub at: u64,
    /// Of which generations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<BundleGeneration>,
    /// Each check and its outcome.
    pub results: Vec<CheckResult>,
}

/// A generation that failed a check in this pod, and is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedGeneration {
    /// The bundle, its generation and tag.
    #[serde(flatten)]
    pub generation: BundleGeneration,
    /// Which check failed, and what was seen.
    pub reason: String,
    /// When, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// The application's requests since the agent was last asked to count them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestStatus {
    /// The metric that they come from; absent where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// When the agent last looked, in seconds since 1970.
    pub at: u64,
    /// For how long it has counted, in seconds.
    pub seconds: u64,
    /// The requests.
    pub requests: u64,
    /// Those that failed by the server's fault.
    pub errors: u64,
    /// Below how many milliseconds 95 of 100 requests stayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_milliseconds: Option<u64>,
    /// Why they could not be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Something that is wrong, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProblem {
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub what_to_do: String,
}

impl AgentStatus {
    /// The status as JSON.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what an agent prints.
    ///
    /// # Errors
    /// When it is not the JSON of a status.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::CheckOutcome;

    #[test]
    fn a_status_round_trips() {
        let held = BundleGeneration {
            bundle: "api-prod".parse().unwrap(),
            generation: Generation(7),
            tag: Some("4f0c".parse().unwrap()),
        };
        let result = CheckResult {
            check: "tls=8443".into(),
            outcome: CheckOutcome::Failed,
            in_use: Some(false),
            detail: "port 8443 serves another certificate".into(),
        };
        let status = AgentStatus {
            agent: "1.2.3".into(),
            now: 1_800_000_000,
            source: SourceStatus {
                kind: "switchyard".into(),
                address: "https://switchyard.enclii-system.svc".into(),
                connected: true,
                since: Some(1_799_999_000),
                detail: None,
            },
            bundles: vec![BundleStatus {
                bundle: "api-prod".parse().unwrap(),
                generation: Some(Generation(6)),
                tag: Some("91d3".parse().unwrap()),
                since: Some(1_799_000_000),
                secrets: Some(3),
            }],
            reload: Some(ReloadStatus {
                outcome: "signalled".into(),
                at: 1_799_999_990,
                milliseconds: Some(12),
                detail: Some("SIGHUP to process 7".into()),
            }),
            checks: vec![CheckRun {
                stage: CheckStage::After,
                at: 1_799_999_993,
                generations: vec![held.clone()],
                results: vec![result],
            }],
            refused: vec![RefusedGeneration {
                generation: held,
                reason: "tls=8443: port 8443 serves another certificate".into(),
                at: Some(1_799_999_993),
            }],
            requests: Some(RequestStatus {
                metric: Some("http_requests_total".into()),
                at: 1_799_999_999,
                seconds: 6,
                requests: 600,
                errors: 3,
                p95_milliseconds: Some(250),
                detail: None,
            }),
            problems: vec![AgentProblem {
                problem: "generation 7 of api-prod failed tls=8443".into(),
                what_to_do: "write a certificate that nginx can load".into(),
            }],
        };
        let json = status.to_json().unwrap();
        assert_eq!(AgentStatus::from_json(json.as_bytes()).unwrap(), status);
        let refused = concat!(
            r#""refused":[{"bundle":"api-prod","generation":7,"tag":"4f0c","#,
            r#""reason":"tls=8443: port 8443 serves another certificate","at":1799999993}]"#,
        );
        assert!(json.contains(refused), "{json}");
    }

    #[test]
    fn another_version_may_have_less_and_more() {
        let least = concat!(
            r#"{"agent":"0.9.0","now":1,"source":{"kind":"vault","address":"https://vault:8200","#,
            r#""connected":false,"lease":9},"checks":[{"stage":"later","at":1,"results":[]}],"#,
            r#""colour":"green"}"#,
        );
        let status = AgentStatus::from_json(least.as_bytes()).unwrap();
        assert_eq!((status.bundles.len(), status.reload), (0, None));
        assert_eq!(status.checks[0].stage, CheckStage::Unknown);
    }
}
