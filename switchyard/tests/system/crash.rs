//! Kills switchyard during writes, repeatedly: acknowledged writes survive, no write is partial,
//! and the audit log is complete.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contract::api::{SecretValue, VersionList, VersionState};
use http::Method;

use crate::agent::TestAgent;
use crate::harness::Harness;

const ROUNDS: u64 = 8;
const WRITERS: u64 = 4;

/// The last acknowledged write of one writer.
#[derive(Clone, Copy, Default)]
struct LastAcknowledged {
    version: u64,
    number: u64,
}

fn names(writer: u64) -> (String, String) {
    (format!("LEFT_{writer}"), format!("RIGHT_{writer}"))
}

/// Writes two secrets together with the same number, until switchyard is killed.
async fn write(
    harness: &Harness,
    token: &str,
    writer: u64,
    mut last: LastAcknowledged,
    count: &AtomicU64,
) -> LastAcknowledged {
    let (left, right) = names(writer);
    let mut number = last.number;
    loop {
        number += 1;
        let text = number.to_string();
        let values = [(left.as_str(), text.as_bytes()), (right.as_str(), text.as_bytes())];
        let Some(written) = harness.try_set(token, "shop.prod.api", &values).await else {
            return last;
        };
        let version = written.versions[left.as_str()].0;
        assert!(version > last.version, "version {version} was given twice");
        last = LastAcknowledged { version, number };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn value(harness: &Harness, name: &str) -> SecretValue {
    serde_json::from_slice(
        &harness.done(Method::GET, &format!("/v1/secrets/shop.prod.api/{name}"), b"").await,
    )
    .unwrap()
}

/// Checks all data and returns where each writer continues.
async fn check(harness: &Harness, acknowledged: &[LastAcknowledged]) -> Vec<LastAcknowledged> {
    let mut held = BTreeMap::new();
    let mut next = Vec::new();
    for (writer, last) in (0..).zip(acknowledged) {
        let (left, right) = names(writer);
        let (one, two) = (value(harness, &left).await, value(harness, &right).await);
        assert_eq!(one.value, two.value, "half of a write is there");
        let number: u64 = String::from_utf8(one.value.expose().to_vec()).unwrap().parse().unwrap();
        assert!(
            number >= last.number && one.version.0 >= last.version,
            "an acknowledged write is gone"
        );
        next.push(LastAcknowledged { version: one.version.0, number });
        for (name, read) in [(left, one), (right, two)] {
            let path = format!("/v1/secrets/shop.prod.api/{name}/versions");
            let versions: VersionList =
                serde_json::from_slice(&harness.done(Method::GET, &path, b"").await).unwrap();
            let numbers: Vec<_> = versions.versions.iter().map(|one| one.version.0).collect();
            assert_eq!(numbers, (1..=read.version.0).rev().collect::<Vec<_>>());
            let active: Vec<_> = versions
                .versions
                .iter()
                .filter(|one| one.state == VersionState::Active)
                .map(|one| one.version)
                .collect();
            assert_eq!(active, [read.version]);
            held.insert(name, (read.version.0, read.value.expose().to_vec()));
        }
    }
    // A pod receives what the ledger has.
    let mut agent = TestAgent::connect(harness, "api-one", "api-prod", vec![]).await;
    let values: BTreeMap<_, _> =
        held.iter().map(|(name, (_, value))| (name.clone(), value.clone())).collect();
    assert_eq!(agent.values().await.1, values);
    // The audit log has every version of every secret exactly once, without gaps.
    let events = harness.json("/v1/audit?limit=100000").await;
    let mut writes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (at, event) in (1..).zip(events["events"].as_array().unwrap()) {
        assert_eq!(event["sequence"], at);
        if event["action"] == "write" {
            writes
                .entry(event["resource_id"].as_str().unwrap().to_owned())
                .or_default()
                .push(event["version"].as_u64().unwrap());
        }
    }
    for (name, (version, _)) in held {
        assert_eq!(writes[&name], (1..=version).collect::<Vec<_>>(), "{name}");
    }
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kills() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![LastAcknowledged::default(); WRITERS as usize];
    for round in 0..ROUNDS {
        let harness = Harness::start_child(directory.path().to_owned()).await;
        if round > 0 {
            acknowledged = check(&harness, &acknowledged).await;
        }
        let token = harness.token();
        // Each round ends after some acknowledged writes, at a different moment.
        let count = AtomicU64::new(0);
        let cut = async {
            if round == 0 {
                crate::harness::until("a write of every writer", async || {
                    harness.events("write").await.len() >= 2 * WRITERS as usize
                })
                .await;
            }
            crate::harness::until("acknowledged writes", async || {
                count.load(Ordering::Relaxed) >= 3 * WRITERS
            })
            .await;
            tokio::time::sleep(Duration::from_millis(1 + 7 * round)).await;
        };
        let writers = (0..WRITERS)
            .zip(&acknowledged)
            .map(|(writer, last)| write(&harness, &token, writer, *last, &count));
        let writers = futures_util::future::join_all(writers);
        tokio::pin!(writers);
        tokio::select! {
            _ = &mut writers => panic!("switchyard went away by itself: \
                {}", std::fs::read_to_string(directory.path().join("log")).unwrap()),
            () = cut => {}
        }
        harness.kill();
        acknowledged = writers.await;
    }
    let harness = Harness::start_child(directory.path().to_owned()).await;
    check(&harness, &acknowledged).await;
    harness.kill();
}
