//! A database that is put back. What a client has from before must not be taken for what has the
//! same number since.

use std::path::Path;

use contract::api::SecretValue;
use http::Method;

use crate::agent::TestAgent;
use crate::harness::{Harness, body, problem};

const A: &str = "/v1/secrets/shop.prod.api/A";

/// A switchyard with version 1, whose database is in the backup.
async fn backed_up() -> Harness {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    harness.restart_after(&[], |directory| copy(directory, "data/switchyard.db", "backup.db")).await
}

async fn restore(harness: Harness) -> Harness {
    harness.restart_after(&[], |directory| copy(directory, "backup.db", "data/switchyard.db")).await
}

fn copy(directory: &Path, from: &str, to: &str) {
    std::fs::copy(directory.join(from), directory.join(to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_the_generation_that_has_its_number_since() {
    let harness = backed_up().await;
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let holds = agent.hold().await.holds();
    drop(agent);
    let harness = restore(harness).await;
    assert_eq!(harness.set("shop.prod.api", &[("A", b"three")]).await.bundles[0].generation.0, 2);
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", holds).await;
    let (generation, values) = agent.values().await;
    assert_eq!((generation, values["A"].as_slice()), (2, b"three".as_slice()));
    let restores = harness.events("restore").await;
    assert_eq!(restores.len(), 1, "{restores:?}");
    assert_eq!(
        (&restores[0]["actor_id"], &restores[0]["resource_type"]),
        (&"ledger".into(), &"ledger".into())
    );
}

/// A new epoch is the statement that what comes back counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_follows_the_ledger_to_the_generation_of_the_backup() {
    let harness = backed_up().await;
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let held = agent.hold().await;
    assert_eq!(held.bundles[0].generation.0, 2);
    let holds = held.holds();
    drop(agent);
    let harness = restore(harness).await;
    assert_eq!(harness.events("restore").await.len(), 1);
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", holds).await;
    let (generation, values) = agent.values().await;
    assert_eq!((generation, values["A"].as_slice()), (1, b"one".as_slice()));
}

/// The generation of the backup is what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_keeps_the_generation_that_the_backup_has() {
    let harness = backed_up().await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let holds = agent.hold().await.holds();
    drop(agent);
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let harness = restore(harness).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", holds).await;
    harness.set("shop.prod.web", &[("A", b"x")]).await;
    harness.set("shop.prod.api", &[("A", b"three")]).await;
    assert_eq!(agent.values().await.1["A"], b"three");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_etag_of_a_version_is_not_that_of_another_with_its_number() {
    let harness = backed_up().await;
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let (_, headers, _) = harness.with(Method::GET, A, &[], b"").await;
    let etag = headers["etag"].to_str().unwrap().to_owned();
    let harness = restore(harness).await;
    harness.set("shop.prod.api", &[("A", b"three")]).await;
    let (status, _, answer) = harness.with(Method::GET, A, &[("if-none-match", &etag)], b"").await;
    assert_eq!(status, 200);
    let read: SecretValue = serde_json::from_slice(&answer).unwrap();
    assert_eq!((read.version.0, read.value.expose()), (2, b"three".as_slice()));
    // Who wants to replace "two" must not replace "three".
    let write = body(&[("A", b"four")]);
    let path = "/v1/secrets/shop.prod.api/";
    let (status, headers, answer) =
        harness.with(Method::POST, path, &[("if-match", &etag)], write.expose()).await;
    assert_eq!(problem(status, &headers, &answer).status, 412);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_the_same_begins_no_epoch() {
    let harness = backed_up().await;
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let harness = harness.restart().await.restart().await;
    assert!(harness.events("restore").await.is_empty());
}
