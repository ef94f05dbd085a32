//! Reads and writes of switchyard, and of a Vault with its file audit device on: sixteen busy
//! keep-alive connections, and one, that share this machine with the server. Beside them, what the
//! disk allows.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use e2e::loopback::write_identities;
use e2e::switchyard::Switchyard;
use e2e::vault::{MOUNT, Vault};
use http::Method;
use reqwest::Method as Verb;
use serde_json::{Value, json};

use crate::budget::{Measurement, Metric};
use crate::disk_limit;
use crate::driver::tls_config;
use crate::driver::{Load, LoadResult, RequestTemplate, drive};
use crate::pod::value;
use crate::progress::print_progress;
use crate::results::Results;

const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(2);
const DURATION: Duration = Duration::from_secs(10);
const SCOPE: &str = "shop.prod.api";

/// What was measured of a store.
struct StoreFigures {
    reads: LoadResult,
    writes: LoadResult,
    single_reads: LoadResult,
    single_writes: LoadResult,
}

/// Measures switchyard, and Vault if its program is given.
///
/// # Errors
/// If a response is not the expected one.
pub fn measure(vault: Option<&Path>, results: &mut Results) -> Result<Vec<Measurement>> {
    let peer = vault.map(|program| peer(program).context("Vault")).transpose()?;
    let ours = switchyard()?;
    let median = |who: &str, it: &StoreFigures| {
        format!(
            "{who}: the medians are {:.2} ms of a read and {:.2} ms of a write",
            it.reads.p50, it.writes.p50
        )
    };
    results.note(median("store_*_16, switchyard", &ours));
    if let Some(peer) = &peer {
        results.note(median("store_*_16, Vault with its file audit device", peer));
    }
    print_progress("disk: SQLite commits of one row");
    let commits = disk_limit::commits_per_second(DURATION)?;
    results.note(format!(
        "store_writes_*: SQLite commits {commits:.0} times a second on this disk, one row and one \
         flush each; a change that shares its flush with others can be faster"
    ));
    let entry = |name: Metric, of: fn(&StoreFigures) -> f64| {
        name.measurement(of(&ours))
            .with_baseline(peer.as_ref().map(|it| ("Vault, file audit device", of(it))))
    };
    Ok(vec![
        entry(Metric::StoreReadsAt16, |it| it.reads.per_second).at_least_as_good(2.0),
        entry(Metric::StoreReadP99At16, |it| it.reads.p99).at_least_as_good(1.0),
        entry(Metric::StoreWritesAt16, |it| it.writes.per_second).at_least_as_good(2.0),
        entry(Metric::StoreWriteP99At16, |it| it.writes.p99).at_least_as_good(1.0),
        entry(Metric::StoreReadsAt1, |it| it.single_reads.per_second),
        entry(Metric::StoreWritesAt1, |it| it.single_writes.per_second),
    ])
}

/// Each connection has its own secret, so that none waits for another.
fn name(connection: usize) -> String {
    format!("SECRET_{connection:02}")
}

fn load(port: u16) -> Load {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Load {
        address,
        host: "localhost",
        requests: Vec::new(),
        connections: CONNECTIONS,
        tls: None,
        warm_up: WARM_UP,
        duration: DURATION,
    }
}

fn switchyard() -> Result<StoreFigures> {
    let directory = tempfile::Builder::new().prefix("enclii-bench-").tempdir()?;
    write_identities(directory.path(), &[], &[])?;
    // One client stands for many, so there is no rate limit.
    let mut switchyard =
        Switchyard::new(directory.path(), "switchyard", &[("ENCLII_RATE_LIMIT", "0")])?;
    switchyard.run()?;
    let body = |connection: usize| {
        let value = STANDARD.encode(value("store", connection));
        json!({"secrets": {name(connection): {"value": value}}})
    };
    for connection in 0..CONNECTIONS {
        let (status, answer) =
            switchyard.post(&format!("/v1/secrets/{SCOPE}/"), &body(connection))?;
        ensure!(status == 200, "write secret: {status} {answer}");
    }
    let bearer = format!("Bearer {}", switchyard.token()?);
    let asked = |method: Method, path: String, body: Bytes| RequestTemplate {
        method,
        path,
        header: ("authorization", bearer.clone()),
        body,
    };
    let reads = (0..CONNECTIONS)
        .map(|it| asked(Method::GET, format!("/v1/secrets/{SCOPE}/{}", name(it)), Bytes::new()))
        .collect();
    let writes = (0..CONNECTIONS)
        .map(|it| asked(Method::POST, format!("/v1/secrets/{SCOPE}/"), body(it).to_string().into()))
        .collect();
    let load = Load { tls: Some(tls_config(&switchyard.ca())?), ..load(switchyard.port()) };
    figures("switchyard", &load, (reads, "/value"), (writes, "/versions"))
}

fn peer(program: &Path) -> Result<StoreFigures> {
    let vault = Vault::start_program(program)?;
    vault.enable_audit()?;
    let path = |connection: usize| format!("{MOUNT}/data/{}", name(connection));
    let body = |connection: usize| json!({"data": {"value": value("store", connection)}});
    for connection in 0..CONNECTIONS {
        vault.api(Verb::POST, &path(connection), &body(connection))?;
    }
    let asked = |method: Method, path: String, body: Bytes| RequestTemplate {
        method,
        path,
        header: ("x-vault-token", vault.root_token().to_owned()),
        body,
    };
    let reads = (0..CONNECTIONS)
        .map(|it| asked(Method::GET, format!("/v1/{}", path(it)), Bytes::new()))
        .collect();
    let writes = (0..CONNECTIONS)
        .map(|it| asked(Method::POST, format!("/v1/{}", path(it)), body(it).to_string().into()))
        .collect();
    let load = load(vault.port());
    figures("Vault", &load, (reads, "/data/data/value"), (writes, "/data/version"))
}

/// Drives a server with both kinds of requests. Their answers have a field at a JSON pointer.
fn figures(
    who: &str,
    load: &Load,
    reads: (Vec<RequestTemplate>, &'static str),
    writes: (Vec<RequestTemplate>, &'static str),
) -> Result<StoreFigures> {
    let driven = |what: &str, requests: &(Vec<RequestTemplate>, &'static str), connections| {
        let duration = load.duration.as_secs();
        print_progress(&format!("{who}: {what}, connections: {connections}, for {duration} s"));
        let (requests, field) = requests.clone();
        drive(&Load { requests, connections, ..load.clone() }, move |answer| has(answer, field))
    };
    Ok(StoreFigures {
        reads: driven("reads", &reads, CONNECTIONS)?,
        writes: driven("writes", &writes, CONNECTIONS)?,
        single_reads: driven("reads", &reads, 1)?,
        single_writes: driven("writes", &writes, 1)?,
    })
}

fn has(body: &[u8], at: &str) -> Result<()> {
    let answer: Value = serde_json::from_slice(body).context("parse answer")?;
    ensure!(answer.pointer(at).is_some(), "the answer has no {at}");
    Ok(())
}
