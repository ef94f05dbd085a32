//! The audit log as seen through the API.

use http::Method;

use crate::agent::{TestAgent, held};
use crate::harness::{Harness, body, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_gapless_and_records_actor_action_time_and_address() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"hunter2"), ("B", b"hunter2")]).await;
    harness.done(Method::GET, "/v1/secrets/shop.prod.api/A", b"").await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    agent.hold().await;
    agent.applied("api-prod", 1).await;
    until("the report", async || harness.events("applied").await.len() == 1).await;
    TestAgent::refused(&harness, "web", "bundle=api-prod").await;
    // A refused write leaves no gap in the sequence.
    let (names, value): (Vec<String>, _) =
        ((0..9).map(|at| format!("BIG_{at}")).collect(), vec![0; 1 << 20]);
    let too_large =
        body(&names.iter().map(|name| (name.as_str(), value.as_slice())).collect::<Vec<_>>());
    assert_eq!(
        harness
            .refused(Method::POST, "/v1/secrets/shop.prod.api/", too_large.expose())
            .await
            .status,
        413
    );
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/B", b"").await;

    let all = harness.json("/v1/audit?limit=1000").await;
    let events = all["events"].as_array().unwrap();
    let sequences: Vec<_> =
        events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    // Switchyard's own events of its first start have no client.
    let started = events.iter().take_while(|event| event["actor_type"] == "system").count();
    let own = |event: &serde_json::Value| event["action"] == "grant" || event["action"] == "accept";
    assert!(events[..started].iter().all(own), "{events:?}");
    let events = &events[started..];
    let first = &events[0];
    assert_eq!(
        (&first["actor_type"], &first["actor_id"], &first["action"]),
        (&"token".into(), &"bootstrap".into(), &"write".into())
    );
    assert_eq!(
        (&first["scope"], &first["resource_id"], &first["version"]),
        (&"shop.prod.api".into(), &"A".into(), &1.into())
    );
    for event in events {
        assert_eq!(
            (&event["address"], event["trace_id"].as_str().unwrap().len()),
            (&"127.0.0.1".into(), 32),
            "{event}"
        );
        assert!(
            event["at"].as_str().unwrap().ends_with('Z') && event["user_agent"].is_string(),
            "{event}"
        );
    }
    assert!(!all.to_string().contains("hunter2"));

    let page = harness.json("/v1/audit?after=2&limit=3").await;
    let sequences: Vec<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences, [3, 4, 5]);
    // Triggers protect stored events, even from direct SQL.
    let database = harness.database();
    for sql in
        ["UPDATE audit_events SET actor_id = 'x'", "DELETE FROM audit_events WHERE sequence = 1"]
    {
        assert!(database.execute_batch(sql).is_err(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audit_event_nothing_leaves() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    agent.hold().await;
    let database = harness.database();
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'disk \
        full'); END";
    database.execute_batch(full).unwrap();

    let problem = harness.refused(Method::GET, "/v1/secrets/shop.prod.api/A", b"").await;
    assert!(problem.status == 503 && problem.detail.contains("audit log"), "{problem:?}");
    assert_eq!(TestAgent::refused(&harness, "api-two", "bundle=api-prod").await.status, 503);
    assert_eq!(TestAgent::refused(&harness, "web", "bundle=api-prod").await.status, 503);
    // A write and its event are one transaction: neither happened.
    assert_eq!(
        harness
            .refused(Method::POST, "/v1/secrets/shop.prod.api/", body(&[("A", b"two")]).expose())
            .await
            .status,
        503
    );
    assert_eq!(
        harness.refused(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await.status,
        503
    );

    database.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(harness.json("/v1/bundles/shop.prod.api").await["generation"], 1);
    harness.set("shop.prod.api", &[("A", b"three")]).await;
    let (generation, values) = agent.values().await;
    assert_eq!((generation, values["A"].as_slice()), (2, b"three".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_generation_leaves_before_its_audit_event() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    agent.hold().await;
    let database = harness.database();
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit_events WHEN NEW.action = 'read' BEGIN \
        SELECT RAISE(ABORT, 'disk full'); END";
    database.execute_batch(full).unwrap();
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    assert!(agent.next().await.is_none(), "a message was sent");
    database.execute_batch("DROP TRIGGER full").unwrap();
    let mut agent =
        TestAgent::connect(&harness, "api-one", "api-prod", vec![held("api-prod", 1)]).await;
    assert_eq!(agent.values().await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_row_is_named_and_not_served() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"two")]).await;
    let swap = "UPDATE lockbox_values SET sealed = (SELECT sealed FROM lockbox_values WHERE name = \
        'B') WHERE name = 'A'";
    harness.database().execute_batch(swap).unwrap();
    let problem = harness.refused(Method::GET, "/v1/secrets/shop.prod.api/A", b"").await;
    assert!(
        problem.status == 500 && problem.detail.contains("shop.prod.api/A version 1"),
        "{problem:?}"
    );
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    assert!(agent.next().await.is_none(), "a message was sent");
    // Intact values are still served, and a new version repairs the secret.
    harness.done(Method::GET, "/v1/secrets/shop.prod.api/B", b"").await;
    harness.set("shop.prod.api", &[("A", b"three")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    assert_eq!(agent.values().await.1["A"], b"three");
}
