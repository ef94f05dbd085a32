//! Lists in the audit log, and lists of the audit log: who may read what of it, in which order, and
//! by which filters.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::agent::TestAgent;
use crate::harness::{Harness, problem};

async fn token(harness: &Harness, name: &str, role: &str, scope: &str) -> String {
    let request = json!({"name": name, "role": role, "scope": scope}).to_string();
    let (status, _, answer) =
        harness.with(Method::POST, "/v1/tokens", &[], request.as_bytes()).await;
    assert_eq!(status, 201);
    serde_json::from_slice::<Value>(&answer).unwrap()["token"].as_str().unwrap().to_owned()
}

async fn listed(harness: &Harness, token: &str, query: &str) -> Vec<Value> {
    let path = format!("/v1/audit?limit=1000&{query}");
    let (status, _, body) = harness.ask(Method::GET, &path, Some(token), b"").await;
    assert_eq!(status, 200, "{query}: {body:?}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["events"].as_array().unwrap().clone()
}

fn sequences(events: &[Value]) -> Vec<u64> {
    events.iter().map(|it| it["sequence"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_of_names_is_one_event() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"x"), ("B", b"x")]).await;
    let reader = token(&harness, "reader", "readonly", "shop").await;
    let rows = [
        ("/v1/secrets/shop.prod.api/", "scope", "shop.prod.api", json!("shop.prod.api")),
        ("/v1/secrets/shop.prod.api/?limit=1", "scope", "shop.prod.api", json!("shop.prod.api")),
        ("/v1/secrets/shop.prod.api/A/versions", "secret", "A", json!("shop.prod.api")),
        ("/v1/bundles", "bundle", "bundles", Value::Null),
        ("/v1/bundles/shop.prod.api", "bundle", "api-prod", json!("shop.prod.api")),
        ("/v1/grants", "grant", "grants", Value::Null),
        ("/v1/tokens", "token", "tokens", Value::Null),
    ];
    for (path, _, _, _) in &rows {
        let (status, headers, _) = harness.ask(Method::GET, path, Some(&reader), b"").await;
        assert_eq!(status, 200, "{path}");
        assert!(headers.contains_key("trace-id"));
    }
    let events = listed(&harness, &harness.token(), "actor=token:reader&action=list").await;
    assert_eq!(events.len(), rows.len(), "{events:?}");
    for (event, (path, kind, id, scope)) in events.iter().zip(&rows) {
        assert_eq!(
            (&event["resource_type"], &event["resource_id"], &event["scope"]),
            (&json!(kind), &json!(id), scope),
            "{path}"
        );
        assert_eq!(
            (&event["outcome"], &event["address"]),
            (&json!("allowed"), &json!("127.0.0.1"))
        );
        let details = event["details"].as_str().unwrap();
        assert!(details.contains("name"), "{path}: {details}");
    }
    assert!(events[0]["details"].as_str().unwrap().contains("2 names"), "{events:?}");
    // A program that polls its bundle's generation asks for names that it has.
    for _ in 0..5 {
        harness.ask(Method::GET, "/v1/bundles/shop.prod.api", Some(&reader), b"").await;
    }
    let query = "actor=token:reader&action=list";
    assert_eq!(listed(&harness, &harness.token(), query).await.len(), rows.len());
    harness.set("shop.prod.api", &[("C", b"x")]).await;
    for _ in 0..2 {
        harness.ask(Method::GET, "/v1/bundles/shop.prod.api", Some(&reader), b"").await;
    }
    assert_eq!(listed(&harness, &harness.token(), query).await.len(), rows.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_leaves_without_its_event() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit_events WHEN NEW.action = 'list' BEGIN \
        SELECT RAISE(ABORT, 'disk full'); END";
    harness.database().execute_batch(full).unwrap();
    for path in [
        "/v1/secrets/shop.prod.api/",
        "/v1/secrets/shop.prod.api/A/versions",
        "/v1/bundles",
        "/v1/bundles/shop.prod.api",
        "/v1/grants",
        "/v1/tokens",
    ] {
        let problem = harness.refused(Method::GET, path, b"").await;
        assert!(problem.status == 503 && problem.detail.contains("audit log"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_of_a_scope_reads_the_events_below_it() {
    let harness = Harness::start().await;
    for scope in ["shop", "shop.prod.api", "shop.dev.api", "shopping.prod.api"] {
        harness.set(scope, &[("A", b"x")]).await;
    }
    token(&harness, "of-shop", "developer", "shop.prod").await;
    TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await.hold().await;
    let admin = token(&harness, "admin", "admin", "shop.prod").await;
    let scopes = |events: &[Value]| {
        events
            .iter()
            .map(|it| it["scope"].as_str().unwrap_or("none").to_owned())
            .collect::<BTreeSet<_>>()
    };
    let own = BTreeSet::from(["shop.prod".to_owned(), "shop.prod.api".to_owned()]);
    let seen = listed(&harness, &admin, "").await;
    assert_eq!(scopes(&seen), own);
    // Tokens of the scope are among them, and what pods read.
    for (action, id) in [("grant", "of-shop"), ("read", "api-prod"), ("write", "A")] {
        assert!(
            seen.iter().any(|it| it["action"] == action && it["resource_id"] == id),
            "{action} {id}"
        );
    }
    // A wider scope shows what is below both, a narrower one less, another one nothing.
    assert_eq!(scopes(&listed(&harness, &admin, "scope=shop").await), own);
    let narrow = BTreeSet::from(["shop.prod.api".to_owned()]);
    assert_eq!(scopes(&listed(&harness, &admin, "scope=shop.prod.api").await), narrow);
    assert_eq!(scopes(&listed(&harness, &admin, "order=desc").await), own);
    for scope in ["shop.dev", "shop.dev.api", "shopping", "none"] {
        let path = format!("/v1/audit?scope={scope}");
        let (status, headers, answer) = harness.ask(Method::GET, &path, Some(&admin), b"").await;
        assert_eq!(problem(status, &headers, &answer).status, 403, "{scope}");
    }
    // The filter is part of the query, so a page is full although others wrote in between.
    for _ in 0..5 {
        harness.set("shop.dev.api", &[("A", b"x")]).await;
    }
    harness.set("shop.prod.api", &[("A", b"y")]).await;
    let page = listed(&harness, &admin, "action=write").await;
    let first = sequences(&page)[0];
    let path = format!("/v1/audit?limit=1&action=write&after={first}");
    let (_, _, body) = harness.ask(Method::GET, &path, Some(&admin), b"").await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["events"][0]["scope"], "shop.prod.api");
    // An export is a chain, and a chain has everybody's events. So have checkpoints.
    for path in ["/v1/audit/export", "/v1/audit/checkpoints"] {
        assert_eq!(harness.ask(Method::GET, path, Some(&admin), b"").await.0, 403, "{path}");
    }
    let developer = token(&harness, "dev", "developer", "shop.prod").await;
    assert_eq!(harness.ask(Method::GET, "/v1/audit", Some(&developer), b"").await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_ordered_and_filtered() {
    let harness = Harness::start().await;
    let owner = harness.token();
    harness.set("shop.prod.api", &[("A", b"x"), ("B", b"x")]).await;
    harness.set("shop.prod.web", &[("A", b"x")]).await;
    harness.done(Method::GET, "/v1/secrets/shop.prod.api/A", b"").await;
    let ci = token(&harness, "ci", "developer", "shop").await;
    harness.ask(Method::GET, "/v1/secrets/shop.prod.api/A", Some(&ci), b"").await;
    TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await.hold().await;
    harness.ask(Method::GET, "/v1/whoami", Some("wrong"), b"").await;

    let all = sequences(&listed(&harness, &owner, "action=write").await);
    assert_eq!(all.len(), 3);
    let mut newest_first = all.clone();
    newest_first.reverse();
    assert_eq!(sequences(&listed(&harness, &owner, "action=write&order=desc").await), newest_first);
    assert_eq!(sequences(&listed(&harness, &owner, "action=write&order=asc").await), all);
    // Pages in either order.
    let page = async |query: &str| {
        let (_, _, body) = harness
            .ask(Method::GET, &format!("/v1/audit?limit=2&action=write&{query}"), Some(&owner), b"")
            .await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        sequences(body["events"].as_array().unwrap())
    };
    assert_eq!(page("order=desc").await, newest_first[..2]);
    assert_eq!(page(&format!("order=desc&before={}", newest_first[1])).await, newest_first[2..]);
    assert_eq!(page(&format!("after={}", all[1])).await, all[2..]);
    assert_eq!(page(&format!("after={}&before={}", all[0], all[2])).await, all[1..2]);

    let found = async |query: &str| {
        let events = listed(&harness, &owner, query).await;
        events
            .iter()
            .map(|it| {
                let text = |field: &str| it[field].as_str().unwrap_or("-").to_owned();
                format!(
                    "{}:{} {} {}",
                    text("actor_type"),
                    text("actor_id"),
                    text("action"),
                    text("resource_id")
                )
            })
            .collect::<Vec<_>>()
    };
    let of_a = found("secret=shop.prod.api/A").await;
    assert_eq!(of_a, ["token:bootstrap write A", "token:bootstrap read A", "token:ci read A"]);
    assert_eq!(found("secret=A").await.len(), 4);
    assert_eq!(found("secret=A&scope=shop.prod.web").await, ["token:bootstrap write A"]);
    assert_eq!(found("secret=B&action=write").await.len(), 1);
    assert!(found("secret=NONE").await.is_empty());
    // The actor, by name or as it is printed.
    assert_eq!(found("actor=ci").await, ["token:ci read A"]);
    assert_eq!(found("actor=token:ci").await, ["token:ci read A"]);
    assert!(found("actor=user:ci").await.is_empty());
    let pods = found("actor=pod:shop-prod/api").await;
    assert_eq!(pods, ["pod:shop-prod/api login api-prod", "pod:shop-prod/api read api-prod"]);
    assert_eq!(found("actor=anonymous").await, ["anonymous: login api"]);
    assert!(found("actor=system:bootstrap").await.len() == 1);

    for query in [
        "order=newest",
        "before=-1",
        "secret=",
        "secret=a/b/C",
        "secret=shop.prod.api/",
        "secret=shop..api/A",
        "scope=Shop",
        "actor=",
    ] {
        let problem = harness.refused(Method::GET, &format!("/v1/audit?{query}"), b"").await;
        assert_eq!(problem.status, 400, "{query}");
    }
}
