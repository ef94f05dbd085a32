//! The agent: how soon its files are there, what it costs to have one in every pod.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::process::program;
use e2e::sample::sha256;
use e2e::wait;

use crate::budget::{Measurement, Metric};
use crate::memory::Memory;
use crate::pod::{SECRET, Setup, value};
use crate::probe::{POLL_INTERVAL, file_size_mb};
use crate::progress::print_progress;
use crate::statistics::{median, milliseconds};
use crate::vault::VaultAgentFigures;

const START_COUNT: usize = 40;
const IDLE_TIME: Duration = Duration::from_secs(3);
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// Measures the agent; `peer` is Vault Agent.
///
/// # Errors
/// If a process does not do what it should.
pub fn measure(setup: &Setup, peer: Option<&VaultAgentFigures>) -> Result<Vec<Measurement>> {
    print_progress(&format!("agent: {START_COUNT} starts, twenty secrets"));
    let start = median_start(setup)?;
    print_progress("agent: memory while idle, after a rotation");
    let memory = memory(setup)?;
    let binary = file_size_mb(&program("enclii-agent")?)?;
    let entry = |name: Metric, value, of: fn(&VaultAgentFigures) -> f64| {
        name.measurement(value).with_baseline(peer.map(|it| (it.name.as_str(), of(it))))
    };
    Ok(vec![
        entry(Metric::AgentRss, memory.resident, |it| it.memory.resident),
        entry(Metric::AgentPrivateDirty, memory.private_dirty, |it| it.memory.private_dirty),
        entry(Metric::AgentBinary, binary, |it| it.binary),
        entry(Metric::AgentStart, start, |it| it.start),
    ])
}

/// The median time from the start to the first generation.
fn median_start(setup: &Setup) -> Result<f64> {
    let mut times = Vec::with_capacity(START_COUNT);
    for _ in 0..START_COUNT {
        let volumes = setup.volumes()?;
        let from = Instant::now();
        let mut agent = volumes.start_agent()?;
        wait::until_every(POLL_INTERVAL, "the agent's files", STEP_TIMEOUT, || {
            Ok(volumes.complete().then_some(()))
        })
        .map_err(|error| anyhow::anyhow!("{error}; the agent says:\n{}", agent.tail()))?;
        times.push(milliseconds(from.elapsed()));
        agent.check()?;
    }
    median(&times).context("no start")
}

fn memory(setup: &Setup) -> Result<Memory> {
    let mut running = setup.volumes()?.run()?;
    sleep(IDLE_TIME);
    let rotated = value("idle", 0);
    setup.store.write([(SECRET, rotated.as_str())])?;
    wait::until("the application to reload", STEP_TIMEOUT, || {
        Ok((running.state()?.digests.get(SECRET) == Some(&sha256(rotated.as_bytes())))
            .then_some(()))
    })?;
    sleep(IDLE_TIME);
    running.agent.check()?;
    Memory::of(running.agent.id())
}
