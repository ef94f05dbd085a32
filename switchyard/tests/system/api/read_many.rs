//! `POST /v1/read/{scope}`: many values in one answer.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Harness, problem};

const PATH: &str = "/v1/read/shop.prod.api";

async fn read(harness: &Harness, token: &str, path: &str, names: &[&str]) -> Value {
    let body = json!({"names": names}).to_string();
    let (status, headers, answer) =
        harness.ask(Method::POST, path, Some(token), body.as_bytes()).await;
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&answer));
    assert_eq!(headers["cache-control"], "no-store");
    serde_json::from_slice(&answer).unwrap()
}

/// A token with a role, or a person's grants, as a bearer.
async fn make_token(harness: &Harness, role: &str, scope: &str) -> String {
    let request = json!({"name": format!("{role}-{scope}"), "role": role, "scope": scope});
    let (status, _, answer) =
        harness.with(Method::POST, "/v1/tokens", &[], request.to_string().as_bytes()).await;
    assert_eq!(status, 201);
    serde_json::from_slice::<Value>(&answer).unwrap()["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_values_are_read_at_once_with_an_event_for_each() {
    let harness = Harness::start().await;
    let write = json!({"secrets": {"A": {"value": "MQ==", "notes": "n", "tags": {"t": ""}},
        "B": {"value": "Mg=="}, "D": {"value": "Mw=="}}});
    harness.done(Method::POST, "/v1/secrets/shop.prod.api/", write.to_string().as_bytes()).await;
    harness.set("shop.prod.api", &[("B", b"two")]).await;
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/D", b"").await;
    harness.set("shop.prod", &[("B", b"wide"), ("W", b"wide")]).await;
    harness.set("shop", &[("D", b"widest")]).await;
    let token = harness.token();
    let names = ["A", "B", "C", "D", "W"];
    let own = read(&harness, &token, PATH, &names).await;
    assert_eq!(own["missing"], json!(["C", "D", "W"]));
    assert_eq!((&own["denied"], &own["left_out"]), (&json!({}), &json!([])));
    // The same as a read of one, with its ETag as version and tag.
    let (_, headers, one) =
        harness.with(Method::GET, "/v1/secrets/shop.prod.api/A", &[], b"").await;
    let one: Value = serde_json::from_slice(&one).unwrap();
    let a = &own["secrets"]["A"];
    for field in ["scope", "version", "updated_at", "value", "notes", "tags"] {
        assert_eq!(a[field], one[field], "{field}");
    }
    let etag = format!("\"{}-{}\"", a["version"], a["tag"].as_str().unwrap());
    assert_eq!(headers["etag"], etag.as_str());
    let all = read(&harness, &token, &format!("{PATH}?inherited=true"), &names).await;
    let shown = |name: &str| {
        let it = &all["secrets"][name];
        format!("{} {} v{} {}", it["scope"], it["origin"], it["version"], it["value"])
            .replace('"', "")
    };
    assert_eq!(shown("B"), "shop.prod.api own v2 dHdv");
    assert_eq!(shown("W"), "shop.prod inherited v1 d2lkZQ==");
    assert_eq!(shown("D"), "shop inherited v1 d2lkZXN0");
    assert_eq!(all["missing"], json!(["C"]));
    let events = harness.events("read").await;
    let events: Vec<String> = events
        .iter()
        .map(|it| format!("{}/{} {}", it["scope"], it["resource_id"], it["version"]))
        .map(|it| it.replace('"', ""))
        .collect();
    assert_eq!(
        events,
        [
            "shop.prod.api/A 1",
            "shop.prod.api/B 2",
            "shop.prod.api/A 1",
            "shop.prod.api/A 1",
            "shop.prod.api/B 2",
            "shop/D 1",
            "shop.prod/W 1",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_known_is_missing_and_what_may_not_be_read_is_denied() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"1"), ("OWN", b"1")]).await;
    harness.set("shop.prod", &[("A", b"wide"), ("WIDE", b"1")]).await;
    harness.set("shop", &[("TOP", b"1")]).await;
    let wide = format!("{PATH}?inherited=true");
    let names = ["A", "OWN", "WIDE", "TOP", "NONE"];
    // A developer of the project reads services, and lists what is above them.
    let developer = make_token(&harness, "developer", "shop").await;
    let answer = read(&harness, &developer, &wide, &names).await;
    let found: Vec<&String> = answer["secrets"].as_object().unwrap().keys().collect();
    assert_eq!(found, ["A", "OWN"]);
    assert_eq!(answer["denied"], json!({"TOP": "shop", "WIDE": "shop.prod"}));
    assert_eq!(answer["missing"], json!(["NONE"]));
    let denied = harness.events("denied").await;
    let about = |it: &Value| format!("{}/{}", it["scope"], it["resource_id"]).replace('"', "");
    assert_eq!(denied.iter().map(about).collect::<Vec<_>>(), ["shop/TOP", "shop.prod/WIDE"]);
    // A developer of the service knows of nothing above it: what is there is like what is not.
    let narrow = make_token(&harness, "developer", "shop.prod.api").await;
    let answer = read(&harness, &narrow, &wide, &names).await;
    assert_eq!(answer["missing"], json!(["NONE", "TOP", "WIDE"]));
    assert_eq!(answer["denied"], json!({}));
    // Whoever may read nothing there is refused before the body is read.
    let before = harness.events("read").await.len();
    for (role, scope) in [("readonly", "shop"), ("owner", "other"), ("admin", "shop.dev")] {
        let token = make_token(&harness, role, scope).await;
        let (status, headers, answer) =
            harness.ask(Method::POST, &wide, Some(&token), b"not JSON").await;
        assert_eq!(status, 403, "{role} {scope}");
        problem(status, &headers, &answer);
    }
    assert_eq!(harness.events("read").await.len(), before);
    assert_eq!(harness.refused(Method::POST, PATH, br#"{"names":[]}"#).await.status, 400);
    assert_eq!(harness.refused(Method::POST, &format!("{PATH}?x=1"), b"{}").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_what_it_has_no_room_for() {
    let harness = Harness::start().await;
    let mebibyte = vec![0x5a; 1 << 20];
    // In a scope without a bundle of its own there may be more than a pod holds.
    for some in [["A", "B", "C"], ["D", "E", "F"], ["G", "H", "I"]] {
        let values: Vec<(&str, &[u8])> =
            some.iter().map(|name| (*name, mebibyte.as_slice())).collect();
        harness.set("shop.prod", &values).await;
    }
    let names = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "NONE"];
    let token = harness.token();
    let answer = read(&harness, &token, "/v1/read/shop.prod", &names).await;
    assert_eq!(answer["secrets"].as_object().unwrap().len(), 8);
    assert_eq!((&answer["left_out"], &answer["missing"]), (&json!(["I"]), &json!(["NONE"])));
    assert_eq!(harness.events("read").await.len(), 8, "what did not leave is no read");
    let rest = read(&harness, &token, "/v1/read/shop.prod", &["I"]).await;
    assert_eq!((&rest["left_out"], rest["secrets"].as_object().unwrap().len()), (&json!([]), 1));
}
