//! Rotate, rollback, delete, undelete and destroy.

use contract::api::{Deleted, Written};
use contract::{Generation, Version};
use http::Method;
use serde_json::{Value, json};

use super::value;
use crate::harness::{Harness, until};

const A: &str = "/v1/secrets/shop.prod.api/A";

async fn post(harness: &Harness, verb: &str, body: &Value) -> Written {
    serde_json::from_slice(
        &harness.done(Method::POST, &format!("{A}/{verb}"), body.to_string().as_bytes()).await,
    )
    .unwrap()
}

async fn refused(harness: &Harness, verb: &str, body: &Value) -> (u16, String) {
    let problem =
        harness.refused(Method::POST, &format!("{A}/{verb}"), body.to_string().as_bytes()).await;
    (problem.status, problem.kind)
}

fn version(written: &Written) -> u64 {
    written.versions["A"].0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_takes_or_generates_a_value() {
    let harness = Harness::start().await;
    assert_eq!(refused(&harness, "rotate", &json!({})).await, (404, "/problems/not-found".into()));
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let written = post(&harness, "rotate", &json!({"value": "dHdv"})).await;
    assert_eq!((version(&written), written.bundles[0].generation), (2, Generation(2)));
    assert_eq!(value(&harness, A).await.value.expose(), b"two");

    // By default 32 letters and digits are generated. The response does not contain the value.
    let mut seen = Vec::new();
    for body in [&b""[..], b"{}", br#"{"generate":{}}"#] {
        let answer = harness.done(Method::POST, &format!("{A}/rotate"), body).await;
        let made = value(&harness, A).await.value;
        assert!(made.len() == 32 && made.expose().iter().all(u8::is_ascii_alphanumeric));
        let text = String::from_utf8(made.expose().to_vec()).unwrap();
        assert!(!String::from_utf8_lossy(&answer).contains(&text) && !seen.contains(&text));
        seen.push(text);
    }
    post(
        &harness,
        "rotate",
        &json!({"generate": {"length": 64, "alphabet": "hex"}, "if_version": 5}),
    )
    .await;
    let made = value(&harness, A).await;
    assert!(
        made.value.len() == 64
            && made.value.expose().iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    );
    assert_eq!(made.version, Version(6));

    assert_eq!(
        refused(&harness, "rotate", &json!({"if_version": 5})).await,
        (412, "/problems/precondition-failed".into())
    );
    for body in [
        json!({"value": "", "generate": {}}),
        json!({"generate": {"length": 7}}),
        json!({"generate": {"alphabet": "x"}}),
        json!([]),
    ] {
        assert_eq!(refused(&harness, "rotate", &body).await.0, 400, "{body}");
    }
    assert_eq!(value(&harness, A).await.version, Version(6));
    assert_eq!(harness.events("rotate").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_secrets_are_rotated_as_one_generation_or_not_at_all() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"two")]).await;
    const MANY: &str = "/v1/rotate/shop.prod.api";
    let body = json!({"secrets": {"A": {"generate": {"length": 40, "alphabet": "hex"}},
        "B": {"value": "eA==", "if_version": 1}}});
    let answer = harness.done(Method::POST, MANY, body.to_string().as_bytes()).await;
    let written: Written = serde_json::from_slice(&answer).unwrap();
    assert_eq!((written.versions["A"], written.versions["B"]), (Version(2), Version(2)));
    assert_eq!(written.bundles.len(), 1);
    assert_eq!(written.bundles[0].generation, Generation(2));
    assert!(!written.created);
    let made = value(&harness, A).await.value;
    assert!(made.len() == 40 && !String::from_utf8_lossy(&answer).contains("eA=="));
    assert_eq!(value(&harness, "/v1/secrets/shop.prod.api/B").await.value.expose(), b"x");
    assert_eq!(harness.events("rotate").await.len(), 2);

    for (body, status) in [
        (json!({"secrets": {"A": {}, "MISSING": {}}}), 404),
        (json!({"secrets": {"A": {}, "B": {"if_version": 1}}}), 412),
        (json!({"secrets": {}}), 400),
        (json!({"secrets": {"A": []}}), 400),
        (json!({"secrets": {"A": {"if_version": 0}}}), 400),
        (json!({"secrets": {"A": {"value": "", "generate": {}}}}), 400),
        (json!({"secrets": {"A": {"generate": {"length": 7}}}}), 400),
        (json!({"secrets": {"A": {}}, "more": 1}), 400),
    ] {
        let problem = harness.refused(Method::POST, MANY, body.to_string().as_bytes()).await;
        assert_eq!(problem.status, status, "{body}: {}", problem.detail);
    }
    assert_eq!(value(&harness, A).await.version, Version(2), "A was rotated without B");
    let twice = br#"{"secrets": {"A": {}, "A": {}}}"#;
    assert!(harness.refused(Method::POST, MANY, twice).await.detail.contains("A twice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_write_to_a_scope_says_so() {
    let harness = Harness::start().await;
    assert!(harness.set("shop.prod.api", &[("A", b"one")]).await.created);
    assert!(!harness.set("shop.prod.api", &[("B", b"one")]).await.created);
    assert!(harness.set("shop.prod", &[("A", b"one")]).await.created);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_can_be_read_and_rolled_back_to() {
    let harness = Harness::start().await;
    for text in [b"one".as_slice(), b"two", b"three"] {
        harness.set("shop.prod.api", &[("A", text)]).await;
    }
    for (number, text) in [(1, b"one".as_slice()), (2, b"two"), (3, b"three")] {
        let read = value(&harness, &format!("{A}?version={number}")).await;
        assert_eq!((read.version, read.value.expose()), (Version(number), text));
    }
    for (query, status) in [
        ("4", 404),
        ("0", 400),
        ("x", 400),
        ("-1", 400),
        ("9007199254740992", 400),
        ("1&version=2", 400),
        ("", 400),
    ] {
        assert_eq!(
            harness.refused(Method::GET, &format!("{A}?version={query}"), b"").await.status,
            status,
            "{query}"
        );
    }
    let back = post(&harness, "rollback", &json!({"version": 1})).await;
    assert_eq!((version(&back), back.bundles[0].generation), (1, Generation(4)));
    assert_eq!(value(&harness, A).await.value.expose(), b"one");
    assert_eq!(version(&harness.set("shop.prod.api", &[("A", b"four")]).await), 4);
    for (body, status) in [
        (json!({"version": 9}), 404),
        (json!({"version": 0}), 400),
        (json!({}), 400),
        (json!({"versions": [1]}), 400),
    ] {
        assert_eq!(refused(&harness, "rollback", &body).await.0, status, "{body}");
    }
    let absent = harness
        .refused(Method::POST, "/v1/secrets/shop.prod.api/ABSENT/rollback", br#"{"version":1}"#)
        .await;
    assert_eq!(absent.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_can_be_undone() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"b")]).await;
    let undelete = async || harness.with(Method::POST, &format!("{A}/undelete"), &[], b"").await;
    assert_eq!(
        harness.refused(Method::POST, &format!("{A}/undelete"), b"").await.kind,
        "/problems/not-deleted"
    );
    let deleted: Deleted =
        serde_json::from_slice(&harness.done(Method::DELETE, A, b"").await).unwrap();
    assert!(deleted.recoverable_until.is_some());

    let listed = harness.json("/v1/secrets/shop.prod.api/").await;
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 1);
    let listed = harness.json("/v1/secrets/shop.prod.api/?deleted=true").await;
    assert_eq!(listed["secrets"][0]["name"], "A");
    assert!(
        listed["secrets"][0]["deleted_at"].is_string()
            && listed["secrets"][1]["deleted_at"].is_null()
    );
    assert_eq!(
        listed["secrets"][0]["recoverable_until"].is_string(),
        listed["secrets"][0]["deleted_at"].is_string()
    );

    let (status, _, answer) = undelete().await;
    assert_eq!(status, 200);
    let back: Written = serde_json::from_slice(&answer).unwrap();
    assert_eq!((version(&back), back.bundles[0].generation), (1, Generation(3)));
    assert_eq!(value(&harness, A).await.value.expose(), b"one");
    assert_eq!(undelete().await.0, 409);
    assert_eq!(
        harness
            .refused(Method::POST, "/v1/secrets/shop.prod.api/ABSENT/undelete", b"")
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn destroyed_versions_are_unreadable() {
    let harness = Harness::start().await;
    for text in [b"one".as_slice(), b"two", b"three"] {
        harness.set("shop.prod.api", &[("A", text)]).await;
    }
    let done = harness.done(Method::POST, &format!("{A}/destroy"), br#"{"versions":[1]}"#).await;
    assert_eq!(
        serde_json::from_slice::<Value>(&done).unwrap(),
        json!({"scope": "shop.prod.api", "name": "A", "versions": [1]})
    );
    assert_eq!(harness.refused(Method::GET, &format!("{A}?version=1"), b"").await.status, 410);
    assert_eq!(
        refused(&harness, "rollback", &json!({"version": 1})).await,
        (410, "/problems/gone".into())
    );
    assert_eq!(
        refused(&harness, "destroy", &json!({"versions": [3]})).await,
        (409, "/problems/in-use".into())
    );
    // All versions or none.
    assert_eq!(refused(&harness, "destroy", &json!({"versions": [2, 9]})).await.0, 404);
    assert_eq!(value(&harness, &format!("{A}?version=2")).await.value.expose(), b"two");
    for body in [json!({"versions": []}), json!({"versions": [0]}), json!({"version": 1})] {
        assert_eq!(refused(&harness, "destroy", &body).await.0, 400, "{body}");
    }
    let states = async || harness.json(&format!("{A}/versions")).await["versions"].clone();
    until("the version to be destroyed", async || states().await[2]["state"] == "destroyed").await;
    assert!(
        states().await[2]["destroyed_at"].is_string()
            && states().await[1]["destroyed_at"].is_null()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_can_be_listed_and_read_with_values() {
    let harness = Harness::start().await;
    harness.set("shop", &[("P", b"wide")]).await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    harness.set("shop.prod.web", &[("W", b"w")]).await;
    let list = harness.json("/v1/bundles").await;
    let scopes: Vec<_> = list["bundles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["scope"].as_str().unwrap())
        .collect();
    assert_eq!(scopes, ["shop.prod.api", "shop.prod.web"]);
    let values = harness.json("/v1/bundles/shop.prod.api/values").await;
    assert_eq!(
        values,
        json!({"scope": "shop.prod.api", "bundle": "api-prod", "generation": 1,
            "tag": values["tag"], "secrets": {"A": {"version": 1, "value": "b25l"},
                "P": {"version": 1, "value": "d2lkZQ=="}}})
    );
    let read = harness.events("read").await;
    assert_eq!(
        (&read[0]["resource_type"], &read[0]["resource_id"]),
        (&json!("bundle"), &json!("api-prod"))
    );
    assert_eq!(harness.refused(Method::GET, "/v1/bundles/shop.prod/values", b"").await.status, 400);
    assert_eq!(
        harness.refused(Method::GET, "/v1/bundles/shop.dev.api/values", b"").await.status,
        404
    );

    // Without access to every secret of a bundle, its values are refused.
    let request = json!({"name": "dev", "role": "developer", "scope": "shop"});
    let (_, _, made) =
        harness.with(Method::POST, "/v1/tokens", &[], request.to_string().as_bytes()).await;
    let token =
        serde_json::from_slice::<Value>(&made).unwrap()["token"].as_str().unwrap().to_owned();
    assert_eq!(
        harness.ask(Method::GET, "/v1/bundles/shop.prod.api", Some(&token), b"").await.0,
        200
    );
    let (status, _, answer) =
        harness.ask(Method::GET, "/v1/bundles/shop.prod.api/values", Some(&token), b"").await;
    assert_eq!(status, 403, "{answer:?}");
    assert!(!String::from_utf8_lossy(&answer).contains("b25l"));
}
