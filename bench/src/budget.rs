//! What is measured, in which unit, and how good it has to be.

use serde::{Deserialize, Serialize};

/// A measurement that has a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Resident memory of an agent that holds twenty secrets.
    AgentRss,
    /// The part of it that no other process can share.
    AgentPrivateDirty,
    /// The agent's program.
    AgentBinary,
    /// From the agent's start to its files.
    AgentStart,
    /// Its processor time in an idle hour.
    AgentIdleTime,
    /// Its resident memory with one secret.
    #[serde(rename = "agent_rss_1")]
    AgentRssAt1,
    /// Its resident memory with 200.
    #[serde(rename = "agent_rss_200")]
    AgentRssAt200,
    /// From its start to one file.
    #[serde(rename = "agent_start_1")]
    AgentStartAt1,
    /// From its start to 200 files.
    #[serde(rename = "agent_start_200")]
    AgentStartAt200,
    /// From a write to the store to the replaced file.
    WriteToFileP99,
    /// From a write to the store to the application that has read it.
    WriteToReloadP99,
    /// Reviews a second over 16 connections.
    #[serde(rename = "webhook_rps_16")]
    WebhookRpsAt16,
    /// The 99th-percentile latency of those requests.
    #[serde(rename = "webhook_p99_16")]
    WebhookP99At16,
    /// Resident memory of the webhook behind that load.
    WebhookRss,
    /// One review without a socket.
    ReviewInProcess,
    /// The most expensive pod that anybody can send, without a socket.
    ReviewWorst,
    /// Reads of a value a second over 16 connections, each in the audit log before it is answered.
    #[serde(rename = "store_reads_16")]
    StoreReadsAt16,
    /// The 99th-percentile latency of those requests.
    #[serde(rename = "store_read_p99_16")]
    StoreReadP99At16,
    /// Writes a second over 16 connections.
    #[serde(rename = "store_writes_16")]
    StoreWritesAt16,
    /// The 99th-percentile latency of those requests.
    #[serde(rename = "store_write_p99_16")]
    StoreWriteP99At16,
    /// Reads a second over one connection.
    #[serde(rename = "store_reads_1")]
    StoreReadsAt1,
    /// Writes a second over one connection.
    #[serde(rename = "store_writes_1")]
    StoreWritesAt1,
    /// Resident memory of a switchyard with 5,000 open streams.
    #[serde(rename = "streams_rss_5000")]
    StreamsRss5000,
    /// From a write until each of 1,000 streams has received it.
    #[serde(rename = "push_1000_p99")]
    Push1000P99,
    /// The attempts of 5,000 agents in the busiest second after their server ended, beside those of
    /// a second while it is away for long.
    ReconnectPeak,
    /// From the server's return until each of them has what was written since.
    ReconnectFresh,
    /// From a write at one replica until an agent of the other has it.
    ReplicaPushP99,
    /// What the injection adds to a pod's start with a native sidecar.
    PodStartAdded,
    /// The same with the agent as the first container.
    PodStartAddedFirst,
    /// What the system adds to the create of a pod that does not ask for secrets.
    CreateAdded,
}

/// The bound that a value has to meet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// The fixed properties of a [`Metric`].
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The name in the report.
    pub name: &'static str,
    /// The unit of its value.
    pub unit: &'static str,
    /// Its budget.
    pub budget: Budget,
    /// Where the budget comes from, if it was not simply chosen.
    pub rationale: Option<&'static str>,
}

/// The value of a peer product, measured in the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The peer's name and version.
    pub name: String,
    /// In the unit of the measurement.
    pub value: f64,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured.
    #[serde(rename = "name")]
    pub metric: Metric,
    /// The measured value.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// Its budget.
    #[serde(flatten)]
    pub budget: Budget,
    /// The peer's value, if there is a peer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<Baseline>,
}

const WEBHOOK_RATIONALE: &str = "5 times the reviews and a quarter of the p99 of vault-k8s 1.7.6, \
    recorded earlier on a machine of this kind (4,850 1/s, 16 ms)";
const POD_RATIONALE: &str = "45 % of what the Vault Agent Injector added as a native sidecar, and \
    a quarter as the first container; recorded earlier on a machine of this kind (1.0 s)";

const SINGLE_RATIONALE: &str = "twice what one connection wrote when each change had a flush of \
    its own and its statements hopped between threads";

impl Metric {
    /// Every metric, in the report's order.
    pub const ALL: [Self; 30] = [
        Self::AgentRss,
        Self::AgentPrivateDirty,
        Self::AgentBinary,
        Self::AgentStart,
        Self::AgentIdleTime,
        Self::AgentRssAt1,
        Self::AgentRssAt200,
        Self::AgentStartAt1,
        Self::AgentStartAt200,
        Self::WriteToFileP99,
        Self::WriteToReloadP99,
        Self::WebhookRpsAt16,
        Self::WebhookP99At16,
        Self::WebhookRss,
        Self::ReviewInProcess,
        Self::ReviewWorst,
        Self::StoreReadsAt16,
        Self::StoreReadP99At16,
        Self::StoreWritesAt16,
        Self::StoreWriteP99At16,
        Self::StoreReadsAt1,
        Self::StoreWritesAt1,
        Self::StreamsRss5000,
        Self::Push1000P99,
        Self::ReconnectPeak,
        Self::ReconnectFresh,
        Self::ReplicaPushP99,
        Self::PodStartAdded,
        Self::PodStartAddedFirst,
        Self::CreateAdded,
    ];

    /// Its fixed properties.
    #[must_use]
    pub fn definition(self) -> Definition {
        use Budget::{AtLeast, AtMost};
        let known = |name, unit, budget| Definition { name, unit, budget, rationale: None };
        let relative = |name, unit, budget, rationale| Definition {
            name,
            unit,
            budget,
            rationale: Some(rationale),
        };
        match self {
            Self::AgentRss => known("agent_rss", "MiB", AtMost(4.0)),
            Self::AgentPrivateDirty => known("agent_private_dirty", "MiB", AtMost(1.0)),
            Self::AgentBinary => known("agent_binary", "MB", AtMost(5.0)),
            Self::AgentStart => known("agent_start", "ms", AtMost(20.0)),
            Self::AgentIdleTime => known("agent_idle_time", "s/h", AtMost(1.0)),
            Self::AgentRssAt1 => known("agent_rss_1", "MiB", AtMost(4.0)),
            Self::AgentRssAt200 => known("agent_rss_200", "MiB", AtMost(5.0)),
            Self::AgentStartAt1 => known("agent_start_1", "ms", AtMost(20.0)),
            Self::AgentStartAt200 => known("agent_start_200", "ms", AtMost(50.0)),
            Self::WriteToFileP99 => known("write_to_file_p99", "ms", AtMost(50.0)),
            Self::WriteToReloadP99 => known("write_to_reload_p99", "ms", AtMost(50.0)),
            Self::WebhookRpsAt16 => {
                relative("webhook_rps_16", "1/s", AtLeast(5.0 * 4850.0), WEBHOOK_RATIONALE)
            }
            Self::WebhookP99At16 => {
                relative("webhook_p99_16", "ms", AtMost(16.0 / 4.0), WEBHOOK_RATIONALE)
            }
            Self::WebhookRss => known("webhook_rss", "MiB", AtMost(12.0)),
            Self::ReviewInProcess => known("review_in_process", "µs", AtMost(50.0)),
            Self::ReviewWorst => known("review_worst", "ms", AtMost(50.0)),
            Self::StoreReadsAt16 => known("store_reads_16", "1/s", AtLeast(1000.0)),
            Self::StoreReadP99At16 => known("store_read_p99_16", "ms", AtMost(50.0)),
            Self::StoreWritesAt16 => known("store_writes_16", "1/s", AtLeast(200.0)),
            Self::StoreWriteP99At16 => known("store_write_p99_16", "ms", AtMost(200.0)),
            Self::StoreReadsAt1 => known("store_reads_1", "1/s", AtLeast(500.0)),
            Self::StoreWritesAt1 => {
                relative("store_writes_1", "1/s", AtLeast(600.0), SINGLE_RATIONALE)
            }
            Self::StreamsRss5000 => known("streams_rss_5000", "MiB", AtMost(190.0)),
            Self::Push1000P99 => known("push_1000_p99", "ms", AtMost(60.0)),
            Self::ReconnectPeak => known("reconnect_peak", "×", AtMost(3.0)),
            Self::ReconnectFresh => known("reconnect_fresh", "s", AtMost(300.0)),
            Self::ReplicaPushP99 => known("replica_push_p99", "ms", AtMost(100.0)),
            Self::PodStartAdded => relative("pod_start_added", "ms", AtMost(450.0), POD_RATIONALE),
            Self::PodStartAddedFirst => {
                relative("pod_start_added_first", "ms", AtMost(250.0), POD_RATIONALE)
            }
            Self::CreateAdded => known("create_added", "ms", AtMost(0.5)),
        }
    }

    /// A measurement of this metric, whose value is in its unit.
    #[must_use]
    pub fn measurement(self, value: f64) -> Measurement {
        let Definition { unit, budget, .. } = self.definition();
        Measurement {
            metric: self,
            value: rounded(value),
            unit: unit.to_owned(),
            budget,
            peer: None,
        }
    }
}

impl Measurement {
    /// Adds a peer's value, if there is one.
    #[must_use]
    pub fn with_baseline(mut self, peer: Option<(&str, f64)>) -> Self {
        self.peer =
            peer.map(|(name, value)| Baseline { name: name.to_owned(), value: rounded(value) });
        self
    }

    /// Narrows the budget to `factor` times as good as the peer, if there is a peer.
    #[must_use]
    pub fn at_least_as_good(mut self, factor: f64) -> Self {
        if let Some(Baseline { value, .. }) = self.peer {
            self.budget = match self.budget {
                Budget::AtMost(limit) => Budget::AtMost(limit.min(rounded(value / factor))),
                Budget::AtLeast(limit) => Budget::AtLeast(limit.max(rounded(value * factor))),
            };
        }
        self
    }

    /// Whether the value meets its budget.
    #[must_use]
    pub fn meets_budget(&self) -> bool {
        match self.budget {
            Budget::AtMost(limit) => self.value <= limit,
            Budget::AtLeast(limit) => self.value >= limit,
        }
    }

    /// How many times better than the peer it is.
    #[must_use]
    pub fn improvement(&self) -> Option<f64> {
        let peer = self.peer.as_ref()?.value;
        let (more, less) = match self.budget {
            Budget::AtMost(_) => (peer, self.value),
            Budget::AtLeast(_) => (self.value, peer),
        };
        (less > 0.0).then(|| more / less)
    }
}

/// Rounds to three decimals: the measurements are no more precise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_fields_of_the_report() {
        let entry = Metric::AgentRss
            .measurement(3.000_04)
            .with_baseline(Some(("Vault Agent 1.21.1", 144.0)));
        assert_eq!(
            serde_json::to_string(&entry).unwrap(),
            concat!(
                r#"{"name":"agent_rss","value":3.0,"unit":"MiB","at_most":4.0,"#,
                r#""peer":{"name":"Vault Agent 1.21.1","value":144.0}}"#
            )
        );
        let entry = Metric::WebhookRpsAt16.measurement(1.0);
        let json = serde_json::to_string(&entry).unwrap();
        assert_eq!(
            json,
            r#"{"name":"webhook_rps_16","value":1.0,"unit":"1/s","at_least":24250.0}"#
        );
        assert_eq!(serde_json::from_str::<Measurement>(&json).unwrap(), entry);
    }

    #[test]
    fn a_budget_follows_the_peer_of_the_same_run() {
        let budget = |metric: Metric, peer| {
            metric.measurement(1.0).with_baseline(peer).at_least_as_good(2.0).budget
        };
        let reads = Metric::StoreReadsAt16;
        assert_eq!(budget(reads, Some(("Vault", 2000.0))), Budget::AtLeast(4000.0));
        assert_eq!(budget(reads, Some(("Vault", 10.0))), Budget::AtLeast(1000.0));
        assert_eq!(budget(reads, None), Budget::AtLeast(1000.0));
        let latency = Metric::StoreReadP99At16;
        assert_eq!(budget(latency, Some(("Vault", 20.0))), Budget::AtMost(10.0));
    }

    #[test]
    fn the_names_are_those_of_the_report() {
        for name in Metric::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.definition().name);
        }
    }

    #[test]
    fn more_is_better_if_the_budget_is_a_minimum() {
        let peer = |entry: Measurement| entry.with_baseline(Some(("peer", 100.0)));
        let least = peer(Metric::WebhookRpsAt16.measurement(50_000.0));
        assert_eq!((least.meets_budget(), least.improvement()), (true, Some(500.0)));
        let most = peer(Metric::AgentStart.measurement(50.0));
        assert_eq!((most.meets_budget(), most.improvement()), (false, Some(2.0)));
        assert_eq!(peer(Metric::AgentStart.measurement(0.0)).improvement(), None);
        assert!(Metric::AgentStart.measurement(20.0).meets_budget());
    }
}
