//! What the agents of this replica's streams say of their pods, and its way into the ledger.
//!
//! The state is kept here and written in batches from time to time, so that a thousand agents that
//! come back at once cost a few transactions. A replica says every now and then that it lives: the
//! streams of one that does not are gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::api::{PodCheck, PodRequests};
use contract::requests::RequestWindow;
use contract::stream::{BundleGeneration, CheckStage};
use jiff::Timestamp;
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::audit::Pod;
use crate::pod_requests::CountedRequests;
use crate::repository::{AgentState, CheckedStages, Repository, RepositoryError};

/// How often what has changed is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(2);

/// How often the replica says that it lives.
const BEAT_INTERVAL: Duration = Duration::from_secs(15);

/// How many pods are written in one transaction: a value may wait for the next one.
const BATCH_SIZE: usize = 128;

/// How many pods are remembered at most: those of all streams, and those of as many streams that
/// ended and could not be written yet.
const MAX_AGENTS: usize = 20_000;

/// Of how many pods requests are kept at most, some 20 KiB each. Others are asked to count too, and
/// what they say is dropped.
const MAX_COUNTING: usize = 1000;

/// The agents of this replica's streams. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agents(Arc<Mutex<AgentTable>>);

#[derive(Debug, Default)]
struct AgentTable {
    /// By the UIDs of their pods.
    known: HashMap<String, KnownAgent>,
    /// How many of them have requests.
    counting: usize,
}

#[derive(Debug)]
struct KnownAgent {
    state: AgentState,
    /// How many streams its pod has open.
    streams: usize,
    is_changed: bool,
    /// What it counts of its application's requests, while its stream is open.
    requests: Option<CountedRequests>,
}

/// The stream of an agent, until it is dropped.
#[derive(Debug)]
pub(crate) struct AgentConnection {
    agents: Agents,
    uid: String,
}

impl Agents {
    /// The agent of a pod has opened a stream.
    pub(crate) fn connect(
        &self,
        pod: &Pod,
        agent: String,
        refused: Vec<BundleGeneration>,
    ) -> AgentConnection {
        let mut table = self.lock();
        let agents = &mut table.known;
        if agents.len() >= MAX_AGENTS {
            agents.retain(|_, agent| agent.streams > 0);
        }
        let (streams, checks, requests) = match agents.remove(&pod.uid) {
            Some(known) => (known.streams, known.state.checks, known.requests),
            None => (0, CheckedStages::default(), None),
        };
        let (pod, connected_at, disconnected_at) = (pod.clone(), Timestamp::now(), None);
        let uid = pod.uid.clone();
        let state = AgentState { pod, agent, connected_at, disconnected_at, refused, checks };
        let streams = streams + 1;
        agents.insert(uid.clone(), KnownAgent { state, streams, is_changed: true, requests });
        drop(table);
        AgentConnection { agents: self.clone(), uid }
    }

    /// What the agent of a pod says, if it has a stream here, or had one a moment ago.
    pub(crate) fn state(&self, uid: &str) -> Option<AgentState> {
        self.lock().known.get(uid).map(|it| it.state.clone())
    }

    /// What the agent of a pod counts of its application's requests.
    pub(crate) fn requests(&self, uid: &str) -> Option<PodRequests> {
        self.lock().known.get(uid)?.requests.as_ref().map(CountedRequests::status)
    }

    /// Writes what changes to the ledger, until the drain.
    pub(crate) async fn run(self, repository: Repository, stopping: CancellationToken) {
        let replica = Uuid::new_v4().simple().to_string();
        let writing = self.write(&repository, &replica);
        let _ = stopping.run_until_cancelled(writing).await;
        // Its streams end now.
        let last = async {
            self.write_changed(&repository, &replica).await?;
            repository.replica_ended(&replica).await
        };
        if let Err(error) = last.await {
            tracing::info!(error = %ErrorChain(&error), "the replica's streams are not signed off, \
                they will expire");
        }
    }

    async fn write(&self, repository: &Repository, replica: &str) {
        let (mut beat_at, mut delays) = (Instant::now(), Backoff::NETWORK.delays());
        loop {
            let written = async {
                if Instant::now() >= beat_at {
                    repository.replica_seen(replica).await?;
                    beat_at = Instant::now() + BEAT_INTERVAL;
                }
                self.write_changed(repository, replica).await
            };
            let delay = match written.await {
                Ok(()) => {
                    delays.reset();
                    WRITE_INTERVAL
                }
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "write states of agents, will \
                        retry");
                    delays.next_delay()
                }
            };
            sleep(delay).await;
        }
    }

    async fn write_changed(
        &self,
        repository: &Repository,
        replica: &str,
    ) -> Result<(), RepositoryError> {
        loop {
            let changed = self.take_changed();
            if changed.is_empty() {
                return Ok(());
            }
            let uids: Vec<String> = changed.iter().map(|it| it.pod.uid.clone()).collect();
            let written = repository.put_agents(replica, changed).await;
            self.wrote(&uids, written.is_ok());
            written?;
        }
    }

    fn take_changed(&self) -> Vec<AgentState> {
        let mut table = self.lock();
        let changed = table.known.values_mut().filter(|it| it.is_changed).take(BATCH_SIZE);
        changed
            .map(|it| {
                it.is_changed = false;
                it.state.clone()
            })
            .collect()
    }

    /// Forgets those that are gone and written, and writes again what could not be.
    fn wrote(&self, uids: &[String], is_written: bool) {
        let agents = &mut self.lock().known;
        for uid in uids {
            let Some(agent) = agents.get_mut(uid) else { continue };
            agent.is_changed |= !is_written;
            if agent.streams == 0 && !agent.is_changed {
                agents.remove(uid);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, AgentTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AgentConnection {
    /// The agent refuses these generations.
    pub(crate) fn refuses(&self, refused: Vec<BundleGeneration>) {
        self.change(|it| it.state.refused = refused);
    }

    /// The checks of a stage have ended.
    pub(crate) fn checked(&self, stage: CheckStage, checks: Vec<PodCheck>) {
        self.change(|it| it.state.checks.put(stage, checks));
    }

    /// The agent has counted requests. Returns whether they are kept.
    pub(crate) fn counted(
        &self,
        metric: &str,
        bounds: Vec<u64>,
        windows: Vec<RequestWindow>,
    ) -> bool {
        let AgentTable { known, counting } = &mut *self.agents.lock();
        let Some(agent) = known.get_mut(&self.uid) else { return false };
        let is_first = agent.requests.is_none();
        if is_first && *counting >= MAX_COUNTING {
            return false;
        }
        let message = (metric, bounds, windows);
        let is_kept = CountedRequests::add(&mut agent.requests, message, Timestamp::now());
        *counting += usize::from(is_first && is_kept);
        is_kept
    }

    fn change(&self, change: impl FnOnce(&mut KnownAgent)) {
        if let Some(agent) = self.agents.lock().known.get_mut(&self.uid) {
            change(agent);
            agent.is_changed = true;
        }
    }
}

impl Drop for AgentConnection {
    fn drop(&mut self) {
        let AgentTable { known, counting } = &mut *self.agents.lock();
        let Some(agent) = known.get_mut(&self.uid) else { return };
        agent.streams = agent.streams.saturating_sub(1);
        agent.is_changed = true;
        if agent.streams == 0 {
            agent.state.disconnected_at = Some(Timestamp::now());
            *counting -= usize::from(agent.requests.take().is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str) -> Pod {
        Pod {
            namespace: "shop-prod".into(),
            service_account: "api".into(),
            name: format!("api-{uid}"),
            uid: uid.into(),
        }
    }

    #[test]
    fn a_pod_is_known_until_its_end_is_written() {
        let agents = Agents::default();
        let one = agents.connect(&pod("1"), "a".into(), vec![]);
        let two = agents.connect(&pod("1"), "b".into(), vec![]);
        drop(one);
        let state = agents.state("1").unwrap();
        assert_eq!((state.agent.as_str(), state.disconnected_at), ("b", None));
        assert_eq!(agents.take_changed(), [state]);
        agents.wrote(&["1".to_owned()], true);
        assert!(agents.take_changed().is_empty());
        drop(two);
        assert!(agents.take_changed()[0].disconnected_at.is_some());
        // The ledger could not be written.
        agents.wrote(&["1".to_owned()], false);
        assert_eq!(agents.take_changed().len(), 1);
        agents.wrote(&["1".to_owned()], true);
        assert_eq!(agents.state("1"), None);
    }

    #[test]
    fn requests_are_kept_while_the_stream_is_open_and_of_so_many_pods() {
        let agents = Agents::default();
        let window = || {
            let (requests, errors, latency) = (9, 1, Vec::new());
            vec![RequestWindow { at: 1, milliseconds: 1000, requests, errors, latency }]
        };
        let open: Vec<_> = (0..=MAX_COUNTING)
            .map(|uid| agents.connect(&pod(&uid.to_string()), "a".into(), vec![]))
            .collect();
        let kept = open.iter().filter(|it| it.counted("m", vec![], window())).count();
        assert_eq!(kept, MAX_COUNTING);
        assert_eq!(agents.requests("0").unwrap().requests, 9);
        assert!(open[0].counted("m", vec![], window()));
        assert_eq!(agents.requests("0").unwrap().requests, 18);
        assert_eq!(agents.requests(&MAX_COUNTING.to_string()), None);
        drop(open);
        assert_eq!(agents.requests("0"), None);
    }

    #[test]
    fn the_number_of_remembered_pods_is_bounded() {
        let agents = Agents::default();
        let open = agents.connect(&pod("open"), "a".into(), vec![]);
        for uid in 0..2 * MAX_AGENTS {
            drop(agents.connect(&pod(&uid.to_string()), "a".into(), vec![]));
        }
        assert!(agents.lock().known.len() <= MAX_AGENTS && agents.state("open").is_some());
        drop(open);
    }
}
