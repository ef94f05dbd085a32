//! Pagination and rate limits.

use std::collections::BTreeSet;

use contract::api::SecretList;
use http::Method;
use serde_json::Value;

use crate::harness::{Harness, problem};

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_paginated() {
    let harness = Harness::start().await;
    // In an environment scope, because no bundle could hold as many.
    let names: Vec<String> = (0..1203).map(|at| format!("N{at:04}")).collect();
    for some in names.chunks(500) {
        let values: Vec<(&str, &[u8])> =
            some.iter().map(|name| (name.as_str(), b"x".as_slice())).collect();
        harness.set("shop.prod", &values).await;
    }
    for (query, pages) in [("?", 13), ("?limit=1000&", 2), ("?limit=401&", 3), ("?limit=1&", 0)] {
        let (mut seen, mut count, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let path = format!("/v1/secrets/shop.prod/{query}{cursor}");
            let list: SecretList =
                serde_json::from_slice(&harness.done(Method::GET, &path, b"").await).unwrap();
            seen.extend(list.secrets.into_iter().map(|secret| secret.name.to_string()));
            count += 1;
            match list.next {
                Some(next) if pages > 0 || count < 3 => cursor = format!("cursor={next}"),
                other => {
                    assert_eq!(other.is_none(), pages > 0);
                    break;
                }
            }
        }
        if pages > 0 {
            assert_eq!((count, &seen), (pages, &names), "{query}");
        } else {
            assert_eq!(seen, names[..3]);
        }
    }
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=x",
        "cursor=",
        "page=2",
        "deleted=maybe",
        "limit=1&limit=2",
    ] {
        assert_eq!(
            harness
                .refused(Method::GET, &format!("/v1/secrets/shop.prod/?{query}"), b"")
                .await
                .status,
            400,
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_between_pages_do_not_shift_them() {
    let harness = Harness::start().await;
    harness.set("shop.prod", &[("B", b""), ("D", b""), ("F", b"")]).await;
    let first = harness.json("/v1/secrets/shop.prod/?limit=2").await;
    harness.set("shop.prod", &[("A", b""), ("C", b""), ("E", b"")]).await;
    let next = harness
        .json(&format!("/v1/secrets/shop.prod/?limit=5&cursor={}", first["next"].as_str().unwrap()))
        .await;
    let names = |list: &Value| {
        list["secrets"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&first), names(&next)),
        (vec!["B".into(), "D".into()], vec!["E".into(), "F".into()])
    );
    assert!(next.get("next").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_bundles_are_paginated() {
    let harness = Harness::start().await;
    for _ in 0..7 {
        harness.set("shop.prod.api", &[("A", b"x")]).await;
    }
    let path = "/v1/secrets/shop.prod.api/A/versions";
    let mut seen = Vec::new();
    let mut page = harness.json(&format!("{path}?limit=3")).await;
    loop {
        seen.extend(
            page["versions"].as_array().unwrap().iter().map(|it| it["version"].as_u64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        page = harness.json(&format!("{path}?limit=3&cursor={next}")).await;
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    for at in 0..5 {
        harness.set(&format!("shop.prod.s{at}"), &[("A", b"x")]).await;
    }
    let (mut seen, mut page) = (BTreeSet::new(), harness.json("/v1/bundles?limit=4").await);
    loop {
        for bundle in page["bundles"].as_array().unwrap() {
            assert!(seen.insert(bundle["scope"].to_string()));
        }
        let Some(next) = page["next"].as_str() else { break };
        page = harness.json(&format!("/v1/bundles?limit=4&cursor={next}")).await;
    }
    assert_eq!(seen.len(), 6);
    // A cursor is only valid for its own list.
    let of_versions =
        harness.json(&format!("{path}?limit=1")).await["next"].as_str().unwrap().to_owned();
    assert_eq!(
        harness
            .refused(Method::GET, &format!("/v1/bundles?cursor={of_versions}"), b"")
            .await
            .status,
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_are_per_principal() {
    // So slow that no budget refills during the test.
    let harness = Harness::start_with(&["--rate-limit", "1", "--rate-burst", "40"]).await;
    let (_, _, made) =
        harness.with(Method::POST, "/v1/tokens", &[], br#"{"name":"second","role":"admin"}"#).await;
    let token =
        serde_json::from_slice::<Value>(&made).unwrap()["token"].as_str().unwrap().to_owned();
    let path = "/v1/secrets/shop.prod.api/";
    let mut refused = None;
    for _ in 0..400 {
        let (status, headers, body) = harness.ask(Method::GET, path, Some(&token), b"").await;
        if status != 200 {
            refused = Some((problem(status, &headers, &body), headers));
            break;
        }
    }
    let (problem, headers) = refused.expect("a burst of 400 was let through");
    assert_eq!((problem.status, problem.kind.as_str()), (429, "/problems/too-many-requests"));
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    // Writes and other principals have their own budgets. Health is unlimited.
    assert_eq!(
        harness
            .ask(Method::POST, path, Some(&token), crate::harness::body(&[("A", b"x")]).expose())
            .await
            .0,
        200
    );
    assert_eq!(harness.ask(Method::GET, path, Some(&harness.token()), b"").await.0, 200);
    assert_eq!(harness.ask(Method::GET, "/v1/health", None, b"").await.0, 200);
}
