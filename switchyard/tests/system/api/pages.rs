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

/// The names of a list with their origin and scope, over all pages.
async fn listed(harness: &Harness, token: &str, path: &str) -> Vec<(String, String, String)> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{path}{cursor}");
        let (status, _, answer) = harness.ask(Method::GET, &path, Some(token), b"").await;
        assert_eq!(status, 200, "{path}: {answer:?}");
        let list: SecretList = serde_json::from_slice(&answer).unwrap();
        seen.extend(
            list.secrets
                .into_iter()
                .map(|it| (it.name.to_string(), it.origin.to_string(), it.scope.to_string())),
        );
        match list.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inherited_secrets_are_listed_once_with_their_origin() {
    let harness = Harness::start().await;
    harness.set("shop", &[("A", b""), ("B", b""), ("D", b"")]).await;
    harness.set("shop.prod", &[("B", b""), ("C", b"")]).await;
    harness.set("shop.prod.api", &[("B", b""), ("E", b""), ("F", b"")]).await;
    let token = harness.token();
    let row = |name: &str, scope: &str| {
        let origin = if scope == "shop.prod.api" { "own" } else { "inherited" };
        (name.to_owned(), origin.to_owned(), scope.to_owned())
    };
    let expected = [
        row("A", "shop"),
        row("B", "shop.prod.api"),
        row("C", "shop.prod"),
        row("D", "shop"),
        row("E", "shop.prod.api"),
        row("F", "shop.prod.api"),
    ];
    for limit in [1, 2, 3, 5, 1000] {
        let path = format!("/v1/secrets/shop.prod.api/?inherited=true&limit={limit}");
        assert_eq!(listed(&harness, &token, &path).await, expected, "limit {limit}");
    }
    let own = listed(&harness, &token, "/v1/secrets/shop.prod.api/?limit=1").await;
    assert_eq!(own, [&expected[1], &expected[4], &expected[5]].map(Clone::clone));
    // A deleted secret hides nothing: pods get the wider one.
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/B", b"").await;
    let both = "/v1/secrets/shop.prod.api/?inherited=true&deleted=true";
    assert_eq!(listed(&harness, &token, both).await[1], row("B", "shop.prod"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_never_had_a_secret_does_not_exist() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"")]).await;
    let status = async |scope: &str, query: &str| {
        let path = format!("/v1/secrets/{scope}/{query}");
        harness.ask(Method::GET, &path, Some(&harness.token()), b"").await.0.as_u16()
    };
    assert_eq!(status("shop.prod.apo", "").await, 404);
    assert_eq!(status("shop.prdo", "?inherited=true").await, 404);
    assert_eq!(status("shp", "?deleted=true").await, 404);
    // Something is below it.
    assert_eq!((status("shop.prod", "").await, status("shop", "").await), (200, 200));
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await;
    assert_eq!(status("shop.prod.api", "").await, 200, "its secrets can be restored");
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
    harness.set("shop.prod.api", &[("FIRST", b"x")]).await;
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
