//! `GET /v1/access/reads`: who read a secret, with the pods that it was delivered to.

use http::Method;
use serde_json::{Value, json};

use super::{grant, make_token, status};
use crate::agent::TestAgent;
use crate::harness::Harness;

async fn reads(harness: &Harness, token: &str, query: &str) -> (Vec<String>, Value) {
    let path = format!("/v1/access/reads?{query}");
    let (status, _, answer) = harness.ask(Method::GET, &path, Some(token), b"").await;
    assert_eq!(status, 200, "{answer:?}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let shown = answer["reads"].as_array().unwrap().iter().map(|it| {
        assert!(it["trace_id"].is_string() && it["address"].is_string(), "{it}");
        let pod = it["pod"].as_str().map(|it| format!("({it})")).unwrap_or_default();
        let bundle = match it["bundle"].as_str() {
            Some(bundle) => format!(" {bundle}@{}", it["generation"]),
            None => String::new(),
        };
        format!("{}{pod} v{}{bundle}", it["reader"].as_str().unwrap(), it["version"])
    });
    (shown.collect(), answer.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_deliveries_of_a_secret_are_listed_newest_first() {
    let harness = Harness::start().await;
    let owner = harness.token();
    harness.set("shop.prod.api", &[("A", b"1"), ("B", b"1")]).await;
    harness.set("shop.prod.web", &[("W", b"1")]).await;
    harness.set("shop", &[("P", b"1")]).await;
    grant(&harness, "shop-prod/web", Some("B")).await;
    let mut api = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    api.values().await;
    TestAgent::connect(&harness, "web", "api-prod", vec![]).await.values().await;
    TestAgent::connect(&harness, "web", "web-prod", vec![]).await.values().await;
    harness.json("/v1/secrets/shop.prod.api/A").await;
    harness.set("shop.prod.api", &[("A", b"2")]).await;
    api.values().await;
    harness.json("/v1/bundles/shop.prod.api/values").await;
    harness.json("/v1/secrets/shop.prod.api/A?version=1").await;
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await;
    api.values().await;
    // A generation without the secret, and a name in another scope.
    harness.set("shop.dev.api", &[("A", b"dev")]).await;
    harness.json("/v1/secrets/shop.dev.api/A").await;

    let (of_a, _) = reads(&harness, &owner, "scope=shop.prod.api&secret=A").await;
    assert_eq!(
        of_a,
        [
            "token:bootstrap v1",
            "token:bootstrap v2 shop.prod.api@3",
            "pod:shop-prod/api(api-1) v2 shop.prod.api@3",
            "token:bootstrap v1",
            "pod:shop-prod/api(api-1) v1 shop.prod.api@2",
        ]
    );
    let (of_b, _) = reads(&harness, &owner, "scope=shop.prod.api&secret=B&by=pod").await;
    assert_eq!(
        of_b,
        [
            "pod:shop-prod/api(api-1) v1 shop.prod.api@4",
            "pod:shop-prod/api(api-1) v1 shop.prod.api@3",
            "pod:shop-prod/web(web-3) v1 shop.prod.api@2",
            "pod:shop-prod/api(api-1) v1 shop.prod.api@2",
        ]
    );
    // The project's secret came with every bundle, and not with the grant of another name.
    let (of_p, _) = reads(&harness, &owner, "scope=shop&secret=P&by=pod").await;
    assert_eq!(
        of_p,
        [
            "pod:shop-prod/api(api-1) v1 shop.prod.api@4",
            "pod:shop-prod/api(api-1) v1 shop.prod.api@3",
            "pod:shop-prod/web(web-3) v1 shop.prod.web@2",
            "pod:shop-prod/api(api-1) v1 shop.prod.api@2",
        ]
    );
    let only = "scope=shop&secret=P&by=pod&bundle=shop.prod.web";
    assert_eq!(reads(&harness, &owner, only).await.0.len(), 1);
    // Page by page, the same.
    let (mut paged, mut before) = (Vec::new(), String::new());
    loop {
        let query = format!("scope=shop.prod.api&secret=A&limit=2{before}");
        let (page, answer) = reads(&harness, &owner, &query).await;
        paged.extend(page);
        let Some(next) = answer["next"].as_u64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(paged, of_a);
    let none = "scope=shop.prod.api&secret=A&until=2020-01-01T00:00:00Z";
    assert!(reads(&harness, &owner, none).await.0.is_empty());

    // An admin of a service sees the deliveries of its bundle.
    let admin = make_token(&harness, "admin", "admin", Some("shop.prod.web")).await;
    let (part, _) = reads(&harness, &admin, "scope=shop&secret=P").await;
    assert_eq!(part, ["pod:shop-prod/web(web-3) v1 shop.prod.web@2"]);
    let developer = make_token(&harness, "dev", "developer", None).await;
    let of = |query: &str| format!("/v1/access/reads?{query}");
    let asked = of("scope=shop.prod.api&secret=A");
    assert_eq!(status(&harness, &developer, Method::GET, &asked, b"").await, 403);
    assert_eq!(status(&harness, &admin, Method::GET, &asked, b"").await, 403);
    for (query, expected) in [
        ("scope=shop.prod.api&secret=NONE", 404),
        ("scope=shop.prod.api", 400),
        ("scope=shop&secret=P&by=admin", 400),
        ("scope=shop&secret=P&limit=0", 400),
    ] {
        assert_eq!(harness.refused(Method::GET, &of(query), b"").await.status, expected, "{query}");
    }
    let listed = harness.events("list").await;
    let event = listed.iter().rfind(|it| it["actor_id"] == "admin").unwrap();
    assert_eq!(event["resource_type"], json!("audit"));
    assert!(event["details"].as_str().unwrap().starts_with("who read shop/P, 1 events"), "{event}");
}
