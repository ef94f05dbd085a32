//! What `enclii-agent status` prints: kept by the event loop, written to the volume as it changes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contract::agent_config::Source;
use contract::agent_status::{
    AgentProblem, AgentStatus, BundleStatus, CheckRun, RefusedGeneration, ReloadStatus,
    RequestStatus, SourceStatus,
};
use contract::stream::{BundleGeneration, CheckResult, CheckStage, FailedStep, ReloadOutcome};
use contract::{AgentConfig, BundleRef};

use super::Supervisor;
use crate::error::error_chain;
use crate::metrics::{AgentMetrics, Counts};

/// The status, and whether the volume has it.
#[derive(Debug)]
pub(super) struct StatusRecord {
    status: AgentStatus,
    is_written: bool,
    /// Why the last generation could not be written.
    unwritten: Option<String>,
    /// The variables of which containers hold older values.
    stale: Option<String>,
    /// What happened since the agent started.
    counts: Counts,
}

impl StatusRecord {
    /// The status of an agent that starts. `earlier` is what an earlier run has recorded.
    pub(super) fn new(config: &AgentConfig, earlier: Option<AgentStatus>) -> Self {
        let (kind, address) = match &config.source {
            Source::Switchyard { address, .. } => ("switchyard", address.clone()),
            Source::Vault(vault) => ("vault", vault.address.clone()),
        };
        let source = SourceStatus {
            kind: kind.to_owned(),
            address,
            connected: false,
            since: Some(now()),
            detail: Some("no connection yet".to_owned()),
        };
        let empty = AgentStatus {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            now: now(),
            source: source.clone(),
            bundles: config.bundles.iter().map(nothing_of).collect(),
            reload: None,
            checks: Vec::new(),
            refused: Vec::new(),
            requests: None,
            problems: Vec::new(),
        };
        let status = match earlier {
            Some(earlier) => AgentStatus { agent: empty.agent, source, ..earlier },
            None => empty,
        };
        Self { status, is_written: false, unwritten: None, stale: None, counts: Counts::default() }
    }

    pub(super) fn connected(&mut self) {
        self.set_connection(true, None);
    }

    pub(super) fn disconnected(&mut self, reason: &str) {
        self.set_connection(false, Some(reason.to_owned()));
    }

    fn set_connection(&mut self, connected: bool, detail: Option<String>) {
        let source = &mut self.status.source;
        if source.connected != connected {
            source.since = Some(now());
        }
        if source.connected != connected || source.detail != detail {
            (source.connected, source.detail) = (connected, detail);
            self.is_written = false;
        }
    }

    /// The files hold these generations.
    pub(super) fn holds(&mut self, bundles: &[BundleRef], held: &[BundleGeneration]) {
        let earlier = std::mem::take(&mut self.status.bundles);
        let of = |bundle: &BundleRef| {
            let Some(held) = held.iter().find(|it| it.bundle == *bundle) else {
                return nothing_of(bundle);
            };
            let same = earlier.iter().find(|it| {
                it.bundle == held.bundle
                    && it.generation == Some(held.generation)
                    && it.tag == held.tag
            });
            same.cloned().unwrap_or_else(|| BundleStatus {
                bundle: held.bundle.clone(),
                generation: Some(held.generation),
                tag: held.tag.clone(),
                since: Some(now()),
                secrets: None,
            })
        };
        self.status.bundles = bundles.iter().map(of).collect();
        self.unwritten = None;
        self.is_written = false;
    }

    /// The application was told, or could not be.
    pub(super) fn reloaded(
        &mut self,
        outcome: ReloadOutcome,
        took: Duration,
        detail: Option<String>,
    ) {
        self.count_reload(outcome);
        self.status.reload = Some(ReloadStatus {
            outcome: outcome.as_str().to_owned(),
            at: now(),
            milliseconds: Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            detail,
        });
        self.is_written = false;
    }

    /// The application was told, or could not be, of a generation that may not stay.
    pub(super) fn count_reload(&mut self, outcome: ReloadOutcome) {
        self.counts.reloaded(outcome);
    }

    /// Checks of these generations have ended. Only the last ones of each stage are kept.
    pub(super) fn checked(
        &mut self,
        generations: &[BundleGeneration],
        stage: CheckStage,
        results: &[CheckResult],
    ) {
        results.iter().for_each(|it| self.counts.checked(stage, it.outcome));
        let (generations, results) = (generations.to_vec(), results.to_vec());
        self.status.checks.retain(|run| run.stage != stage);
        self.status.checks.push(CheckRun { stage, at: now(), generations, results });
        self.is_written = false;
    }

    /// The application's requests were counted.
    pub(super) fn requests(&mut self, requests: RequestStatus) {
        self.status.requests = Some(requests);
        self.is_written = false;
    }

    /// A generation did not come into use.
    pub(super) fn failed(&mut self, step: FailedStep) {
        self.counts.failed(step);
    }

    /// The files hold the generation before again.
    pub(super) fn restored(&mut self) {
        self.counts.restored();
    }

    /// What the metrics' port shows.
    pub(super) fn metrics(&self, refused: &[RefusedGeneration]) -> AgentMetrics {
        // Those of the past stay in the record, and are no trouble once a later one works.
        let is_newer = |RefusedGeneration { generation: refused, .. }: &&RefusedGeneration| {
            let mut bundles = self.status.bundles.iter().filter(|it| it.bundle == refused.bundle);
            bundles.any(|it| it.generation.is_none_or(|held| held < refused.generation))
        };
        AgentMetrics {
            is_connected: self.status.source.connected,
            bundles: self.status.bundles.clone(),
            refused: refused.iter().filter(is_newer).count(),
            counts: self.counts.clone(),
        }
    }

    /// A generation could not become files, for this reason.
    pub(super) fn not_written(&mut self, reason: &str) {
        self.unwritten = Some(reason.to_owned());
        self.is_written = false;
    }

    /// Containers hold older values of these variables.
    pub(super) fn stale(&mut self, names: String) {
        self.stale = Some(names);
        self.is_written = false;
    }

    /// The problems that are not in another field of the status.
    fn problems(&self) -> Vec<AgentProblem> {
        let problem = |problem: String, what_to_do: &str| AgentProblem {
            problem,
            what_to_do: what_to_do.to_owned(),
        };
        let unwritten = self.unwritten.as_ref().map(|reason| {
            let text = format!("the newest generation is not in the files: {reason}");
            problem(text, "mend the secrets that it names; the files keep what they hold")
        });
        let stale = self.stale.as_ref().map(|names| {
            let text = format!("containers hold older values of the variables {names}");
            problem(text, "replace the containers: kubectl rollout restart")
        });
        unwritten.into_iter().chain(stale).collect()
    }
}

impl Supervisor {
    /// Writes the status, if it has changed.
    pub(super) fn write_status(&mut self) {
        if self.status.is_written {
            return;
        }
        self.status.is_written = true;
        self.status.status.refused = self.refused.borrow().as_slice().to_vec();
        self.status.status.problems = self.status.problems();
        self.status.status.now = now();
        let json = self.status.status.to_json().unwrap_or_default();
        if let Err(error) = self.files.record_status(&json) {
            tracing::debug!(error = error_chain(&error), "status not written");
        }
    }
}

fn nothing_of(bundle: &BundleRef) -> BundleStatus {
    let bundle = bundle.clone();
    BundleStatus { bundle, generation: None, tag: None, since: None, secrets: None }
}

/// The time of this machine's clock, in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Likewise, in milliseconds.
pub(super) fn now_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use contract::Generation;
    use contract::agent_config::Files;
    use contract::annotations::FileMode;

    use super::*;

    fn record(earlier: Option<AgentStatus>) -> (StatusRecord, Vec<BundleRef>) {
        let bundles: Vec<BundleRef> = vec!["api-prod".parse().unwrap(), "b-prod".parse().unwrap()];
        let (address, ca, token_file) = Default::default();
        let source = Source::Switchyard { address, ca, token_file };
        let files = Files::new("/run/secrets".into(), FileMode::OWNER);
        let config = AgentConfig::new(source, bundles.clone(), files);
        (StatusRecord::new(&config, earlier), bundles)
    }

    fn restarted(earlier: AgentStatus) -> StatusRecord {
        record(Some(earlier)).0
    }

    fn at(bundle: &str, number: u64) -> BundleGeneration {
        let (bundle, generation) = (bundle.parse().unwrap(), Generation(number));
        BundleGeneration { bundle, generation, tag: None }
    }

    #[test]
    fn a_generation_is_held_since_it_came() {
        let (mut record, bundles) = record(None);
        assert!(record.status.bundles.iter().all(|it| it.generation.is_none()));
        record.holds(&bundles, &[at("api-prod", 1), at("b-prod", 1)]);
        record.status.bundles.iter_mut().for_each(|it| it.since = Some(7));
        record.holds(&bundles, &[at("api-prod", 1), at("b-prod", 2)]);
        let since: Vec<_> = record.status.bundles.iter().map(|it| it.since).collect();
        assert_eq!(since[0], Some(7));
        assert!(since[1] > Some(7));
        // An agent that starts again knows it too.
        let mut again = restarted(record.status);
        again.holds(&bundles, &[at("api-prod", 1), at("b-prod", 2)]);
        assert_eq!(again.status.bundles[0].since, Some(7));
        assert!(!again.status.source.connected);
    }

    #[test]
    fn what_is_wrong_is_said_until_it_is_right() {
        let (mut record, bundles) = record(None);
        record.not_written("plan files: secret A is in two bundles");
        assert!(record.problems()[0].problem.contains("secret A"));
        record.holds(&bundles, &[at("api-prod", 1)]);
        assert_eq!(record.problems(), []);
        record.stale("A".to_owned());
        assert!(record.problems()[0].what_to_do.contains("rollout restart"));
    }

    #[test]
    fn a_refused_generation_is_trouble_until_a_later_one_works() {
        let (mut record, bundles) = record(None);
        let refused =
            [("api-prod", 2), ("api-prod", 3), ("gone-prod", 9)].map(|(bundle, number)| {
                let (generation, reason) = (at(bundle, number), "x".to_owned());
                RefusedGeneration { generation, reason, at: None }
            });
        for (held, expected) in [(None, 2), (Some(1), 2), (Some(2), 1), (Some(4), 0)] {
            record.holds(
                &bundles,
                &held.map(|number| at("api-prod", number)).into_iter().collect::<Vec<_>>(),
            );
            assert_eq!(record.metrics(&refused).refused, expected, "{held:?}");
        }
    }

    #[test]
    fn only_the_last_checks_of_a_stage_are_kept() {
        let (mut record, _) = record(None);
        for number in 1..=3 {
            record.checked(&[at("api-prod", number)], CheckStage::After, &[]);
        }
        record.checked(&[at("api-prod", 3)], CheckStage::Restored, &[]);
        assert_eq!(record.status.checks.len(), 2);
        assert_eq!(record.status.checks[0].generations, [at("api-prod", 3)]);
    }
}
