//! Preconditions: `If-Match`, `If-None-Match` and `if_version`.

use std::collections::BTreeMap;

use contract::Version;
use http::Method;
use serde_json::json;

use super::value;
use crate::harness::{Harness, body, problem};

const SCOPE: &str = "/v1/secrets/shop.prod.api/";
const A: &str = "/v1/secrets/shop.prod.api/A";

#[tokio::test(flavor = "multi_thread")]
async fn reads_honour_conditional_headers() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let etag = async |query: &str| {
        let (_, headers, _) = harness.with(Method::GET, &format!("{A}{query}"), &[], b"").await;
        headers["etag"].to_str().unwrap().to_owned()
    };
    let (one, two) = (etag("?version=1").await, etag("").await);
    assert!(one.starts_with("\"1-") && two.starts_with("\"2-"), "{one} {two}");
    let (list, forged) = (format!("{one}, W/{two}"), "\"2-0123456789abcdef\"");
    let reads = harness.events("read").await.len();
    for (query, headers, status) in [
        ("", &[][..], 200),
        ("", &[("if-none-match", two.as_str())], 304),
        ("", &[("if-none-match", &list)], 304),
        ("", &[("if-none-match", "*")], 304),
        ("", &[("if-none-match", &one)], 200),
        ("?version=1", &[("if-none-match", &one)], 304),
        ("?version=1", &[("if-none-match", &two)], 200),
        // A number alone is no value that a client has.
        ("", &[("if-none-match", "\"2\"")], 200),
        ("", &[("if-none-match", forged)], 200),
        ("", &[("if-match", &two)], 200),
        ("", &[("if-match", forged)], 412),
        ("", &[("if-match", "\"2\"")], 200),
        ("", &[("if-match", "\"1\", \"2\"")], 200),
        ("", &[("if-match", "\"1\"")], 412),
        ("", &[("if-match", "W/\"2\"")], 412),
        ("", &[("if-match", "*")], 200),
        ("", &[("if-match", "2")], 400),
        ("", &[("if-none-match", "\"2")], 400),
    ] {
        let (found, answered, body) =
            harness.with(Method::GET, &format!("{A}{query}"), headers, b"").await;
        assert_eq!(found, status, "{query} {headers:?}");
        let etag = answered.get("etag").map(|it| it.to_str().unwrap());
        let expected = if query.is_empty() { two.as_str() } else { &one };
        assert_eq!(etag, (status < 400).then_some(expected), "{query} {headers:?}");
        assert_eq!(body.is_empty(), status == 304);
    }
    // A 304 or 412 is not a read.
    assert_eq!(harness.events("read").await.len() - reads, 9);
    assert_eq!(
        harness
            .with(Method::GET, "/v1/secrets/shop.prod.api/ABSENT", &[("if-none-match", "*")], b"")
            .await
            .0,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_needs_its_precondition() {
    let harness = Harness::start().await;
    let one = body(&[("A", b"x")]);
    let both = body(&[("A", b"x"), ("B", b"x")]);
    // Each row starts from the state that the previous rows left.
    for (headers, status, active) in [
        (&[("if-match", "*")][..], 412, 0),
        (&[("if-match", "\"1\"")], 412, 0),
        (&[("if-none-match", "*")], 200, 1),
        (&[("if-none-match", "*")], 412, 1),
        (&[("if-match", "\"1\"")], 200, 2),
        (&[("if-match", "\"1\"")], 412, 2),
        (&[("if-match", "\"1\", \"2\"")], 200, 3),
        (&[("if-match", "W/\"3\"")], 412, 3),
        (&[("if-match", "\"x\"")], 412, 3),
        (&[("if-match", "*")], 200, 4),
        (&[("if-none-match", "\"4\"")], 412, 4),
        (&[("if-none-match", "\"3\"")], 200, 5),
        (&[("if-match", "5")], 400, 5),
        (&[("if-match", "\"5\""), ("if-none-match", "\"4\"")], 200, 6),
    ] {
        let (found, answered, answer) =
            harness.with(Method::POST, SCOPE, headers, one.expose()).await;
        assert_eq!(found, status, "{headers:?}: {answer:?}");
        if status == 412 {
            let problem = problem(found, &answered, &answer);
            let says = if active == 0 {
                "there is no such secret".to_owned()
            } else {
                format!("its active version is {active}")
            };
            assert!(
                problem.kind == "/problems/precondition-failed"
                    && problem.detail.contains("shop.prod.api/A"),
                "{problem:?}"
            );
            assert!(problem.detail.contains(&says), "{problem:?}");
        }
        if active > 0 {
            assert_eq!(value(&harness, A).await.version, Version(active), "{headers:?}");
        }
    }
    assert_eq!(
        harness.with(Method::POST, SCOPE, &[("if-match", "\"6\"")], both.expose()).await.0,
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_secret_of_a_write_has_its_own_precondition() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"one")]).await;
    let write = async |a: u64, b: u64, c: Option<u64>| {
        let one = |version: Option<u64>| match version {
            Some(version) => json!({"value": "", "if_version": version}),
            None => json!({"value": ""}),
        };
        let secrets = BTreeMap::from([("A", one(Some(a))), ("B", one(Some(b))), ("C", one(c))]);
        harness
            .with(Method::POST, SCOPE, &[], json!({ "secrets": secrets }).to_string().as_bytes())
            .await
            .0
            .as_u16()
    };
    assert_eq!(write(1, 2, Some(0)).await, 412);
    assert_eq!(write(0, 1, None).await, 412);
    assert_eq!(value(&harness, A).await.version, Version(1), "a partial write");
    assert_eq!(write(1, 1, Some(0)).await, 200);
    assert_eq!(write(2, 2, Some(0)).await, 412);
    assert_eq!(write(2, 2, Some(9_007_199_254_740_992)).await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_changes_honour_preconditions() {
    let harness = Harness::start().await;
    for text in [b"one".as_slice(), b"two"] {
        harness.set("shop.prod.api", &[("A", text)]).await;
    }
    let old = [("if-match", "\"9\"")];
    for (method, path, body) in [
        (Method::POST, format!("{A}/rotate"), &b"{}"[..]),
        (Method::POST, format!("{A}/rollback"), br#"{"version":1}"#),
        (Method::DELETE, A.to_owned(), b""),
    ] {
        assert_eq!(harness.with(method.clone(), &path, &old, body).await.0, 412, "{path}");
        let active = value(&harness, A).await.version;
        let current = format!("\"{active}\"");
        assert_eq!(
            harness.with(method, &path, &[("if-match", &current)], body).await.0,
            200,
            "{path}"
        );
    }
    harness.done(Method::POST, &format!("{A}/undelete"), b"").await;
    assert_eq!(
        harness
            .with(
                Method::POST,
                &format!("{A}/rotate"),
                &[("if-match", "\"1\"")],
                br#"{"if_version":1}"#
            )
            .await
            .0,
        400
    );
    for verb in ["undelete", "destroy"] {
        let body = br#"{"versions":[2]}"#;
        assert_eq!(
            harness.with(Method::POST, &format!("{A}/{verb}"), &old, body).await.0,
            400,
            "{verb}"
        );
    }
}

/// Of many writers that saw the same version, exactly one succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_concurrent_writer_wins() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    for round in 1..=5 {
        let tag = format!("\"{round}\"");
        let bodies: Vec<_> =
            (0..8).map(|at| body(&[("A", format!("{round} {at}").as_bytes())])).collect();
        let headers = [("if-match", tag.as_str())];
        let writes =
            bodies.iter().map(|body| harness.with(Method::POST, SCOPE, &headers, body.expose()));
        let mut statuses: Vec<u16> = futures_util::future::join_all(writes)
            .await
            .into_iter()
            .map(|it| it.0.as_u16())
            .collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    }
    assert_eq!(value(&harness, A).await.version, Version(6));
}
