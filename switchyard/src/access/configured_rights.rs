//! The rights that come from the configuration and not from a request: the roles of groups and of
//! the jobs of CI systems, and the pods of a development file. What is new or gone since the last
//! start is an audit event.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{GroupRole, WorkloadRules};
use crate::audit::{Action, Actor, Event, Origin, Outcome, Pod, Resource, ResourceKind, sanitize};
use crate::repository::{Repository, RepositoryError};

/// The setting with the rights of the last start.
const SETTING: &str = "configured_rights";

/// A right, as its event describes it. It holds names only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct ConfiguredRight {
    id: String,
    scope: Option<String>,
    details: String,
}

/// Records what changed since the last start, before anybody can use it.
///
/// # Errors
/// The ledger cannot be read or written.
pub(crate) async fn record_configured_rights(
    repository: &Repository,
    groups: &[GroupRole],
    workloads: &WorkloadRules,
    pods: &[Pod],
) -> Result<(), RepositoryError> {
    let mut rights: BTreeSet<_> = groups.iter().map(of_group).collect();
    rights.extend(of_rules(workloads));
    rights.extend((!pods.is_empty()).then(|| of_pods(pods)));
    let is_known = |kept: Option<&str>| parse(kept) == rights;
    // Most starts change nothing, and write nothing.
    if is_known(repository.setting(SETTING).await?.as_deref()) {
        return Ok(());
    }
    repository
        .change_setting(SETTING, move |kept| {
            let before = parse(kept);
            let gone = before.difference(&rights).map(|it| event(Action::Revoke, it));
            let new = rights.difference(&before).map(|it| event(Action::Grant, it));
            // Texts always serialize.
            (serde_json::to_string(&rights).unwrap_or_default(), gone.chain(new).collect())
        })
        .await
}

/// A setting that is missing or that nobody can read says nothing: every right is new then.
fn parse(kept: Option<&str>) -> BTreeSet<ConfiguredRight> {
    kept.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn of_group(role: &GroupRole) -> ConfiguredRight {
    ConfiguredRight {
        id: sanitize(&format!("group:{}", role.group)),
        scope: role.within.scope().map(ToString::to_string),
        details: sanitize(&format!("{}, by --oidc-role", role.assignment())),
    }
}

/// One right for each role of a rule. Whoever changes the conditions gives it to other jobs.
fn of_rules(workloads: &WorkloadRules) -> impl Iterator<Item = ConfiguredRight> {
    workloads.summaries().flat_map(|rule| {
        let digest = short_digest(&rule.conditions);
        workloads.roles(&rule.name, None).map(move |role| ConfiguredRight {
            id: format!("workload:{}", rule.name),
            scope: role.within.scope().map(ToString::to_string),
            details: sanitize(&format!(
                "{role}, by --workload-issuers ({digest}): {}",
                rule.conditions
            )),
        })
    })
}

/// Tells texts apart that may be too long for an event.
fn short_digest(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).map(|it| format!("{it:02x}")).collect()
}

fn of_pods(pods: &[Pod]) -> ConfiguredRight {
    let mut names: Vec<String> = pods
        .iter()
        .map(|it| format!("{}/{}/{} {}", it.namespace, it.service_account, it.name, it.uid))
        .collect();
    names.sort();
    // A change of any of them is an event.
    let short = short_digest(&names.join("\n"));
    ConfiguredRight {
        id: "development-identities".to_owned(),
        scope: None,
        details: sanitize(&format!(
            "{} pods, by --development-identities ({short}): {}",
            names.len(),
            names.join(", ")
        )),
    }
}

fn event(action: Action, right: &ConfiguredRight) -> Event {
    let ConfiguredRight { id, scope, details } = right.clone();
    Event {
        actor: Actor::System { part: "configuration" },
        action,
        resource: Resource { kind: ResourceKind::Grant, id, scope },
        version: None,
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: Some(details),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_pod_is_another_right() {
        let pod = |uid: usize| Pod {
            namespace: "shop-prod".into(),
            service_account: "api".into(),
            name: format!("api-{uid}"),
            uid: uid.to_string(),
        };
        let many: Vec<Pod> = (0..1000).map(pod).collect();
        let (one, mut other) = (of_pods(&many), many.clone());
        other.reverse();
        assert_eq!(of_pods(&other), one, "the order of the file matters");
        other[0].uid = "x".into();
        assert_ne!(of_pods(&other), one);
        assert!(one.details.starts_with("1000 pods") && one.details.chars().count() <= 300);
    }
}
