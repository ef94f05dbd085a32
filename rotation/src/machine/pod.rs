//! What is known of one pod, and what its wave makes of it.

use std::time::Duration;

use contract::Generation;

use crate::judge::Verdict;
use crate::policy::Policy;

use super::state::{Reason, Row};

/// How often a pod's application may restart while it is watched. Once happens to any pod.
const MAX_RESTARTS: u32 = 1;

/// A pod that exists. One that vanished is not in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its UID.
    pub uid: String,
    /// Its name, for people.
    pub name: String,
    /// When it was first seen, in lived time.
    pub first_seen: Duration,
    /// What it said it holds. `None` where it said nothing yet.
    pub holds: Option<Generation>,
    /// Whether its agent is connected. What a pod said before is no evidence of now.
    pub is_connected: bool,
    /// What its checks say of the target generation.
    pub checks: Checks,
    /// How often its application restarted since it was told.
    pub restarts: u32,
}

impl PodView {
    /// Whether it is to hold the target generation.
    pub(super) fn is_reached(&self, row: &Row) -> bool {
        row.generation_for(&self.uid, self.first_seen) == row.to
    }
}

/// What a pod's checks say of the target generation, by its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Nothing yet, or the pod has none.
    Unknown,
    /// They passed, and the target did not show the application using the old credential.
    Passed,
    /// The new credential works, and the target shows that the application uses the old one.
    NotInUse,
    /// The target generation failed in this pod, which keeps the one before; why, without a value.
    Failed(String),
}

/// What is known of a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It does not work.
    Fails(Reason),
    /// It works.
    Works,
    /// Neither; what is missing.
    Missing(String),
}

/// What fails a wave at once, whatever else is known.
pub(super) fn failure(pods: &[&PodView], requests: &Verdict) -> Option<Reason> {
    let of_a_pod = pods.iter().find_map(|pod| match &pod.checks {
        Checks::Failed(detail) => Some(format!("{}: {detail}", pod.name)),
        _ if pod.restarts > MAX_RESTARTS => {
            Some(format!("{}: restarted {} times", pod.name, pod.restarts))
        }
        _ => None,
    });
    of_a_pod.map(Reason::Pod).or_else(|| match requests {
        Verdict::Failing(failure) => Some(Reason::Requests(failure.to_string())),
        _ => None,
    })
}

/// What a wave whose pods all hold the target generation shows.
pub(super) fn evidence(policy: &Policy, pods: &[&PodView], requests: &Verdict) -> Evidence {
    if let Some(reason) = failure(pods, requests) {
        return Evidence::Fails(reason);
    }
    if let Some(away) = pods.iter().find(|it| !it.is_connected) {
        return Evidence::Missing(format!("{}: its agent is away", away.name));
    }
    if let Some(old) = pods.iter().find(|it| it.checks == Checks::NotInUse) {
        return Evidence::Missing(format!("{}: uses the old credential", old.name));
    }
    let unchecked = pods.iter().find(|it| it.checks != Checks::Passed);
    match (requests, unchecked) {
        (Verdict::Passing(_), _) => Evidence::Works,
        (_, None) if !policy.requires_traffic => Evidence::Works,
        (requests, Some(pod)) if !policy.requires_traffic => {
            Evidence::Missing(format!("{}: no check passed; {requests}", pod.name))
        }
        (requests, _) => Evidence::Missing(requests.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use contract::requests::RequestCounts;

    use super::*;
    use crate::judge::{Missing, Share};

    fn pod(checks: Checks) -> PodView {
        PodView {
            uid: "u".to_owned(),
            name: "api-1".to_owned(),
            first_seen: Duration::ZERO,
            holds: Some(Generation(2)),
            is_connected: true,
            checks,
            restarts: 0,
        }
    }

    fn passing() -> Verdict {
        let counts = RequestCounts { requests: 300, bad: 0 };
        Verdict::Passing(Share { counts, bound: 0.01, budget: 0.01 })
    }

    #[test]
    fn what_a_wave_shows() {
        let none = Verdict::Undecided(Missing::Requests);
        let away = PodView { is_connected: false, ..pod(Checks::Passed) };
        let crashes = PodView { restarts: 2, ..pod(Checks::Passed) };
        let (works, fails, missing) = ("works", "fails", "missing");
        for (pods, requests, with_checks, with_traffic) in [
            (vec![pod(Checks::Passed); 2], &none, works, missing),
            (vec![pod(Checks::Passed); 2], &passing(), works, works),
            (vec![pod(Checks::Unknown)], &passing(), works, works),
            (vec![pod(Checks::Unknown)], &none, missing, missing),
            (vec![pod(Checks::Passed), pod(Checks::Unknown)], &none, missing, missing),
            (vec![pod(Checks::Passed), pod(Checks::NotInUse)], &passing(), missing, missing),
            (vec![pod(Checks::Passed), away], &passing(), missing, missing),
            (vec![pod(Checks::Failed("no".to_owned()))], &passing(), fails, fails),
            (vec![crashes], &passing(), fails, fails),
        ] {
            for (requires_traffic, expected) in [(false, with_checks), (true, with_traffic)] {
                let policy = Policy { requires_traffic, ..Policy::default() };
                let seen = match evidence(&policy, &pods.iter().collect::<Vec<_>>(), requests) {
                    Evidence::Works => works,
                    Evidence::Fails(_) => fails,
                    Evidence::Missing(_) => missing,
                };
                assert_eq!(seen, expected, "{pods:?} {requests} {requires_traffic}");
            }
        }
    }
}
