//! What pods report, as the API shows it; and generations that failed a check.

use contract::requests::RequestWindow;
use contract::stream::{
    AgentMessage, BundleGeneration, CheckOutcome, CheckResult, CheckStage, FailedStep,
    ReloadOutcome,
};
use http::Method;
use serde_json::{Value, json};

use crate::agent::TestAgent;
use crate::harness::{Harness, until};

const POD: &str = "/v1/pods/shop-prod/api-1";

fn failed(wanted: &[BundleGeneration]) -> AgentMessage {
    let detail = "tls=8443: port 8443 serves another certificate".to_owned();
    AgentMessage::Failed { wanted: wanted.to_vec(), step: FailedStep::Check, detail }
}

fn applied(holds: &[BundleGeneration]) -> AgentMessage {
    AgentMessage::Applied { holds: holds.to_vec(), reload: ReloadOutcome::Signalled }
}

fn checked(wanted: &[BundleGeneration], stage: CheckStage, outcome: CheckOutcome) -> AgentMessage {
    let check = CheckResult {
        check: "tls=8443".to_owned(),
        outcome,
        in_use: Some(outcome == CheckOutcome::Passed),
        detail: "seen".to_owned(),
    };
    AgentMessage::Checked { wanted: wanted.to_vec(), stage, checks: vec![check] }
}

/// Waits until the status of a pod fulfils a condition, and returns it.
async fn status(harness: &Harness, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    until(what, async || {
        let token = harness.token();
        let (code, _, body) = harness.ask(Method::GET, POD, Some(&token), b"").await;
        found = serde_json::from_slice(&body).unwrap();
        code == 200 && holds(&found)
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_failed_a_check_is_not_sent_again() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let first = agent.hold().await.holds();
    agent.say(&applied(&first)).await;
    harness.set("shop.prod.api", &[("A", b"broken")]).await;
    let second = agent.hold().await.holds();
    agent.say(&failed(&second)).await;
    until("the failure", async || harness.events("failed").await.len() == 1).await;
    drop(agent);
    let reads = async || harness.events("read").await.len();
    let sent = reads().await;

    // It says so when it comes back, and gets nothing until there is a newer one. Another number of
    // the same generation is another generation.
    let held = (first.clone(), second.clone());
    let mut agent = TestAgent::connect_refusing(&harness, "api-one", "api-prod", held).await;
    let refused = status(&harness, "the pod to be back", |it| it["connected"] == true).await;
    assert_eq!(refused["bundles"][0]["refused"][0]["generation"], 2);
    assert_eq!(reads().await, sent);
    let mut other = second.clone();
    other[0].tag = Some("0123456789abcdef".parse().unwrap());
    let held = (first.clone(), other);
    let mut twin = TestAgent::connect_refusing(&harness, "api-two", "api-prod", held).await;
    assert_eq!(twin.values().await.0, 2);
    harness.set("shop.prod.api", &[("A", b"three")]).await;
    assert_eq!(agent.values().await.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_pod_is_what_its_agent_reports() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let first = agent.hold().await.holds();
    agent.say(&applied(&first)).await;
    agent.say(&checked(&first, CheckStage::After, CheckOutcome::Passed)).await;
    let is_checked = |it: &Value| it["checks"][0]["outcome"] == "passed";
    let pod = status(&harness, "the first report", is_checked).await;
    assert_eq!(
        [&pod["namespace"], &pod["pod"], &pod["uid"], &pod["service_account"], &pod["agent"]],
        ["shop-prod", "api-1", "1", "api", "test"]
    );
    let bundle = &pod["bundles"][0];
    assert_eq!(
        [&bundle["scope"], &bundle["bundle"], &bundle["reload"]],
        ["shop.prod.api", "api-prod", "signalled"]
    );
    assert_eq!((&bundle["generation"], &bundle["newest"]), (&json!(1), &json!(1)));
    assert_eq!((&bundle["drifts"], &pod["connected"]), (&json!(false), &json!(true)));
    assert_eq!(bundle["tag"], first[0].tag.as_ref().unwrap().as_str());
    assert_eq!(pod["checks"][0]["in_use"], true);
    let since = bundle["since"].clone();

    // A later generation fails a check, and the first one is restored.
    harness.set("shop.prod.api", &[("A", b"broken")]).await;
    let second = agent.hold().await.holds();
    agent.say(&applied(&second)).await;
    agent.say(&checked(&second, CheckStage::After, CheckOutcome::Failed)).await;
    agent.say(&failed(&second)).await;
    agent.say(&checked(&first, CheckStage::Restored, CheckOutcome::Passed)).await;
    let is_restored = |it: &Value| it["checks"].as_array().is_some_and(|all| all.len() == 2);
    status(&harness, "the restore", is_restored).await;
    until("the last event", async || harness.events("reverted").await.len() == 1).await;
    let pod = status(&harness, "the restore", |_| true).await;
    let bundle = &pod["bundles"][0];
    assert_eq!((&bundle["generation"], &bundle["newest"]), (&json!(1), &json!(2)));
    assert_eq!(bundle["drifts"], true);
    assert_ne!(bundle["since"], since, "the generation was away in between");
    let reason = "tls=8443: port 8443 serves another certificate";
    assert_eq!(bundle["failed"], json!({"generation": 2, "step": "check", "detail": reason}));
    assert_eq!(
        bundle["refused"],
        json!([{"generation": 2, "tag": second[0].tag, "reason": reason}])
    );
    let metrics = harness.metrics().await;
    for line in [
        r#"enclii_switchyard_pod_checks_total{stage="after",outcome="failed"} 1"#,
        r#"enclii_switchyard_pod_checks_total{stage="restored",outcome="passed"} 1"#,
        "enclii_switchyard_restored_generations_total 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    // It is in the ledger: another process has it, and knows that the pod is not connected there.
    until("the state to be written", async || {
        let sql = "SELECT count(*) FROM agent_states WHERE checked_restored IS NOT NULL";
        harness.database().query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap() == 1
    })
    .await;
    drop(agent);
    status(&harness, "the end of the stream", |it| it["connected"] == false).await;
    let harness = harness.restart().await;
    let again = status(&harness, "the pod after a restart", |_| true).await;
    assert_eq!((&again["bundles"], &again["checks"]), (&pod["bundles"], &pod["checks"]));
    assert_eq!(again["connected"], false);
    assert!(again["disconnected_at"].is_string(), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_after_a_delivery_and_shown() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let window = |errors| RequestWindow {
        at: 1,
        milliseconds: 1000,
        requests: 50,
        errors,
        latency: vec![48, 2],
    };
    let counted = |errors| AgentMessage::Requests {
        metric: "http_requests_total".to_owned(),
        bounds: vec![100_000],
        windows: vec![window(errors), window(0)],
    };
    // The first files are before the application's start, and what nobody asked for is dropped.
    let holds = agent.hold().await.holds();
    assert_eq!(agent.asked_to_count, 0);
    agent.say(&counted(9)).await;
    agent.say(&applied(&holds)).await;
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let holds = agent.hold().await.holds();
    assert_eq!(agent.asked_to_count, 120);
    agent.say(&applied(&holds)).await;
    agent.say(&counted(3)).await;
    // Numbers that do not fit together are dropped.
    agent.say(&counted(51)).await;
    let pod = status(&harness, "the requests", |it| it["requests"].is_object()).await;
    let requests = &pod["requests"];
    assert_eq!(
        [&requests["metric"], &requests["seconds"], &requests["requests"], &requests["errors"]],
        [&json!("http_requests_total"), &json!(2), &json!(100), &json!(3)]
    );
    assert_eq!(requests["p95_milliseconds"], 100);
    let metrics = harness.metrics().await;
    for line in [
        r#"enclii_switchyard_pod_requests_total{outcome="failed"} 3"#,
        r#"enclii_switchyard_pod_requests_total{outcome="ok"} 97"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    drop(agent);
    status(&harness, "the end of the stream", |it| it["requests"].is_null()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_listed_to_whoever_may_list_their_bundle() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    harness.set("shop.dev.api", &[("A", b"one")]).await;
    let mut agents = Vec::new();
    for (token, bundle) in [("api-one", "api-prod"), ("api-two", "api-prod"), ("dev", "api-dev")] {
        let mut agent = TestAgent::connect(&harness, token, bundle, vec![]).await;
        let holds = agent.hold().await.holds();
        agent.say(&applied(&holds)).await;
        agent.say(&checked(&holds, CheckStage::After, CheckOutcome::Passed)).await;
        agents.push(agent);
    }
    let names = |list: &Value| -> Vec<String> {
        let pods = list["pods"].as_array().unwrap().iter();
        pods.map(|it| format!("{}/{}", it["namespace"], it["pod"]).replace('"', "")).collect()
    };
    until("all pods in the ledger", async || {
        names(&harness.json("/v1/pods").await)
            == ["shop-dev/api-4", "shop-prod/api-1", "shop-prod/api-2"]
    })
    .await;
    for (query, expected) in [
        ("?bundle=shop.prod.api", &["shop-prod/api-1", "shop-prod/api-2"][..]),
        ("?namespace=shop-dev", &["shop-dev/api-4"]),
        ("?namespace=shop-dev&bundle=shop.prod.api", &[]),
        ("?namespace=elsewhere", &[]),
    ] {
        assert_eq!(names(&harness.json(&format!("/v1/pods{query}")).await), expected, "{query}");
    }
    let page = harness.json("/v1/pods?limit=2").await;
    let next = page["next"].as_str().unwrap();
    let last = harness.json(&format!("/v1/pods?limit=2&cursor={next}")).await;
    assert_eq!((names(&page).len(), names(&last)), (2, vec!["shop-prod/api-2".to_owned()]));
    assert_eq!(last["next"], Value::Null);

    // Whoever may list one environment sees its pods and no others.
    let request = json!({"name": "dev", "role": "readonly", "scope": "shop.dev"}).to_string();
    let (status, _, body) = harness.with(Method::POST, "/v1/tokens", &[], request.as_bytes()).await;
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    let created: Value = serde_json::from_slice(&body).unwrap();
    let token = created["token"].as_str().unwrap();
    let ask = async |path: &str| {
        let (status, _, body) = harness.ask(Method::GET, path, Some(token), b"").await;
        (status.as_u16(), serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (status, list) = ask("/v1/pods").await;
    assert_eq!((status, names(&list)), (200, vec!["shop-dev/api-4".to_owned()]));
    assert_eq!(ask("/v1/pods?bundle=shop.prod.api").await.0, 403);
    assert_eq!(names(&ask("/v1/pods?namespace=shop-prod").await.1), Vec::<String>::new());
    let (status, hidden) = ask(POD).await;
    let (other, absent) = ask("/v1/pods/shop-prod/absent").await;
    assert_eq!((status, other), (404, 404));
    let hidden = hidden["detail"].as_str().unwrap();
    assert_eq!(hidden.replace("api-1", "absent"), absent["detail"].as_str().unwrap());

    for (path, status) in [
        ("/v1/pods?bundle=shop.prod", 400),
        ("/v1/pods?bundle=shop.prod.none", 404),
        ("/v1/pods?namespace=Shop", 400),
        ("/v1/pods?what=1", 400),
        ("/v1/pods/shop-prod/Api", 400),
        ("/v1/pods/shop-prod/api%00", 400),
    ] {
        assert_eq!(harness.refused(Method::GET, path, b"").await.status, status, "{path}");
    }
}
