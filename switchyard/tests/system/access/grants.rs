//! Grants: creating, listing, revoking, and their effect on pods.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{grant, make_token, status};
use crate::agent::TestAgent;
use crate::harness::Harness;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gains_and_loses_what_is_granted_and_revoked() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"two"), ("C", b"three")]).await;
    let web = |query| TestAgent::refused(&harness, "web", query);
    assert!(web("bundle=api-prod").await.detail.contains("no grant names this one"));

    let one = grant(&harness, "shop-prod/web", Some("A")).await;
    let mut agent = TestAgent::connect(&harness, "web", "api-prod", vec![]).await;
    let names = |values: std::collections::BTreeMap<String, Vec<u8>>| {
        values.into_keys().collect::<Vec<_>>()
    };
    let (generation, values) = agent.values().await;
    assert_eq!((generation, names(values)), (1, vec!["A".to_owned()]));
    // The same generation, and one more file, without a new login.
    let two = grant(&harness, "shop-prod/web", Some("B")).await;
    let (generation, values) = agent.values().await;
    assert_eq!((generation, names(values)), (1, vec!["A".to_owned(), "B".to_owned()]));
    // What is not granted moves the bundle, and stays away.
    harness.set("shop.prod.api", &[("C", b"four")]).await;
    let (generation, values) = agent.values().await;
    assert_eq!((generation, names(values)), (2, vec!["A".to_owned(), "B".to_owned()]));
    let take_back = async |id| {
        assert_eq!(
            status(&harness, &harness.token(), Method::DELETE, &format!("/v1/grants/{id}"), b"")
                .await,
            200
        )
    };
    take_back(one).await;
    let (_, values) = agent.values().await;
    assert_eq!(names(values), ["B"]);
    take_back(two).await;
    match agent.next().await {
        Some(contract::stream::ServerMessage::Refused { detail }) => {
            assert!(detail.contains("shop-prod/web"), "{detail}")
        }
        other => panic!("{other:?}"),
    }
    // An agent whose files are of a time with more rights says only which generation they are of.
    grant(&harness, "shop-prod/web", None).await;
    let mut agent =
        TestAgent::connect(&harness, "web", "api-prod", vec![crate::agent::held("api-prod", 2)])
            .await;
    let (_, values) = agent.values().await;
    assert_eq!(names(values), ["A", "B", "C"]);

    let read = harness.events("read").await;
    let details: Vec<_> = read.iter().map(|it| it["details"].as_str().unwrap()).collect();
    assert_eq!(
        details,
        [
            "grant-of-secrets: A",
            "grant-of-secrets: A,B",
            "grant-of-secrets: A,B",
            "grant-of-secrets: B",
            "grant"
        ]
    );
    // Dev's pod with the same service account name has nothing of it.
    assert_eq!(TestAgent::refused(&harness, "dev", "bundle=api-prod").await.status, 403);
}

/// The bundle of a service holds secrets of its environment and its project. An admin of the
/// service may grant the service's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_does_not_reach_further_than_its_grantor() {
    let harness = Harness::start().await;
    for (scope, name) in [("shop", "ROOT"), ("shop.prod", "SHARED"), ("shop.prod.api", "OWN")] {
        harness.set(scope, &[(name, b"x")]).await;
    }
    let names = |values: std::collections::BTreeMap<String, Vec<u8>>| {
        values.into_keys().collect::<Vec<_>>()
    };
    let add = async |token: &str, secret: Option<&str>| {
        let mut request = json!({"subject": {"kind": "service_account", "name": "shop-prod/web"},
            "scope": "shop.prod.api", "access": "read"});
        if let Some(secret) = secret {
            request["secret"] = secret.into();
        }
        let body = request.to_string();
        let (status, _, answer) =
            harness.ask(Method::POST, "/v1/grants", Some(token), body.as_bytes()).await;
        assert_eq!(status, 201, "{answer:?}");
        serde_json::from_slice::<Value>(&answer).unwrap()
    };
    let of_service = make_token(&harness, "service", "admin", Some("shop.prod.api")).await;
    let of_environment = make_token(&harness, "environment", "admin", Some("shop.prod")).await;
    // It may not grant the project's secret as such.
    let direct = json!({"subject": {"kind": "user", "name": "ada"}, "scope": "shop",
        "secret": "ROOT", "access": "read"})
    .to_string();
    let denied = status(&harness, &of_service, Method::POST, "/v1/grants", direct.as_bytes());
    assert_eq!(denied.await, 403);

    for name in ["ROOT", "SHARED", "OWN"] {
        add(&of_service, Some(name)).await;
    }
    let mut agent = TestAgent::connect(&harness, "web", "api-prod", vec![]).await;
    assert_eq!(names(agent.values().await.1), ["OWN"]);
    // The whole bundle is the same: nothing more comes until somebody who may grant it does.
    let whole = add(&of_service, None).await;
    assert_eq!(whole["reach"], "shop.prod.api");
    assert_eq!(names(agent.values().await.1), ["OWN"]);
    let wider = add(&of_environment, None).await;
    assert_eq!((&wider["id"], &wider["reach"]), (&whole["id"], &"shop.prod".into()));
    assert_eq!(names(agent.values().await.1), ["OWN", "SHARED"]);
    assert_eq!(add(&harness.token(), Some("ROOT")).await["reach"], "shop");
    assert_eq!(names(agent.values().await.1), ["OWN", "ROOT", "SHARED"]);
    assert_eq!(add(&of_service, None).await["reach"], "shop.prod");
    let read = harness.events("read").await;
    let details: Vec<_> = read.iter().map(|it| it["details"].as_str().unwrap()).collect();
    assert_eq!(
        details,
        [
            "grant-of-secrets: OWN of the service,ROOT of the service,SHARED of the service",
            "grant: of the service",
            "grant: of environment and service",
            "grant: of environment and service,ROOT",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn meaningless_grants_are_refused() {
    let harness = Harness::start().await;
    let account = |name: &str, scope: &str, access: &str| {
        json!({"subject": {"kind": "service_account", "name": name},
            "scope": scope, "access": access})
    };
    for (request, says) in [
        (account("shop-prod", "shop.prod.api", "read"), "namespace/name"),
        (account("shop-prod/a/b", "shop.prod.api", "read"), "namespace/name"),
        (account("shop-prod/*", "shop.prod.api", "read"), "namespace/name"),
        (account("Shop-prod/web", "shop.prod.api", "read"), "namespace/name"),
        (account("shop-prod/web", "shop.prod", "read"), "not a service"),
        (account("shop-prod/web", "shop.prod.api", "write"), "grant its service account read"),
        (account("shop-prod/web", "shop.prod.api", "owner"), "grant its service account read"),
        (account("shop-dev/web", "shop.prod.api", "read"), "environment dev"),
        (
            json!({"subject": {"kind": "user", "name": ""}, "scope": "shop", "access": "read"}),
            "visible",
        ),
        (
            json!({"subject": {"kind": "user", "name": "ada\u{202e}"}, "scope": "shop",
                "access": "read"}),
            "visible",
        ),
        (
            json!({"subject": {"kind": "group", "name": " devs"}, "scope": "shop",
                "access": "read"}),
            "visible",
        ),
        (
            json!({"subject": {"kind": "user", "name": "ada"}, "scope": "shop", "secret": "A",
                "access": "admin"}),
            "a role applies to a scope",
        ),
        (
            json!({"subject": {"kind": "user", "name": "ada"}, "scope": "shop/*",
                "access": "read"}),
            "line 1",
        ),
        (
            json!({"subject": {"kind": "pod", "name": "ada"}, "scope": "shop", "access": "read"}),
            "line 1",
        ),
    ] {
        let problem =
            harness.refused(Method::POST, "/v1/grants", request.to_string().as_bytes()).await;
        assert!(problem.status == 400 && problem.detail.contains(says), "{request}: {problem:?}");
    }
    assert!(harness.json("/v1/grants").await["grants"].as_array().unwrap().is_empty());
    // The same grant twice is one row and one event.
    assert_eq!(
        grant(&harness, "shop-prod/web", None).await,
        grant(&harness, "shop-prod/web", None).await
    );
    let granted = harness.events("grant").await;
    assert_eq!(granted.iter().filter(|it| it["actor_type"] == "token").count(), 1);
    for path in ["/v1/grants/0", "/v1/grants/99"] {
        assert_eq!(harness.refused(Method::DELETE, path, b"").await.status, 404, "{path}");
    }
    for path in
        ["/v1/grants/x", "/v1/grants/+1", "/v1/grants/-1", "/v1/grants/99999999999999999999"]
    {
        assert_eq!(harness.refused(Method::DELETE, path, b"").await.status, 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paginated() {
    let harness = Harness::start().await;
    for at in 0..5 {
        let scope = if at % 2 == 0 { "shop" } else { "other" };
        let request = json!({"subject": {"kind": "user", "name": format!("u{at}")},
            "scope": scope, "access": "read"});
        let (status, _, _) = harness
            .ask(Method::POST, "/v1/grants", Some(&harness.token()), request.to_string().as_bytes())
            .await;
        assert_eq!(status, 201);
    }
    let names = |body: &Bytes| -> (Vec<String>, Option<String>) {
        let body: Value = serde_json::from_slice(body).unwrap();
        let names = body["grants"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["subject"]["name"].as_str().unwrap().to_owned());
        (names.collect(), body["next"].as_str().map(str::to_owned))
    };
    let shop = make_token(&harness, "shop", "admin", Some("shop")).await;
    let (first, next) =
        names(&harness.ask(Method::GET, "/v1/grants?limit=2", Some(&shop), b"").await.2);
    assert_eq!(first, ["u0", "u2"]);
    let path = format!("/v1/grants?limit=2&cursor={}", next.unwrap());
    assert_eq!(
        names(&harness.ask(Method::GET, &path, Some(&shop), b"").await.2),
        (vec!["u4".to_owned()], None)
    );
    let developer = make_token(&harness, "dev", "developer", None).await;
    assert_eq!(
        names(&harness.ask(Method::GET, "/v1/grants", Some(&developer), b"").await.2),
        (vec![], None)
    );
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=!", "cursor=LTE", "other=1"] {
        assert_eq!(
            harness.refused(Method::GET, &format!("/v1/grants?{query}"), b"").await.status,
            400,
            "{query}"
        );
    }
}
