//! Message, notes, tags and expiry through the API.

use http::Method;
use serde_json::{Value, json};

use crate::harness::Harness;

const SCOPE: &str = "/v1/secrets/shop.prod.api/";
const A: &str = "/v1/secrets/shop.prod.api/A";

async fn make_token(harness: &Harness, role: &str) -> String {
    let request = json!({"name": role, "role": role, "scope": "shop"}).to_string();
    let (status, _, answer) =
        harness.with(Method::POST, "/v1/tokens", &[], request.as_bytes()).await;
    assert_eq!(status, 201);
    serde_json::from_slice::<Value>(&answer).unwrap()["token"].as_str().unwrap().to_owned()
}

async fn change(harness: &Harness, path: &str, request: Value) -> Value {
    let answer = harness.done(Method::PATCH, path, request.to_string().as_bytes()).await;
    serde_json::from_slice(&answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_beside_a_value_is_shown_and_audited() {
    let harness = Harness::start().await;
    let write = json!({"secrets": {"A": {"value": "aHVudGVyMg==", "message": "first \"key\"",
        "expires_at": "2020-01-31T00:00:00Z", "notes": "ask\nada", "tags": {"team": "web"}},
        "B": {"value": "eA=="}}});
    harness.done(Method::POST, SCOPE, write.to_string().as_bytes()).await;
    let beside = json!({"message": "first \"key\"", "expires_at": "2020-01-31T00:00:00Z",
        "notes": "ask\nada", "tags": {"team": "web"}});
    let has =
        |found: &Value| beside.as_object().unwrap().iter().all(|(key, value)| found[key] == *value);
    let listed = harness.json(SCOPE).await;
    assert!(has(&listed["secrets"][0]), "{listed}");
    assert!(listed["secrets"][1].get("tags").is_none(), "{listed}");
    let read = harness.json(A).await;
    assert!(has(&read) && read["value"] == "aHVudGVyMg==", "{read}");
    let metadata = harness.json(&format!("{A}/metadata")).await;
    assert!(has(&metadata) && metadata.get("value").is_none(), "{metadata}");
    let versions = harness.json(&format!("{A}/versions")).await;
    assert_eq!(versions["versions"][0]["message"], "first \"key\"");
    assert_eq!(versions["versions"][0]["expires_at"], "2020-01-31T00:00:00Z");
    let events = harness.events("write").await;
    let details = events[0]["details"].as_str().unwrap();
    assert!(
        details.contains("; tags team=web; notes of 7 characters; expires 2020-01-31T00:00:00Z; ")
            && details.ends_with(r#"message "first \"key\"""#),
        "{details}"
    );

    let changed = change(
        &harness,
        &format!("{A}/metadata"),
        json!({"tags": {"team": null,
        "pci": ""}, "expires_at": "2099-01-31T00:00:00Z", "message": "renewed"}),
    )
    .await;
    assert_eq!(changed["tags"], json!({"pci": ""}));
    assert_eq!((&changed["version"], &changed["notes"]), (&json!(1), &json!("ask\nada")));
    let events = harness.events("annotate").await;
    assert_eq!((events.len(), &events[0]["version"]), (1, &json!(1)));
    let details = events[0]["details"].as_str().unwrap();
    assert!(details.contains("tags pci= -team; expires 2099"), "{details}");
    assert!(details.ends_with("message \"renewed\""), "{details}");
    // Reading it is a list, not a read of a value.
    assert_eq!(harness.events("read").await.len(), 1);

    for (before, expected) in [("2090-01-01T00:00:00Z", 0), ("2100-01-01T00:00:00Z", 1)] {
        let listed = harness.json(&format!("{SCOPE}?expiring_before={before}")).await;
        assert_eq!(listed["secrets"].as_array().unwrap().len(), expected, "{before}");
    }
    let rotated = json!({"message": "rotated", "expires_at": "2098-01-01T00:00:00Z"});
    harness.done(Method::POST, &format!("{A}/rotate"), rotated.to_string().as_bytes()).await;
    let many = json!({"secrets": {"A": {}, "B": {"message": "both"}}});
    let many = many.to_string();
    harness.done(Method::POST, "/v1/rotate/shop.prod.api", many.as_bytes()).await;
    let back = json!({"version": 2, "message": "it broke"}).to_string();
    harness.done(Method::POST, &format!("{A}/rollback"), back.as_bytes()).await;
    let metadata = harness.json(&format!("{A}/metadata")).await;
    assert_eq!(metadata["message"], "rotated");
    assert_eq!(metadata["expires_at"], "2098-01-01T00:00:00Z");
    let events = harness.events("rollback").await;
    assert!(events[0]["details"].as_str().unwrap().ends_with("message \"it broke\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_bounded_and_holds_no_value() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"hunter2hunter2")]).await;
    let path = format!("{A}/metadata");
    for (request, status) in [
        (json!({}), 400),
        (json!({"message": "alone"}), 400),
        (json!({"notes": ""}), 400),
        (json!({"notes": "x".repeat(2001)}), 400),
        (json!({"notes": "a\u{202e}b"}), 400),
        (json!({"tags": {"a b": "c"}}), 400),
        (json!({"tags": {"a": "b\u{200b}"}}), 400),
        (json!({"tags": {"a": 1}}), 400),
        (json!({"expires_at": "tomorrow"}), 400),
        (json!({"expires_at": "1969-01-01T00:00:00Z"}), 400),
        (json!({"notes": "x", "value": "eA=="}), 400),
    ] {
        let refused = harness.refused(Method::PATCH, &path, request.to_string().as_bytes()).await;
        assert_eq!(refused.status, status, "{request}");
    }
    let tags: serde_json::Map<_, _> = (0..17).map(|at| (format!("k{at}"), json!(""))).collect();
    let many = json!({"tags": tags}).to_string();
    assert_eq!(harness.refused(Method::PATCH, &path, many.as_bytes()).await.status, 413);
    for beside in [
        json!({"message": "was hunter2hunter2"}),
        json!({"notes": "hunter2hunter2"}),
        json!({"tags": {"a": "hunter2hunter2"}}),
    ] {
        let mut value = beside.clone();
        value["value"] = json!("aHVudGVyMmh1bnRlcjIK");
        let write = json!({"secrets": {"A": value}}).to_string();
        let refused = harness.refused(Method::POST, SCOPE, write.as_bytes()).await;
        assert_eq!(refused.status, 400);
        assert!(refused.detail.contains("contain the value itself"), "{refused:?}");
        assert!(!refused.detail.contains("hunter2"), "{refused:?}");
    }
    let conflict = format!("{SCOPE}?inherited=true&expiring_before=2099-01-01T00:00:00Z");
    assert_eq!(harness.refused(Method::GET, &conflict, b"").await.status, 400);
    let metadata = harness.json(&path).await;
    assert_eq!((&metadata["version"], metadata.get("notes")), (&json!(1), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_needs_the_rights_of_lists_and_writes() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let path = format!("{A}/metadata");
    let request = br#"{"notes":"x"}"#;
    for (role, patch) in [("readonly", 403), ("developer", 200)] {
        let token = make_token(&harness, role).await;
        let (status, ..) = harness.ask(Method::GET, &path, Some(&token), b"").await;
        assert_eq!(status, 200, "{role}");
        let (status, ..) = harness.ask(Method::PATCH, &path, Some(&token), request).await;
        assert_eq!(status, patch, "{role}");
    }
    let absent = path.replace("/A/", "/B/");
    assert_eq!(harness.refused(Method::PATCH, &absent, request).await.status, 404);
    assert_eq!(harness.refused(Method::GET, &absent, b"").await.status, 404);
    for (tag, status) in [("\"2\"", 412), ("\"1\"", 200)] {
        let (found, ..) = harness.with(Method::PATCH, &path, &[("if-match", tag)], request).await;
        assert_eq!(found, status, "{tag}");
    }
}
