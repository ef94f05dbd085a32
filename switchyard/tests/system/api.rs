//! The REST API.

mod changes;
mod conditions;
mod http_semantics;
mod idempotency;
mod metadata;
mod pages;
mod read_many;
mod references;

use contract::api::{Deleted, SecretList, SecretValue, VersionList, VersionState};
use contract::layout::{MAX_BUNDLE_SECRETS, MAX_VALUE_BYTES};
use contract::{Generation, Version};
use http::Method;

use crate::harness::{Harness, body, problem};

async fn value(harness: &Harness, path: &str) -> SecretValue {
    serde_json::from_slice(&harness.done(Method::GET, path, b"").await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lifecycle_of_a_secret() {
    let harness = Harness::start().await;
    let written = harness.set("shop.prod.api", &[("A", b"one"), ("B", b"two")]).await;
    assert_eq!(written.versions.values().copied().collect::<Vec<_>>(), [Version(1), Version(1)]);
    assert_eq!(written.bundles.len(), 1);
    assert_eq!(
        (written.bundles[0].bundle.as_str(), written.bundles[0].generation),
        ("api-prod", Generation(1))
    );
    let written = harness.set("shop.prod.api", &[("A", b"three")]).await;
    assert_eq!((written.versions["A"], written.bundles[0].generation), (Version(2), Generation(2)));

    let read = value(&harness, "/v1/secrets/shop.prod.api/A").await;
    assert_eq!((read.value.expose(), read.version), (b"three".as_slice(), Version(2)));
    // With and without a trailing slash.
    for path in ["/v1/secrets/shop.prod.api", "/v1/secrets/shop.prod.api/"] {
        let list: SecretList =
            serde_json::from_slice(&harness.done(Method::GET, path, b"").await).unwrap();
        let names: Vec<_> =
            list.secrets.iter().map(|secret| (secret.name.as_str(), secret.version.0)).collect();
        assert_eq!(names, [("A", 2), ("B", 1)]);
    }
    let versions: VersionList = serde_json::from_slice(
        &harness.done(Method::GET, "/v1/secrets/shop.prod.api/A/versions", b"").await,
    )
    .unwrap();
    let states: Vec<_> = versions
        .versions
        .iter()
        .map(|one| (one.version.0, one.state, one.created_by.as_str()))
        .collect();
    assert_eq!(
        states,
        [
            (2, VersionState::Active, "token:bootstrap"),
            (1, VersionState::Archived, "token:bootstrap")
        ]
    );
    let bundle = harness.json("/v1/bundles/shop.prod.api").await;
    assert_eq!(
        bundle,
        serde_json::json!({"scope": "shop.prod.api", "bundle": "api-prod", "generation": 2,
            "tag": bundle["tag"], "keys": ["A", "B"]})
    );

    let deleted: Deleted = serde_json::from_slice(
        &harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await,
    )
    .unwrap();
    assert_eq!(deleted.bundles[0].generation, Generation(3));
    for path in ["/v1/secrets/shop.prod.api/A", "/v1/secrets/shop.prod.api/A/versions"] {
        assert_eq!(harness.refused(Method::GET, path, b"").await.status, 404);
    }
    assert_eq!(
        harness.refused(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await.status,
        404
    );
    // Version numbers are never reused.
    let again = harness.set("shop.prod.api", &[("A", b"four")]).await;
    assert_eq!((again.versions["A"], again.bundles[0].generation), (Version(3), Generation(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_arbitrary_bytes() {
    let harness = Harness::start().await;
    let large = vec![0xff; MAX_VALUE_BYTES];
    let values: &[(&str, &[u8])] = &[
        ("EMPTY", b""),
        ("NUL", b"a\0b"),
        ("NEWLINES", b"\nx\n\n"),
        ("BINARY", b"\xff\xfe\x80"),
        ("LARGE", &large),
    ];
    harness.set("shop.prod.api", values).await;
    for (name, expected) in values {
        assert_eq!(
            value(&harness, &format!("/v1/secrets/shop.prod.api/{name}")).await.value.expose(),
            *expected,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_narrower_scope_wins_and_affected_bundles_advance() {
    let harness = Harness::start().await;
    assert!(harness.set("shop", &[("A", b"project"), ("P", b"p")]).await.bundles.is_empty());
    assert!(harness.set("shop.prod", &[("A", b"environment")]).await.bundles.is_empty());
    harness.set("shop.prod.api", &[("A", b"service")]).await;
    harness.set("shop.prod.web", &[("W", b"w")]).await;
    harness.set("shop.dev.api", &[("D", b"d")]).await;
    harness.set("other.prod.api", &[("O", b"o")]).await;
    let keys =
        async |scope: &str| harness.json(&format!("/v1/bundles/{scope}")).await["keys"].to_string();
    assert_eq!(keys("shop.prod.api").await, r#"["A","P"]"#);
    assert_eq!(keys("shop.prod.web").await, r#"["A","P","W"]"#);
    assert_eq!(keys("shop.dev.api").await, r#"["A","D","P"]"#);
    assert_eq!(keys("other.prod.api").await, r#"["O"]"#);

    // In prod a narrower secret shadows this one, so only dev's bundle changes.
    let moved = |written: contract::api::Written| {
        written.bundles.iter().map(|one| one.scope.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(moved(harness.set("shop", &[("A", b"project 2")]).await), ["shop.dev.api"]);
    assert_eq!(
        moved(harness.set("shop.prod", &[("A", b"environment 2")]).await),
        ["shop.prod.web"]
    );
    assert_eq!(
        moved(harness.set("shop", &[("P", b"p 2")]).await),
        ["shop.prod.api", "shop.prod.web", "shop.dev.api"]
    );
    // Several keys in one write are one generation. A delete unshadows the wider secret.
    let before = harness.json("/v1/bundles/shop.prod.api").await["generation"].as_u64().unwrap();
    harness.set("shop.prod.api", &[("X", b"1"), ("Y", b"2"), ("Z", b"3")]).await;
    assert_eq!(harness.json("/v1/bundles/shop.prod.api").await["generation"], before + 1);
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await;
    assert!(keys("shop.prod.api").await.contains(r#""A""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_a_problem_document_with_the_reason() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    let big = vec![0; MAX_VALUE_BYTES + 1];
    let large = body(&[("TOO_BIG", &big)]);
    let huge = vec![b' '; (16 << 20) + 1];
    let cases: Vec<(Method, &str, &[u8], u16, &str)> = vec![
        (Method::GET, "/", b"", 404, "nothing at /"),
        (Method::GET, "/v1/secrets", b"", 404, "nothing at"),
        (Method::PUT, "/v1/secrets/shop.prod.api/A", b"", 405, "PUT"),
        (Method::POST, "/v1/health", b"", 405, "POST"),
        (Method::GET, "/v1/secrets/Shop.prod.api/", b"", 400, "Shop"),
        (Method::GET, "/v1/secrets/shop.prod.api.x/", b"", 400, "more than three parts"),
        (Method::GET, "/v1/secrets/..%2fshop/A", b"", 400, "../shop"),
        (Method::GET, "/v1/secrets/shop.prod.api/%2e%2e", b"", 400, "\"..\""),
        (Method::GET, "/v1/secrets/shop.prod.api/1A", b"", 400, "1A"),
        (Method::GET, "/v1/secrets/shop.prod.api/%ff", b"", 400, "UTF-8"),
        (Method::GET, "/v1/secrets/shop.prod.api/ABSENT", b"", 404, "shop.prod.api/ABSENT"),
        (Method::GET, "/v1/secrets/shop.prod.web/A", b"", 404, "shop.prod.web/A"),
        (Method::DELETE, "/v1/secrets/shop.prod.api/ABSENT", b"", 404, "ABSENT"),
        (Method::POST, "/v1/secrets/shop.prod.api/", b"{\"secrets\":", 400, "line 1"),
        (
            Method::POST,
            "/v1/secrets/shop.prod.api/",
            br#"{"secrets":{"..data":{"value":""}}}"#,
            400,
            "..data",
        ),
        (
            Method::POST,
            "/v1/secrets/shop.prod.api/",
            br#"{"secrets":{"A":{"value":"hunter2?"}}}"#,
            400,
            "line 1",
        ),
        (Method::POST, "/v1/secrets/shop.prod.api/", large.expose(), 413, "TOO_BIG"),
        (Method::POST, "/v1/secrets/shop.prod.api/", &huge, 413, "longer than"),
        (Method::GET, "/v1/bundles/shop.prod", b"", 400, "not a service"),
        (Method::GET, "/v1/bundles/shop.prod.web", b"", 404, "shop.prod.web"),
        (Method::GET, "/v1/audit?limit=x", b"", 400, "limit"),
        (Method::GET, "/v1/audit?what=x", b"", 400, "limit"),
    ];
    for (method, path, body, status, says) in cases {
        let problem = harness.refused(method.clone(), path, body).await;
        assert_eq!(problem.status, status, "{method} {path}: {problem:?}");
        assert!(problem.detail.contains(says), "{method} {path}: {}", problem.detail);
        assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
    }
    assert_eq!(
        harness.json("/v1/bundles/shop.prod.api").await["generation"],
        1,
        "a refused request changed something"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_too_large_for_a_pod_is_refused_atomically() {
    let harness = Harness::start().await;
    let value = vec![1; MAX_VALUE_BYTES];
    let names: Vec<String> = (0..8).map(|at| format!("BIG_{at}")).collect();
    let values: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), value.as_slice())).collect();
    harness.set("shop.prod.api", &values).await;
    let more = body(&[("ONE_MORE", b"x")]);
    let problem = harness.refused(Method::POST, "/v1/secrets/shop.prod.api/", more.expose()).await;
    assert!(problem.status == 413 && problem.detail.contains("shop.prod.api"), "{problem:?}");
    let path = "/v1/secrets/shop.prod.api/ONE_MORE";
    assert_eq!(harness.refused(Method::GET, path, b"").await.status, 404);
    // A wider scope can be written: the full bundle is stuck, and says so.
    for scope in ["shop.prod", "shop"] {
        harness.done(Method::POST, &format!("/v1/secrets/{scope}/"), more.expose()).await;
        let bundle = harness.json("/v1/bundles/shop.prod.api").await;
        assert_eq!(bundle["generation"], 1);
        assert!(bundle["stuck"].as_str().unwrap().contains("the maximum of a pod"), "{bundle}");
        let path = format!("/v1/secrets/{scope}/ONE_MORE");
        harness.done(Method::DELETE, &path, b"").await;
        let bundle = harness.json("/v1/bundles/shop.prod.api").await;
        assert_eq!(
            (&bundle["generation"], &bundle["stuck"]),
            (&1.into(), &serde_json::Value::Null)
        );
    }
    let names: Vec<String> = (0..MAX_BUNDLE_SECRETS).map(|at| format!("N{at}")).collect();
    let values: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), b"x".as_slice())).collect();
    harness.set("shop.prod.web", &values).await;
    assert_eq!(
        harness.refused(Method::POST, "/v1/secrets/shop.prod.web/", more.expose()).await.status,
        413
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_valid_token_are_refused() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    let token = harness.token();
    let mut wrong = token.clone();
    wrong.replace_range(20..21, if &token[20..21] == "0" { "1" } else { "0" });
    for path in [
        "/v1/secrets/shop.prod.api/",
        "/v1/secrets/shop.prod.api/A",
        "/v1/audit",
        "/v1/bundles/shop.prod.api",
        "/v1/secrets/NOT.VALID/",
    ] {
        // A pod's token is not an API token.
        for token in [
            None,
            Some(wrong.as_str()),
            Some(&token[..token.len() - 1]),
            Some("api-one"),
            Some("x"),
        ] {
            let (status, headers, body) = harness.ask(Method::GET, path, token, b"").await;
            assert_eq!(problem(status, &headers, &body).status, 401, "{path}");
            assert_eq!(headers["www-authenticate"], "Bearer");
        }
    }
    let refused = harness.events("login").await;
    assert_eq!(refused.len(), 20, "{refused:?}");
    assert!(refused.iter().all(|event| event["outcome"] == "denied"
        && event["address"] == "127.0.0.1"
        && event["user_agent"] == "a test"));
    assert!(!format!("{refused:?}").contains(&wrong));
    // Health needs no token.
    assert_eq!(harness.ask(Method::GET, "/v1/health", None, b"").await.0, 200);
}
