//! Methods, media types, size limits and the OpenAPI document.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use crate::harness::{Harness, body, problem};

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_matches_the_routes() {
    let harness = Harness::start().await;
    let (status, headers, document) = harness.ask(Method::GET, "/v1/openapi.json", None, b"").await;
    assert_eq!(
        (status.as_u16(), &headers["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        let documented: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let undocumented = ["TRACE", "OPTIONS", "PATCH"];
        for method in undocumented.into_iter().filter(|it| !documented.contains(*it)) {
            let (status, headers, answer) =
                harness.with(method.parse().unwrap(), path, &[], b"").await;
            assert_eq!(problem(status, &headers, &answer).status, 405, "{method} {path}");
            let mut allowed: BTreeSet<String> = headers["allow"]
                .to_str()
                .unwrap()
                .split(',')
                .map(|it| it.trim().to_owned())
                .collect();
            // GET implies HEAD.
            assert_eq!(allowed.remove("HEAD"), documented.contains("GET"), "{path}");
            assert_eq!(allowed, documented, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_a_body() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let path = "/v1/secrets/shop.prod.api/A";
    let (status, headers, answer) = harness.with(Method::HEAD, path, &[], b"").await;
    let (_, of_get, body) = harness.with(Method::GET, path, &[], b"").await;
    assert!(status == 200 && answer.is_empty() && headers["etag"] == of_get["etag"]);
    assert_eq!(
        (&headers["content-length"], headers["content-length"].to_str().unwrap()),
        (&of_get["content-length"], body.len().to_string().as_str())
    );
    let (status, headers, answer) =
        harness.with(Method::HEAD, "/v1/secrets/shop.prod.api/ABSENT", &[], b"").await;
    assert!(
        status == 404 && answer.is_empty() && headers["content-type"] == "application/problem+json"
    );
}

/// The response arrives although the client is still sending a body that will not be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_unread_body_still_gets_a_response() {
    let harness = Harness::start().await;
    let large = vec![b' '; 12 << 20];
    for (path, token, status) in [
        ("/v1/secrets/shop.prod.api/", None, 401),
        ("/v1/secrets/shop.prod.api/", Some("wrong"), 401),
        ("/v1/login", None, 404),
        ("/v1/nowhere", None, 404),
        ("/v1/health", None, 405),
        ("/v1/secrets/NOT.VALID/", Some(harness.token().as_str()), 400),
    ] {
        for _ in 0..3 {
            let (found, headers, answer) = harness.ask(Method::POST, path, token, &large).await;
            assert_eq!(problem(found, &headers, &answer).status, status, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn media_types_and_sizes_are_enforced() {
    let harness = Harness::start().await;
    let write = body(&[("A", b"x")]);
    let scope = "/v1/secrets/shop.prod.api/";
    for (headers, status) in [
        (&[("content-type", "text/plain")][..], 415),
        (&[("content-type", "application/x-www-form-urlencoded")], 415),
        (&[("content-encoding", "gzip")], 415),
        (&[("content-type", "application/json; charset=utf-8")], 200),
        (&[], 200),
    ] {
        let (found, answered, answer) =
            harness.with(Method::POST, scope, headers, write.expose()).await;
        assert_eq!(found, status, "{headers:?}");
        if status == 415 {
            assert_eq!(problem(found, &answered, &answer).kind, "/problems/unsupported-media-type");
        }
    }
    let long = format!("{scope}?cursor={}", "x".repeat(9000));
    assert_eq!(harness.refused(Method::GET, &long, b"").await.kind, "/problems/uri-too-long");
    let large = vec![b' '; (64 << 10) + 1];
    for (path, body) in [
        (format!("{scope}A/rollback"), &large),
        (format!("{scope}A/destroy"), &large),
        ("/v1/grants".to_owned(), &large),
    ] {
        assert_eq!(harness.refused(Method::POST, &path, body).await.status, 413, "{path}");
    }
    assert_eq!(
        harness
            .refused(Method::POST, &format!("{scope}A/rotate"), &vec![b' '; (2 << 20) + 1])
            .await
            .status,
        413
    );
}
