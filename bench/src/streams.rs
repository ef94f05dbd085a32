//! Many agents at one replica: the memory of their open streams, and how soon a write reaches all
//! of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::loopback::{Identity, NamespaceScope, write_identities};
use e2e::switchyard::Switchyard;
use serde_json::json;

use crate::budget::{Measurement, Metric};
use crate::memory::Memory;
use crate::pod::{NAMESPACE, SECRET, SECRETS, names, value};
use crate::processor_time::ProcessorTime;
use crate::progress::print_progress;
use crate::results::Results;
use crate::statistics::{median, milliseconds, percentile};

pub(crate) mod client;
mod received;
pub(crate) mod reconnect;

use client::Streams;

const OPEN_STREAMS: usize = 5000;
const PUSHED_STREAMS: usize = 1000;
const WRITES: usize = 10;
const IDLE_TIME: Duration = Duration::from_secs(20);
/// Until the reports of a write are written, which wait for the values of others.
const REPORT_TIME: Duration = Duration::from_millis(500);
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Measures one replica with many streams.
///
/// # Errors
/// If a stream does not open, or a write does not arrive.
pub fn measure(results: &mut Results) -> Result<Vec<Measurement>> {
    client::allow_many_files()?;
    let directory = tempfile::Builder::new().prefix("enclii-bench-").tempdir()?;
    write_identities(directory.path(), &namespaces(), &pods(OPEN_STREAMS))?;
    let mut switchyard =
        Switchyard::new(directory.path(), "switchyard", &[("ENCLII_RATE_LIMIT", "0")])?;
    switchyard.run()?;
    let twenty: Vec<_> = names(SECRETS)
        .into_iter()
        .enumerate()
        .map(|(number, name)| (name, value("first", number)))
        .collect();
    write(&switchyard, &twenty)?;
    let before = Memory::of(switchyard.process()?.id())?;

    print_progress(&format!("switchyard: {OPEN_STREAMS} open streams"));
    let streams = Streams::open(switchyard.port(), &switchyard.ca(), OPEN_STREAMS)?;
    streams.wait_until_all_hold(1, STEP_TIMEOUT)?;
    // Waits for two heartbeats, so that memory used for opening is returned.
    std::thread::sleep(IDLE_TIME);
    let memory = Memory::of(switchyard.process()?.id())?;
    ensure!(
        streams.open_streams() == OPEN_STREAMS,
        "{} of {OPEN_STREAMS} streams are open",
        streams.open_streams()
    );
    results.note(format!(
        "streams_rss_5000: {:.1} MiB before the first stream, {:.1} KiB for each",
        before.resident,
        (memory.resident - before.resident) * 1024.0 / OPEN_STREAMS as f64
    ));
    drop(streams);

    print_progress(&format!("switchyard: {WRITES} writes to {PUSHED_STREAMS} streams"));
    let streams = Streams::open(switchyard.port(), &switchyard.ca(), PUSHED_STREAMS)?;
    streams.wait_until_all_hold(1, STEP_TIMEOUT)?;
    let mut times = Vec::with_capacity(WRITES * PUSHED_STREAMS);
    std::thread::sleep(REPORT_TIME);
    let server = switchyard.process()?.id();
    let before = ProcessorTime::of(server)?;
    for number in 0..WRITES {
        let from = Instant::now();
        let generation = write(&switchyard, &[(SECRET.to_owned(), value("write", number))])?;
        let arrived = streams.wait_until_all_hold(generation, STEP_TIMEOUT)?;
        times
            .extend(arrived.into_iter().map(|at| milliseconds(at.saturating_duration_since(from))));
        std::thread::sleep(REPORT_TIME);
    }
    let used = ProcessorTime::of(server)?.since(before);
    let per_arrival = |time: Duration| time.as_secs_f64() * 1e6 / times.len() as f64;
    results.note(format!(
        "push_1000_p99: {:.0} \u{b5}s of processor time for each arrival and its report in \
         switchyard's serving threads, {:.0} \u{b5}s in its writer",
        per_arrival(used.serving),
        per_arrival(used.writing)
    ));
    let slowest = times.iter().copied().fold(0.0, f64::max);
    results.note(format!(
        "push_1000_p99: the median is {:.0} ms, the last of {} arrivals came after {slowest:.0} ms",
        median(&times).context("no arrival")?,
        times.len()
    ));
    Ok(vec![
        Metric::StreamsRss5000.measurement(memory.resident),
        Metric::Push1000P99.measurement(percentile(&times, 99).context("no arrival")?),
    ])
}

/// The namespace of all pods here.
pub(crate) fn namespaces() -> [NamespaceScope<'static>; 1] {
    [NamespaceScope { namespace: NAMESPACE, project: "shop", environment: "prod" }]
}

/// Pods of one service.
pub(crate) fn pods(count: usize) -> Vec<Identity> {
    let pod = |number: usize| Identity {
        namespace: NAMESPACE.to_owned(),
        service_account: "api".to_owned(),
        pod: format!("api-{number}"),
        uid: number.to_string(),
        token: client::token(number),
    };
    (0..count).map(pod).collect()
}

/// Writes values as one generation and returns it.
pub(crate) fn write(switchyard: &Switchyard, values: &[(String, String)]) -> Result<u64> {
    let secrets: serde_json::Map<_, _> = values
        .iter()
        .map(|(name, value)| (name.clone(), json!({"value": STANDARD.encode(value)})))
        .collect();
    let (status, answer) =
        switchyard.post("/v1/secrets/shop.prod.api/", &json!({"secrets": secrets}))?;
    ensure!(status == 200, "write secrets: {status} {answer}");
    answer["bundles"][0]["generation"].as_u64().context("read generation")
}
