//! Agent streams.

use contract::Redacted;
use contract::secret_bundle::SecretBundle;
use contract::stream::{AgentMessage, FailedStep, ReloadOutcome, ServerMessage};
use http::Method;
use serde_json::{Value, json};

use crate::agent::{TestAgent, held};
use crate::harness::{Harness, problem, until};

#[tokio::test(flavor = "multi_thread")]
async fn two_pods_get_their_bundle_and_every_push() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one\n"), ("B", b"\xff\0")]).await;
    let mut one = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let mut two = TestAgent::connect(&harness, "api-two", "api-prod", vec![]).await;
    for agent in [&mut one, &mut two] {
        let (generation, values) = agent.values().await;
        assert_eq!(generation, 1);
        assert_eq!(
            values,
            [("A".to_owned(), b"one\n".to_vec()), ("B".to_owned(), b"\xff\0".to_vec())].into()
        );
        assert_eq!(
            agent.trust.as_deref(),
            std::fs::read_to_string(harness.directory.join("trust/ca.crt")).ok().as_deref()
        );
        agent.applied("api-prod", 1).await;
    }
    // Each of three writes reaches both pods; a write to another bundle reaches none.
    for generation in 2..5 {
        harness.set("shop.prod.web", &[("W", b"w")]).await;
        harness.set("shop.prod.api", &[("A", generation.to_string().as_bytes())]).await;
        for agent in [&mut one, &mut two] {
            let (seen, values) = agent.values().await;
            assert_eq!(
                (seen, values["A"].as_slice()),
                (generation, generation.to_string().as_bytes())
            );
        }
    }
    // Writes in a wider scope and deletes reach them too.
    harness.set("shop", &[("P", b"p")]).await;
    assert!(one.values().await.1.contains_key("P"));
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await;
    assert!(!one.values().await.1.contains_key("A"));

    // One event per pod and generation, naming the pod.
    let reads = harness.events("read").await;
    for (pod, uid) in [("api-1", "1"), ("api-2", "2")] {
        let of_pod =
            reads.iter().filter(|event| event["pod"]["name"] == pod && event["pod"]["uid"] == uid);
        let generations: Vec<_> = of_pod
            .filter(|event| event["scope"] == "shop.prod.api")
            .map(|event| event["version"].as_u64().unwrap())
            .collect();
        assert!(generations.starts_with(&[1, 2, 3, 4]), "{generations:?}");
        assert!(generations.is_sorted_by(|a, b| a < b), "{generations:?}");
    }
    let metrics = harness.metrics().await;
    assert!(metrics.contains("enclii_switchyard_agent_streams 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_reports_are_stored() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    agent.hold().await;
    agent.applied("api-prod", 1).await;
    let detail = "process 7 does not catch SIGHUP\n\u{202e}".to_owned();
    agent
        .say(&AgentMessage::Failed {
            wanted: vec![held("api-prod", 2), held("web-prod", 2)],
            step: FailedStep::Reload,
            detail,
        })
        .await;
    agent
        .say(&AgentMessage::Applied {
            holds: vec![held("api-prod", 1)],
            reload: ReloadOutcome::Failed,
        })
        .await;
    until("the reports", async || harness.events("applied").await.len() == 2).await;
    let applied = harness.events("applied").await;
    assert_eq!(
        (&applied[0]["outcome"], &applied[0]["details"]),
        (&"allowed".into(), &"reload signalled".into())
    );
    assert_eq!(applied[1]["outcome"], "failed");
    let failed = harness.events("failed").await;
    assert_eq!(failed.len(), 1, "it spoke for a bundle that it does not follow: {failed:?}");
    assert_eq!(failed[0]["details"], "reload: process 7 does not catch SIGHUP\\u{a}\\u{202e}");
    let sql = "SELECT generation, reload FROM agent_holdings WHERE pod_uid = '1'";
    let row: (i64, String) =
        harness.database().query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(row, (1, "failed".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_not_sent_what_it_already_holds() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut first = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let holds = first.hold().await.holds();
    drop(first);
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", holds.clone()).await;
    // Another number, an unknown tag, and the number that an agent without tags sends.
    let mut unknown = holds;
    unknown[0].tag = Some("0123456789abcdef".parse().unwrap());
    for holds in [vec![held("api-prod", 7)], unknown, vec![held("api-prod", 1)]] {
        let mut other = TestAgent::connect(&harness, "api-two", "api-prod", holds).await;
        assert_eq!(other.values().await.0, 1, "a generation that is not its own was left alone");
    }
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    assert_eq!(agent.values().await.0, 2);
    assert_eq!(
        harness.events("read").await.iter().filter(|event| event["pod"]["uid"] == "1").count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pod_gets_the_reason_and_an_audit_event() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    harness.set("shop.dev.api", &[("A", b"x")]).await;
    for (token, bundle, account, reason) in [
        ("web", "api-prod", "shop-prod/web", "no grant"),
        ("dev", "api-prod", "shop-dev/api", "not of that environment"),
        ("stranger", "api-prod", "stranger/api", "belongs to no project"),
        ("api-one", "api-dev", "shop-prod/api", "not of that environment"),
        ("api-one", "web-prod", "shop-prod/api", "no grant"),
    ] {
        let problem = TestAgent::refused(&harness, token, &format!("bundle={bundle}")).await;
        assert_eq!(
            (problem.status, problem.kind.as_str()),
            (403, "/problems/denied"),
            "{problem:?}"
        );
        let start = format!("service account {account} may not read bundle {bundle}: ");
        assert!(
            problem.detail.starts_with(&start) && problem.detail.contains(reason),
            "{problem:?}"
        );
        let denied = harness.events("denied").await;
        let event = denied.last().unwrap();
        assert_eq!(
            (&event["details"], &event["trace_id"]),
            (&problem.detail.into(), &problem.instance.into())
        );
        assert_eq!(
            (&event["outcome"], &event["resource_id"], &event["address"]),
            (&"denied".into(), &bundle.into(), &"127.0.0.1".into())
        );
        assert_eq!(
            format!(
                "{}/{}",
                event["pod"]["namespace"].as_str().unwrap(),
                event["pod"]["service_account"].as_str().unwrap()
            ),
            account
        );
    }
    // Access to one bundle does not extend to another in the same request.
    assert_eq!(
        TestAgent::refused(&harness, "api-one", "bundle=api-prod&bundle=web-prod").await.status,
        403
    );
    assert!(harness.events("read").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_stream_requests_are_refused() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    for (token, query, status) in [
        ("nobody", "bundle=api-prod", 401),
        ("api-one", "", 400),
        ("api-one", "bundle=API-prod", 400),
        ("api-one", "bundle=api-prod&bundle=api-prod", 400),
        ("web", "bundle=web-prod", 404),
    ] {
        let problem = TestAgent::refused(&harness, token, query).await;
        assert_eq!(problem.status, status, "{query}: {problem:?}");
    }
    // An administrator's token does not identify a pod.
    assert_eq!(TestAgent::refused(&harness, &harness.token(), "bundle=api-prod").await.status, 401);
    let (status, headers, body) =
        harness.ask(Method::GET, "/v1/agent/stream?bundle=api-prod", Some("api-one"), b"").await;
    assert_eq!(problem(status, &headers, &body).status, 426);
    assert_eq!(headers["upgrade"], contract::stream::PROTOCOL);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_data_ends_only_its_own_stream() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut good = TestAgent::connect(&harness, "api-two", "api-prod", vec![]).await;
    good.hold().await;
    for nonsense in [&[0xff; 16][..], b"\0\0\0\x02\0\0\0\0{}", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut bad = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
        bad.hold().await;
        bad.send(&Redacted::from(nonsense)).await;
        assert!(bad.next().await.is_none());
    }
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    assert_eq!(good.values().await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_floods_the_audit_log_is_disconnected() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    agent.hold().await;
    let report = AgentMessage::Applied {
        holds: vec![held("api-prod", 1)],
        reload: ReloadOutcome::NotNeeded,
    }
    .encode()
    .unwrap();
    let flood = Redacted::new(report.expose().repeat(400));
    agent.send(&flood).await;
    assert!(agent.next().await.is_none());
    assert!(harness.events("applied").await.len() < 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_names_are_published_in_bound_namespaces() {
    let harness = Harness::start().await;
    let read = |path: &str| -> Option<SecretBundle> {
        serde_json::from_slice(&std::fs::read(harness.directory.join("bundles").join(path)).ok()?)
            .ok()
    };
    harness.set("shop.prod.api", &[("A", b"hunter2"), ("B", b"x")]).await;
    harness.set("shop.dev.api", &[("D", b"x")]).await;
    let keys = |path: &str| {
        read(path)
            .and_then(|bundle| bundle.status)
            .map(|status| status.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    until("published bundles", async || {
        keys("shop-prod/api-prod.json").as_deref() == Some("A,B")
            && keys("shop-dev/api-dev.json").is_some()
    })
    .await;
    assert!(read("shop-prod/api-dev.json").is_none() && read("shop-dev/api-prod.json").is_none());
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await;
    until("the updated bundle", async || keys("shop-prod/api-prod.json").as_deref() == Some("B"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_namespace_does_not_block_publishing_to_others() {
    let harness = Harness::start().await;
    let bundles = harness.directory.join("bundles");
    std::fs::create_dir_all(&bundles).unwrap();
    // This namespace sorts first, and a file blocks its directory.
    crate::harness::write(&bundles.join("shop-dev"), "");
    harness.set("shop.dev.api", &[("D", b"x")]).await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    until("the other bundle", async || bundles.join("shop-prod/api-prod.json").exists()).await;
    std::fs::remove_file(bundles.join("shop-dev")).unwrap();
    until("the bundle that was blocked", async || bundles.join("shop-dev/api-dev.json").exists())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_concurrent_streams() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let tokens: Vec<String> = (0..100).map(|at| format!("many-{at}")).collect();
    let mut agents = futures_util::future::join_all(
        tokens.iter().map(|token| TestAgent::connect(&harness, token, "api-prod", vec![])),
    )
    .await;
    futures_util::future::join_all(agents.iter_mut().map(TestAgent::hold)).await;
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    for (generation, values) in
        futures_util::future::join_all(agents.iter_mut().map(TestAgent::values)).await
    {
        assert_eq!((generation, values["A"].as_slice()), (2, b"two".as_slice()));
    }
    assert_eq!(harness.events("read").await.len(), 200);
    drop(agents);
    until("the streams to end", async || {
        harness.metrics().await.contains("enclii_switchyard_agent_streams 0")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_ends_streams() {
    let mut harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    agent.hold().await;
    let (end, ()) = tokio::join!(agent.next(), harness.stop());
    assert!(!matches!(end, Some(ServerMessage::Refused { .. })), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_admits_another_account_and_its_removal_ends_the_stream() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    // A grant for another environment is refused, and gives nothing.
    let mut grants = Vec::new();
    for (scope, expected) in [("shop.prod.api", 201), ("shop.dev.api", 400)] {
        let subject = json!({"kind": "service_account", "name": "shop-prod/web"});
        let grant = json!({"subject": subject, "scope": scope, "access": "read"}).to_string();
        let token = harness.token();
        let (status, _, added) =
            harness.ask(Method::POST, "/v1/grants", Some(&token), grant.as_bytes()).await;
        assert_eq!(status, expected, "{added:?}");
        grants.extend(serde_json::from_slice::<Value>(&added).unwrap().get("id").cloned());
    }
    assert_eq!(TestAgent::refused(&harness, "web", "bundle=api-dev").await.status, 403);
    let mut agent = TestAgent::connect(&harness, "web", "api-prod", vec![]).await;
    assert_eq!(agent.values().await.0, 1);
    for id in grants {
        harness.done(Method::DELETE, &format!("/v1/grants/{id}"), b"").await;
    }
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    match agent.next().await {
        Some(ServerMessage::Refused { detail }) => {
            assert!(
                detail.starts_with("service account shop-prod/web may not read bundle api-prod: "),
                "{detail}"
            )
        }
        other => panic!("{other:?}"),
    }
    assert!(agent.next().await.is_none());
    assert_eq!(harness.events("denied").await.len(), 2);
    assert_eq!(harness.events("read").await.len(), 1);
}
