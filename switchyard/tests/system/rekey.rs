//! Rekeying, with kills in the middle.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use contract::api::{Rekey, SecretValue};
use http::Method;
use rusqlite::Connection;

use crate::harness::{Harness, TEST_TIMEOUT, open_database, until};

const PATH: &str = "/v1/admin/rekey";

/// Enough values for ten batches.
const SERVICES: usize = 20;
const EACH: usize = 50;

/// The values, and the ledger's key.
const ALL: usize = SERVICES * EACH + 1;

/// How many kills must hit a running job.
const KILLS_MID_JOB: usize = 12;

async fn status(harness: &Harness) -> Rekey {
    serde_json::from_slice(&harness.done(Method::GET, PATH, b"").await).unwrap()
}

async fn fill(harness: &Harness) {
    let names: Vec<String> = (0..EACH).map(|at| format!("NAME_{at}")).collect();
    for service in 0..SERVICES {
        let values: Vec<String> = names.iter().map(|name| format!("{name} of {service}")).collect();
        let pairs: Vec<(&str, &[u8])> = names
            .iter()
            .zip(&values)
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        harness.set(&format!("shop.prod.s{service}"), &pairs).await;
    }
}

async fn every_value_is_there(harness: &Harness) {
    for service in 0..SERVICES {
        for at in 0..EACH {
            let path = format!("/v1/secrets/shop.prod.s{service}/NAME_{at}");
            let read: SecretValue =
                serde_json::from_slice(&harness.done(Method::GET, &path, b"").await).unwrap();
            assert_eq!(read.value.expose(), format!("NAME_{at} of {service}").as_bytes());
        }
    }
}

/// The flags for key number `key`, with its predecessor.
fn flags(directory: &Path, key: usize) -> Vec<String> {
    let at = |key: usize| format!("file:{}", directory.join(format!("key-{key}")).display());
    let mut flags = vec!["--key".to_owned(), at(key)];
    if key > 0 {
        flags.extend(["--key-previous".to_owned(), at(key - 1)]);
    }
    flags
}

type RowsByKey = BTreeMap<String, i64>;

fn rows_by_key(database: &Connection) -> RowsByKey {
    let sql =
        "SELECT key_id, COUNT(*) FROM lockbox_values WHERE wrapped_key IS NOT NULL GROUP BY key_id";
    let mut statement = database.prepare_cached(sql).unwrap();
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Runs `kill` as soon as a row has been rewrapped since `before`, and returns the rows per key
/// after it.
async fn kill_at_progress(directory: &Path, before: &RowsByKey, kill: impl FnOnce()) -> RowsByKey {
    let database = open_database(directory);
    let progress = async {
        while rows_by_key(&database) == *before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, progress).await.unwrap();
    kill();
    let after = rows_by_key(&database);
    drop(database);
    after
}

/// Each job is requested once; after a kill, the next process resumes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rekey_job_survives_kills() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let harness = Harness::start_child_with(directory.to_owned(), &flags(directory, 0)).await;
    fill(&harness).await;
    harness.kill();
    let (mut key, mut kills) = (0, 0);
    while kills < KILLS_MID_JOB {
        key += 1;
        assert!(key < 100, "only {kills} kills hit a running job");
        let flags = flags(directory, key);
        let harness = Harness::start_child_with(directory.to_owned(), &flags).await;
        let before = status(&harness).await;
        assert_eq!((before.running, before.remaining), (false, ALL as u64));
        let database = open_database(directory);
        let mut rows = rows_by_key(&database);
        drop(database);
        let ordered: Rekey =
            serde_json::from_slice(&harness.done(Method::POST, PATH, b"").await).unwrap();
        assert_eq!(ordered.total, before.total);
        rows = kill_at_progress(directory, &rows, || harness.kill()).await;
        kills += usize::from(rows.len() > 1);
        while rows.len() > 1 {
            let child = Harness::spawn_child(directory, &flags);
            rows = kill_at_progress(directory, &rows, || drop(child)).await;
            kills += usize::from(rows.len() > 1);
        }
        let left: Vec<i64> = rows.into_values().collect();
        assert_eq!(left, [ALL as i64], "rows were lost");
        // The next process reports the job as finished.
        let harness = Harness::start_child_with(directory.to_owned(), &flags).await;
        until("the order to be done", async || !status(&harness).await.running).await;
        let after = status(&harness).await;
        assert_eq!((after.remaining, after.error), (0, None));
        harness.kill();
        std::fs::remove_file(directory.join(format!("key-{}", key - 1))).unwrap();
    }
    let last = flags(directory, key);
    let harness = Harness::start_child_with(directory.to_owned(), &last[..2]).await;
    every_value_is_there(&harness).await;
    let events = harness.events("rekey").await;
    assert!(
        events.iter().filter(|event| event["actor_type"] == "token").count() == key,
        "{events:?}"
    );
    assert!(
        events.iter().filter(|event| event["actor_type"] == "system").count() >= key,
        "{events:?}"
    );
    harness.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_rekey_is_done_and_audited() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let harness = Harness::start_child_with(directory.to_owned(), &flags(directory, 0)).await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"two")]).await;
    assert_eq!(harness.ask(Method::POST, PATH, None, b"").await.0, 401);
    assert_eq!(harness.ask(Method::GET, PATH, None, b"").await.0, 401);
    harness.kill();

    let harness = Harness::start_child_with(directory.to_owned(), &flags(directory, 1)).await;
    harness.set("shop.prod.api", &[("C", b"three")]).await;
    let before = status(&harness).await;
    assert_eq!((before.running, before.total, before.remaining, before.done), (false, 4, 3, 0));
    harness.done(Method::POST, PATH, b"").await;
    until("the order to be done", async || !status(&harness).await.running).await;
    let after = status(&harness).await;
    assert_eq!((after.total, after.remaining, after.done, after.error), (4, 0, 3, None));
    let events = harness.events("rekey").await;
    let said: Vec<_> = events
        .iter()
        .map(|event| {
            (event["actor_id"].as_str().unwrap(), event["resource_id"] == after.current_key)
        })
        .collect();
    assert!(said.len() == 2 && said[0] == ("bootstrap", true) && said[1].1, "{events:?}");
    harness.kill();
    let log = std::fs::read_to_string(directory.join("log")).unwrap();
    assert!(!log.contains("three") && !log.contains("\"level\":\"ERROR\""), "{log}");
}

/// A damaged row is named, and all others are rewrapped.
#[tokio::test(flavor = "multi_thread")]
async fn undecryptable_values_are_named() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let harness = Harness::start_child_with(directory.to_owned(), &flags(directory, 0)).await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"two")]).await;
    harness.kill();
    let database = open_database(directory);
    let damage = "UPDATE lockbox_values SET wrapped_key = substr(wrapped_key, 2) WHERE name = 'B'";
    database.execute_batch(damage).unwrap();
    drop(database);
    let harness = Harness::start_child_with(directory.to_owned(), &flags(directory, 1)).await;
    harness.done(Method::POST, PATH, b"").await;
    until("the order to be done", async || !status(&harness).await.running).await;
    let after = status(&harness).await;
    assert_eq!((after.remaining, after.done), (1, 2));
    assert!(after.error.unwrap().contains("shop.prod.api/B version 1 ("));
    let problem = harness.refused(Method::GET, "/v1/secrets/shop.prod.api/B", b"").await;
    assert!(
        problem.status == 500 && problem.detail.contains("shop.prod.api/B version 1 ("),
        "{problem:?}"
    );
    harness.done(Method::GET, "/v1/secrets/shop.prod.api/A", b"").await;
    harness.kill();
}
