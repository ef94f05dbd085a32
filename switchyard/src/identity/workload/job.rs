//! What the audit log says of a job: its name, and the claims that find its run again. Pure.

use serde_json::{Map, Value};

use super::owner::CiPlatform;
use crate::audit::sanitize;

/// The maximum length of one claim in an event, in characters.
const MAX_CLAIM_CHARS: usize = 40;

/// The name of a job, `github:shop/api@refs/heads/main`. `issuer` is the name that the operator
/// gave to the issuer.
pub(super) fn name(issuer: &str, platform: &CiPlatform, claims: &Map<String, Value>) -> String {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str).unwrap_or("?");
    let job = match platform {
        CiPlatform::Github => format!("{}@{}", text("repository"), text("ref")),
        // Before GitLab 16.0 there was no `ref_path`.
        CiPlatform::Gitlab => match claims.get("ref_path").and_then(Value::as_str) {
            Some(path) => format!("{}@{path}", text("project_path")),
            None => format!("{}@{}", text("project_path"), text("ref")),
        },
        CiPlatform::Other { name_claim, .. } => text(name_claim).to_owned(),
    };
    sanitize(&format!("{issuer}:{job}"))
}

/// The claims that tell the runs of a job apart, each in quotes: whoever starts a job chooses some.
pub(super) fn run(platform: &CiPlatform, claims: &Map<String, Value>) -> String {
    let shown: &[&str] = match platform {
        CiPlatform::Github => &["run_id", "run_attempt", "actor", "event_name", "environment"],
        CiPlatform::Gitlab => {
            &["pipeline_id", "job_id", "user_login", "pipeline_source", "environment"]
        }
        CiPlatform::Other { .. } => &["sub", "jti"],
    };
    let shown = shown.iter().filter_map(|claim| {
        let text = match claims.get(*claim)? {
            Value::String(text) => text.chars().take(MAX_CLAIM_CHARS).collect(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some(format!("{claim} {text:?}"))
    });
    shown.collect::<Vec<_>>().join(", ")
}
