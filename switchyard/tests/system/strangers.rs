//! What strangers and tenants can do to a switchyard that others use: open connections and say
//! nothing, send bodies that do not end, not read answers, open streams, and be refused without
//! end. Each is bounded, and another client is served meanwhile.

mod disk_space;
mod memory;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::agent::TestAgent;
use crate::harness::{Harness, until};

pub(crate) async fn token(harness: &Harness, name: &str, role: &str) -> String {
    let ask = json!({"name": name, "role": role}).to_string();
    let (status, _, answer) =
        harness.ask(Method::POST, "/v1/tokens", Some(&harness.token()), ask.as_bytes()).await;
    assert_eq!(status, 201);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_leave_room_for_others_on_both_ports() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(harness.connect_admin().await);
        idle.push(harness.connect_plain().await);
    }
    // Longer than the second that an idle connection has, shorter than its timeout.
    let limit = Duration::from_secs(4);
    let metrics = tokio::time::timeout(limit, harness.metrics()).await.unwrap();
    assert!(metrics.contains("process_open_fds"));
    harness.json("/v1/secrets/shop.prod.api/A").await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_connections_is_a_flag() {
    let harness = Harness::start_with(&["--max-connections", "16"]).await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut idle = Vec::new();
    for _ in 0..32 {
        idle.push(harness.connect_plain().await);
    }
    let limit = Duration::from_secs(8);
    let read = harness.json("/v1/secrets/shop.prod.api/A");
    tokio::time::timeout(limit, read).await.unwrap();
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_has_a_few_streams_and_the_oldest_ends() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
        agent.hold().await;
        streams.push(agent);
    }
    let mut other = TestAgent::connect(&harness, "api-two", "api-prod", vec![]).await;
    other.hold().await;
    for old in &mut streams[..2] {
        assert!(old.next().await.is_none());
    }
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    for agent in streams[2..].iter_mut().chain([&mut other]) {
        assert_eq!(agent.values().await.0, 2);
    }
    assert!(harness.metrics().await.contains("enclii_switchyard_agent_streams 5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_cannot_use_up_all_streams() {
    let harness = Harness::start_with(&["--max-streams-per-namespace", "3"]).await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    harness.set("shop.dev.api", &[("A", b"one")]).await;
    let mut streams = Vec::new();
    for token in ["api-one", "api-one", "api-two"] {
        streams.push(TestAgent::connect(&harness, token, "api-prod", vec![]).await);
    }
    let refused = TestAgent::refused(&harness, "many-1", "bundle=api-prod").await;
    assert_eq!((refused.status, refused.kind.as_str()), (429, "/problems/too-many-requests"));
    assert!(refused.detail.contains("namespace shop-prod"), "{refused:?}");
    // A login that was not admitted is no event.
    assert_eq!(harness.events("login").await.len(), 3);
    TestAgent::connect(&harness, "dev", "api-dev", vec![]).await.hold().await;
    streams.pop();
    until("a free stream", async || {
        harness.metrics().await.contains("enclii_switchyard_agent_streams 2")
    })
    .await;
    TestAgent::connect(&harness, "many-1", "api-prod", vec![]).await.hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_logs_in_without_end_is_slowed_down() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let refused = TestAgent::refused(&harness, "stranger", "bundle=api-prod").await;
        statuses.push(refused.status);
    }
    assert!(statuses.starts_with(&[403; 10]));
    assert!(statuses.ends_with(&[429; 10]), "{statuses:?}");
    // The others of the service log in.
    TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await.hold().await;
}

/// All refusals in the log: each event, and the number in each event that is a count.
async fn refusals(harness: &Harness, action: &str) -> (usize, u64) {
    let events = harness.events(action).await;
    let refused: Vec<_> = events.iter().filter(|it| it["outcome"] == "denied").collect();
    let number = |event: &&Value| {
        let details = event["details"].as_str().unwrap();
        match details.split_once(" more refusals within ") {
            Some((number, _)) => number.parse().unwrap(),
            None => 1,
        }
    };
    (refused.len(), refused.iter().map(number).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_is_a_few_events_and_none_is_lost() {
    let mut harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let readonly = token(&harness, "readonly", "readonly").await;
    for at in 0..300 {
        let path = format!("/v1/secrets/shop.prod.api/A{at}");
        for (token, status) in [(readonly.as_str(), 403), ("nonsense", 401)] {
            assert_eq!(harness.ask(Method::GET, &path, Some(token), b"").await.0, status);
        }
    }
    for action in ["denied", "login"] {
        let (events, _) = refusals(&harness, action).await;
        assert!((1..100).contains(&events), "{action}: {events}");
    }
    let metrics = harness.metrics().await;
    assert!(metrics.contains("enclii_switchyard_audit_refusals_total"), "{metrics}");
    // What was counted becomes events at the latest when it stops.
    harness = harness.restart().await;
    for action in ["denied", "login"] {
        let (events, total) = refusals(&harness, action).await;
        assert!(events < 100, "{action}: {events}");
        assert_eq!(total, 300, "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_fill_the_log_with_lines() {
    let directory = tempfile::tempdir().unwrap();
    let harness = Harness::start_child(directory.path().to_owned()).await;
    let long = "x".repeat(8_000);
    for at in 0..1_500 {
        let path = format!("/v1/nowhere/{at}/{long}");
        let (status, ..) = harness.ask(Method::GET, &path, None, b"").await;
        assert_eq!(status, 404);
    }
    harness.terminate().await;
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("request refused")).collect();
    assert!((10..1_200).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| line.len() < 1_000));
}
