//! The agent: how soon its files are there, what it costs to have one in every pod, with one
//! secret, twenty and two hundred.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::process::program;
use e2e::sample::sha256;
use e2e::wait;

use crate::budget::{Measurement, Metric};
use crate::memory::Memory;
use crate::pod::{RunningPod, SECRET, Setup, value};
use crate::probe::{POLL_INTERVAL, file_size_mb};
use crate::processor_time::idle_time;
use crate::progress::print_progress;
use crate::statistics::{median, milliseconds};
use crate::vault::VaultAgentFigures;

const START_COUNT: usize = 40;
const IDLE_TIME: Duration = Duration::from_secs(3);
/// The other sizes of a bundle, and the metrics of the agent's memory and start with it.
const OTHER_SIZES: [(usize, Metric, Metric); 2] = [
    (1, Metric::AgentRssAt1, Metric::AgentStartAt1),
    (200, Metric::AgentRssAt200, Metric::AgentStartAt200),
];
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// Measures the agent; `peer` is Vault Agent.
///
/// # Errors
/// If a process does not do what it should.
pub fn measure(setup: &Setup, peer: Option<&VaultAgentFigures>) -> Result<Vec<Measurement>> {
    print_progress(&format!("agent: {START_COUNT} starts, twenty secrets"));
    let start = median_start(setup)?;
    print_progress("agent: a minute's processor time, and memory while idle, after a rotation");
    let mut running = setup.volumes()?.run()?;
    sleep(IDLE_TIME);
    let idle = idle_time(running.agent.id())?;
    running.agent.check()?;
    drop(running);
    let mut running = rotated(setup)?;
    let memory = Memory::of(running.agent.id())?;
    running.agent.check()?;
    let binary = file_size_mb(&program("enclii-agent")?)?;
    let entry = |name: Metric, value, of: fn(&VaultAgentFigures) -> f64| {
        name.measurement(value).with_baseline(peer.map(|it| (it.name.as_str(), of(it))))
    };
    Ok(vec![
        entry(Metric::AgentRss, memory.resident, |it| it.memory.resident),
        entry(Metric::AgentPrivateDirty, memory.private_dirty, |it| it.memory.private_dirty),
        entry(Metric::AgentBinary, binary, |it| it.binary),
        entry(Metric::AgentStart, start, |it| it.start),
        entry(Metric::AgentIdleTime, idle, |it| it.idle),
    ])
}

/// Measures it with other numbers of secrets, each with servers of its own.
///
/// # Errors
/// As [`measure`].
pub fn measure_sizes(peer: Option<&VaultAgentFigures>) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for (count, rss, start) in OTHER_SIZES {
        print_progress(&format!("agent: {START_COUNT} starts and memory, secrets: {count}"));
        let setup = Setup::with_secrets(count)?;
        let started = median_start(&setup)?;
        let mut running = rotated(&setup)?;
        let memory = Memory::of(running.agent.id())?;
        running.agent.check()?;
        let peer = peer.and_then(|it| Some((it.name.as_str(), it.sizes.get(&count)?)));
        measurements.extend([
            rss.measurement(memory.resident)
                .with_baseline(peer.map(|(name, it)| (name, it.memory.resident))),
            start.measurement(started).with_baseline(peer.map(|(name, it)| (name, it.start))),
        ]);
    }
    Ok(measurements)
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

/// An agent that has been idle, replaced a value and been idle again.
fn rotated(setup: &Setup) -> Result<RunningPod> {
    let running = setup.volumes()?.run()?;
    sleep(IDLE_TIME);
    let rotated = value("idle", 0);
    setup.store.write([(SECRET, rotated.as_str())])?;
    wait::until("the application to reload", STEP_TIMEOUT, || {
        Ok((running.state()?.digests.get(SECRET) == Some(&sha256(rotated.as_bytes())))
            .then_some(()))
    })?;
    sleep(IDLE_TIME);
    Ok(running)
}
