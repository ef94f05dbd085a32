//! Roles, tokens and canonical names through the API.

mod bootstrap;
mod check;
mod existence;
mod forgeries;
mod grants;
mod last_reads;
mod lifetimes;
mod readers;
mod reads;
mod search;
mod workloads;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Harness, body, problem};

async fn make_token(harness: &Harness, name: &str, role: &str, scope: Option<&str>) -> String {
    let mut request = json!({"name": name, "role": role});
    if let Some(scope) = scope {
        request["scope"] = json!(scope);
    }
    let (status, _, answer) = harness
        .ask(Method::POST, "/v1/tokens", Some(&harness.token()), request.to_string().as_bytes())
        .await;
    assert_eq!(status, 201, "{answer:?}");
    serde_json::from_slice::<Value>(&answer).unwrap()["token"].as_str().unwrap().to_owned()
}

async fn grant(harness: &Harness, account: &str, secret: Option<&str>) -> u64 {
    let mut request = json!({"subject": {"kind": "service_account", "name": account},
        "scope": "shop.prod.api", "access": "read"});
    if let Some(secret) = secret {
        request["secret"] = json!(secret);
    }
    let (status, _, answer) = harness
        .ask(Method::POST, "/v1/grants", Some(&harness.token()), request.to_string().as_bytes())
        .await;
    assert_eq!(status, 201, "{answer:?}");
    serde_json::from_slice::<Value>(&answer).unwrap()["id"].as_u64().unwrap()
}

async fn status(
    harness: &Harness,
    token: &str,
    method: Method,
    path: &str,
    body: &[u8],
) -> StatusCode {
    harness.ask(method, path, Some(token), body).await.0
}

/// The table of roles, checked through the API.
#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_exactly_what_the_table_says() {
    let harness = Harness::start().await;
    for scope in ["shop", "shop.prod", "shop.prod.api"] {
        harness.set(scope, &[("A", b"hunter2")]).await;
    }
    let write = body(&[("A", b"hunter2")]);
    // Reads and writes in project, environment and service scope; then the audit log, grants and
    // tokens.
    let rows = [
        ("readonly", [403, 403, 403], [403, 403, 403], 403),
        ("developer", [403, 403, 200], [403, 403, 200], 403),
        ("admin", [200, 200, 200], [200, 200, 200], 200),
        ("owner", [200, 200, 200], [200, 200, 200], 200),
    ];
    for (role, reads, writes, rules) in rows {
        let token = make_token(&harness, role, role, None).await;
        for ((scope, read), written) in
            ["shop", "shop.prod", "shop.prod.api"].into_iter().zip(reads).zip(writes)
        {
            let (list, one) = (format!("/v1/secrets/{scope}/"), format!("/v1/secrets/{scope}/A"));
            assert_eq!(
                status(&harness, &token, Method::GET, &list, b"").await,
                200,
                "{role} {scope}"
            );
            assert_eq!(
                status(&harness, &token, Method::GET, &format!("{one}/versions"), b"").await,
                200,
                "{role} {scope}"
            );
            let (code, headers, answer) = harness.ask(Method::GET, &one, Some(&token), b"").await;
            assert_eq!(code, read, "{role} {scope}");
            if read == 403 {
                let problem = problem(code, &headers, &answer);
                assert!(
                    problem.detail.contains("rule role-too-low") && problem.detail.contains(role),
                    "{problem:?}"
                );
                assert!(problem.detail.contains("enclii tokens create"), "{problem:?}");
            }
            assert_eq!(
                status(&harness, &token, Method::POST, &list, write.expose()).await,
                written,
                "{role} {scope}"
            );
        }
        assert_eq!(status(&harness, &token, Method::GET, "/v1/audit", b"").await, rules, "{role}");
        let runs = if role == "owner" { 200 } else { 403 };
        assert_eq!(
            status(&harness, &token, Method::GET, "/v1/admin/rekey", b"").await,
            runs,
            "{role}"
        );
        let ask = json!({"name": format!("by-{role}"), "role": "readonly", "ttl_seconds": 60})
            .to_string();
        let made = if rules == 200 { 201 } else { 403 };
        assert_eq!(
            status(&harness, &token, Method::POST, "/v1/tokens", ask.as_bytes()).await,
            made,
            "{role}"
        );
    }
    // An admin makes no owner, and nothing that outlives its own token.
    let admin = make_token(&harness, "admin-2", "admin", None).await;
    let ask = json!({"name": "climber", "role": "owner", "ttl_seconds": 60}).to_string();
    let (code, headers, answer) =
        harness.ask(Method::POST, "/v1/tokens", Some(&admin), ask.as_bytes()).await;
    assert!(problem(code, &headers, &answer).detail.contains("rule not-more-than-own"));
    let ask = json!({"name": "heir", "role": "readonly", "ttl_seconds": 7_776_000}).to_string();
    let (code, headers, answer) =
        harness.ask(Method::POST, "/v1/tokens", Some(&admin), ask.as_bytes()).await;
    assert!(problem(code, &headers, &answer).detail.contains("rule no-longer-than-own"));

    let denied = harness.events("denied").await;
    assert!(
        denied.iter().any(|it| it["actor_id"] == "developer"
            && it["resource_id"] == "A"
            && it["scope"] == "shop"),
        "{denied:?}"
    );
    assert!(
        denied.iter().all(
            |it| it["outcome"] == "denied" && it["details"].as_str().unwrap().contains("rule ")
        ),
        "{denied:?}"
    );
    let read = harness.events("read").await;
    assert_eq!(read[0]["details"], "role developer everywhere, of the token");
}

/// A token for dev, and many spellings of prod.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_canonicalized_before_authorization() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    harness.set("shop.dev.api", &[("A", b"fine")]).await;
    let token = make_token(&harness, "dev", "admin", Some("shop.dev")).await;
    assert_eq!(status(&harness, &token, Method::GET, "/v1/secrets/shop.dev.api/A", b"").await, 200);
    // An escape that says nothing else is the same name.
    assert_eq!(
        status(&harness, &token, Method::GET, "/v1/secrets/shop%2edev%2Eapi/%41", b"").await,
        200
    );
    let paths = [
        "shop.prod.api/A",
        "shop%2eprod%2eapi/A",
        "shop.dev.api/..%2f..%2fshop.prod.api%2fA",
        "shop.dev.api/../../shop.prod.api/A",
        "shop.dev.api%2f..%2fshop.prod.api/A",
        "..%2fshop.prod.api/A",
        "shop.dev.api/../shop.prod.api/A",
        "shop.dev..%2fprod.api/A",
        "shop.*.api/A",
        "shop.%2a.api/A",
        "shop.+.api/A",
        "shop.prod.api%20/A",
        "%20shop.prod.api/A",
        "shop.prod.api+/A",
        "Shop.Prod.Api/A",
        "SHOP.DEV.API/A",
        "shop.prod.api%00/A",
        "shop.prod.api%0a/A",
        "shop%252eprod%252eapi/A",
        "shop.prod.api./A",
        ".shop.prod.api/A",
        "shop..prod.api/A",
        // A Cyrillic o, a full-width s, a zero-width space, a dot that is none, a letter with a
        // mark.
        "sh%D0%BEp.prod.api/A",
        "%EF%BD%93hop.prod.api/A",
        "shop.prod%E2%80%8B.api/A",
        "shop%E3%80%82prod.api/A",
        "shop.prod.%C3%A1pi/A",
        "shop.dev.api/%EF%BC%A1",
        "shop.dev.api/A%20",
        "shop.dev.api/A%2f..%2fA",
        "shop.dev.api/..",
        "shop.dev.api/%2e%2e",
        "shop.dev.api;shop.prod.api/A",
        "shop.prod.api%3b/A",
    ];
    for path in paths {
        let (code, headers, answer) =
            harness.ask(Method::GET, &format!("/v1/secrets/{path}"), Some(&token), b"").await;
        let problem = problem(code, &headers, &answer);
        assert!(matches!(problem.status, 400 | 403 | 404), "{path}: {problem:?}");
        assert!(
            !answer.windows(7).any(|it| it == b"hunter2")
                && !answer.windows(8).any(|it| it == b"aHVudGVy"),
            "{path}"
        );
    }
    assert_eq!(
        harness.events("read").await.iter().filter(|it| it["scope"] == "shop.prod.api").count(),
        0
    );
    // A list of what is forbidden is as forbidden as the thing.
    for path in [
        "/v1/secrets/shop.prod.api/",
        "/v1/secrets/shop/",
        "/v1/bundles/shop.prod.api",
        "/v1/secrets/shop.prod.api/A/versions",
        "/v1/audit?scope=shop.prod",
        "/v1/audit/export",
    ] {
        assert_eq!(status(&harness, &token, Method::GET, path, b"").await, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_health_the_openapi_document_and_login_need_no_credential() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    let routes = [
        (Method::GET, "/v1/secrets/shop.prod.api/"),
        (Method::POST, "/v1/secrets/shop.prod.api/"),
        (Method::GET, "/v1/secrets/shop.prod.api/A"),
        (Method::DELETE, "/v1/secrets/shop.prod.api/A"),
        (Method::GET, "/v1/secrets/shop.prod.api/A/versions"),
        (Method::POST, "/v1/secrets/shop.prod.api/A/rotate"),
        (Method::POST, "/v1/secrets/shop.prod.api/A/rollback"),
        (Method::POST, "/v1/secrets/shop.prod.api/A/undelete"),
        (Method::POST, "/v1/secrets/shop.prod.api/A/destroy"),
        (Method::GET, "/v1/bundles"),
        (Method::GET, "/v1/bundles/shop.prod.api"),
        (Method::GET, "/v1/bundles/shop.prod.api/values"),
        (Method::GET, "/v1/grants"),
        (Method::POST, "/v1/grants"),
        (Method::DELETE, "/v1/grants/1"),
        (Method::GET, "/v1/tokens"),
        (Method::POST, "/v1/tokens"),
        (Method::DELETE, "/v1/tokens/bootstrap"),
        (Method::POST, "/v1/access/check"),
        (Method::GET, "/v1/access/readers?scope=shop"),
        (Method::GET, "/v1/access/reads?scope=shop&secret=A"),
        (Method::POST, "/v1/logout"),
        (Method::GET, "/v1/whoami"),
        (Method::GET, "/v1/audit"),
        (Method::GET, "/v1/admin/rekey"),
        (Method::POST, "/v1/admin/rekey"),
    ];
    for (method, path) in routes {
        for token in [None, Some("enclii_00"), Some("api-one")] {
            assert_eq!(
                harness.ask(method.clone(), path, token, b"{}").await.0,
                401,
                "{method} {path}"
            );
        }
    }
    for path in ["/v1/health", "/v1/openapi.json"] {
        assert_eq!(harness.ask(Method::GET, path, None, b"").await.0, 200);
    }
    // Without a provider nobody logs in.
    assert_eq!(harness.ask(Method::GET, "/v1/login", None, b"").await.0, 404);
    assert_eq!(
        harness.ask(Method::POST, "/v1/login", None, br#"{"id_token":"a.b.c"}"#).await.0,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_from_creation_to_revocation() {
    let harness = Harness::start().await;
    let token = make_token(&harness, "ci", "developer", Some("shop")).await;
    let who: Value =
        serde_json::from_slice(&harness.ask(Method::GET, "/v1/whoami", Some(&token), b"").await.2)
            .unwrap();
    assert_eq!(
        (&who["kind"], &who["name"], &who["roles"]),
        (&json!("token"), &json!("ci"), &json!([{"role": "developer", "scope": "shop"}]))
    );
    let listed = harness.json("/v1/tokens").await;
    let names: Vec<_> = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["bootstrap", "ci"]);
    assert!(!listed.to_string().contains(&token[10..]));
    // A valid name is given once, and again when it is free.
    let ask = json!({"name": "ci", "role": "readonly"}).to_string();
    assert_eq!(harness.refused(Method::POST, "/v1/tokens", ask.as_bytes()).await.status, 409);
    assert_eq!(status(&harness, &harness.token(), Method::DELETE, "/v1/tokens/ci", b"").await, 204);
    assert_eq!(status(&harness, &token, Method::GET, "/v1/whoami", b"").await, 401);
    make_token(&harness, "ci", "readonly", None).await;
    assert_eq!(status(&harness, &token, Method::GET, "/v1/whoami", b"").await, 401);
    for ask in [
        json!({"name": "x", "role": "readonly", "ttl_seconds": 59}),
        json!({"name": "x", "role": "readonly", "ttl_seconds": 7_776_001}),
        json!({"name": "../x", "role": "readonly"}),
        json!({"name": "x", "role": "root"}),
        json!({"name": "x", "role": "readonly", "scope": "Shop"}),
        json!({"name": "x", "role": "readonly", "more": 1}),
    ] {
        assert_eq!(
            harness.refused(Method::POST, "/v1/tokens", ask.to_string().as_bytes()).await.status,
            400,
            "{ask}"
        );
    }
    let granted = harness.events("grant").await;
    assert_eq!(granted.iter().filter(|it| it["actor_type"] == "token").count(), 2);
    assert_eq!(harness.events("revoke").await.len(), 1);
    // The first token can be revoked, and a start makes no other.
    let owner = make_token(&harness, "owner", "owner", None).await;
    assert_eq!(status(&harness, &owner, Method::DELETE, "/v1/tokens/bootstrap", b"").await, 204);
    let harness = harness.restart().await;
    assert_eq!(status(&harness, &harness.token(), Method::GET, "/v1/whoami", b"").await, 401);
    assert_eq!(status(&harness, &owner, Method::GET, "/v1/whoami", b"").await, 200);
}
