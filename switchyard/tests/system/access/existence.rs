//! Nobody learns what exists where they may not look: the answers for what is there and for what is
//! not are equal, and no cursor holds a name that its reader may not see.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};

use super::{grant, make_token, status};
use crate::harness::{Harness, body, problem};
use crate::identity_provider::IdentityProvider;

/// What a client can tell apart: the status, the headers and the problem document, without the
/// trace id and with `name` blanked.
async fn answer(
    harness: &Harness,
    token: &str,
    (method, path, body): (&Method, &str, &str),
    name: &str,
) -> (u16, Vec<(String, String)>, String) {
    let path = path.replace("{}", name);
    let sent = body.replace("{}", name);
    let (status, headers, answer) =
        harness.ask(method.clone(), &path, Some(token), sent.as_bytes()).await;
    let mut shown: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !["trace-id", "date", "content-length"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    shown.sort();
    let mut text: Value = serde_json::from_slice(&answer).unwrap();
    text.as_object_mut().unwrap().remove("instance");
    (status.as_u16(), shown, text.to_string().replace(name, "{}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_what_is_not_answer_the_same_to_who_may_not_see_it() {
    let provider = IdentityProvider::start();
    let harness = Harness::start_with(&provider.flags(&[])).await;
    harness.set("shop.prod.api", &[("A", b"one"), ("HIDDEN", b"two")]).await;
    harness.set("shop.prod", &[("WIDE", b"three")]).await;
    let id = grant(&harness, "shop-prod/jobs", Some("HIDDEN")).await.to_string();
    make_token(&harness, "shop-ci", "developer", Some("shop")).await;
    let one = json!({"subject": {"kind": "user", "name": "jane"}, "scope": "shop.prod.api",
        "secret": "A", "access": "read"});
    let added = harness
        .ask(Method::POST, "/v1/grants", Some(&harness.token()), one.to_string().as_bytes())
        .await;
    assert_eq!(added.0, 201);
    let principals = [
        ("an admin elsewhere", make_token(&harness, "else", "admin", Some("other")).await),
        ("a developer beside", make_token(&harness, "dev", "developer", Some("shop.dev")).await),
        ("a person with one secret", provider.log_in(&harness, "jane", &[]).await),
        ("a person without rights", provider.log_in(&harness, "eve", &["nobody"]).await),
    ];
    let write = String::from_utf8(body(&[("A", b"x")]).expose().to_vec()).unwrap();
    let write_one = String::from_utf8(body(&[("NAME", b"x")]).expose().to_vec()).unwrap();
    let secret = |rest: &str| format!("/v1/secrets/shop.prod.api/{{}}{rest}");
    let rows: Vec<(Method, String, String, &str, &str)> = vec![
        (Method::DELETE, "/v1/grants/{}".into(), String::new(), &id, "4711"),
        (Method::DELETE, "/v1/tokens/{}".into(), String::new(), "shop-ci", "shop-no"),
        (Method::DELETE, "/v1/tokens/{}".into(), String::new(), "bootstrap", "bootstray"),
        (Method::GET, secret(""), String::new(), "HIDDEN", "ABSENT"),
        (Method::GET, secret("?version=1"), String::new(), "HIDDEN", "ABSENT"),
        (Method::GET, secret("/versions"), String::new(), "HIDDEN", "ABSENT"),
        (Method::GET, secret("/metadata"), String::new(), "HIDDEN", "ABSENT"),
        (Method::PATCH, secret("/metadata"), r#"{"notes":"x"}"#.into(), "HIDDEN", "ABSENT"),
        (Method::DELETE, secret(""), String::new(), "HIDDEN", "ABSENT"),
        (Method::POST, secret("/rotate"), "{}".into(), "HIDDEN", "ABSENT"),
        (Method::POST, secret("/rollback"), r#"{"version":1}"#.into(), "HIDDEN", "ABSENT"),
        (Method::POST, secret("/undelete"), String::new(), "HIDDEN", "ABSENT"),
        (Method::POST, secret("/destroy"), r#"{"versions":[1]}"#.into(), "HIDDEN", "ABSENT"),
        (
            Method::POST,
            "/v1/secrets/shop.prod.api/".into(),
            write_one.replace("NAME", "{}"),
            "HIDDEN",
            "ABSENT",
        ),
        (Method::GET, "/v1/secrets/{}/".into(), String::new(), "shop.prod", "shop.none"),
        (Method::POST, "/v1/secrets/{}/".into(), write, "shop.prod.api", "shop.prod.not"),
        (Method::GET, "/v1/bundles/{}".into(), String::new(), "shop.prod.api", "shop.prod.not"),
        (
            Method::GET,
            "/v1/bundles/{}/values".into(),
            String::new(),
            "shop.prod.api",
            "shop.prod.not",
        ),
        (Method::GET, "/v1/audit?scope={}".into(), String::new(), "shop.prod", "shop.none"),
    ];
    for (who, token) in &principals {
        for (method, path, body, exists, absent) in &rows {
            let request = (method, path.as_str(), body.as_str());
            let there = answer(&harness, token, request, exists).await;
            let missing = answer(&harness, token, request, absent).await;
            assert_eq!(there, missing, "{who}: {method} {path}");
            assert!(matches!(there.0, 403 | 404), "{who}: {method} {path}: {there:?}");
        }
    }
    // What a caller may see but not do is a 403, and what is not there a 404.
    let shop = make_token(&harness, "shop-admin", "admin", Some("shop")).await;
    assert_eq!(status(&harness, &shop, Method::DELETE, "/v1/grants/4711", b"").await, 404);
    make_token(&harness, "shop-owner", "owner", Some("shop")).await;
    assert_eq!(status(&harness, &shop, Method::DELETE, "/v1/tokens/shop-owner", b"").await, 403);
    let path = format!("/v1/grants/{id}");
    assert_eq!(status(&harness, &shop, Method::DELETE, &path, b"").await, 200);
    // Each attempt at what may not be seen is in the audit log, with what it was about.
    let denied = harness.events("denied").await;
    let tried = |kind: &str, id: &str| {
        denied.iter().filter(|it| it["resource_type"] == kind && it["resource_id"] == id).count()
    };
    assert_eq!((tried("grant", &id), tried("grant", "4711")), (4, 5), "{denied:?}");
    assert_eq!((tried("token", "shop-ci"), tried("token", "shop-no")), (4, 4), "{denied:?}");
}

/// Which environment a namespace belongs to is only told to those who may see the environment.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_does_not_tell_where_a_namespace_belongs() {
    let harness = Harness::start().await;
    let add = async |token: &str, namespace: &str, scope: &str| {
        let request = json!({"subject": {"kind": "service_account",
            "name": format!("{namespace}/web")}, "scope": scope, "access": "read"});
        let (status, headers, answer) = harness
            .ask(Method::POST, "/v1/grants", Some(token), request.to_string().as_bytes())
            .await;
        let detail = (status != 201).then(|| problem(status, &headers, &answer).detail);
        (status.as_u16(), detail.unwrap_or_default())
    };
    let elsewhere = make_token(&harness, "else", "admin", Some("other")).await;
    assert_eq!(add(&elsewhere, "shop-prod", "other.prod.api").await.0, 201);
    assert_eq!(add(&elsewhere, "unknown", "other.prod.api").await.0, 201);
    // Whoever may not grant there learns nothing about the namespace either.
    let (bound, unbound) = (
        add(&elsewhere, "shop-dev", "shop.prod.api").await,
        add(&elsewhere, "unknown", "shop.prod.api").await,
    );
    assert_eq!((bound.0, &bound), (403, &unbound));
    let shop = make_token(&harness, "shop", "admin", Some("shop")).await;
    let (status, detail) = add(&shop, "shop-dev", "shop.prod.api").await;
    assert!(status == 400 && detail.contains("environment dev"), "{detail}");
}

fn decoded(cursor: &str) -> String {
    String::from_utf8_lossy(&URL_SAFE_NO_PAD.decode(cursor).unwrap()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_cursors_are_of_what_the_caller_may_see() {
    let provider = IdentityProvider::start();
    let harness = Harness::start_with(&provider.flags(&[])).await;
    let names: Vec<String> = (0..1200).map(|at| format!("H{at:04}")).collect();
    for some in names.chunks(400) {
        let values: Vec<(&str, &[u8])> =
            some.iter().map(|name| (name.as_str(), b"x".as_slice())).collect();
        harness.set("shop.prod", &values).await;
    }
    harness.set("shop.prod", &[("A", b"x"), ("H0500B", b"x"), ("Y", b"x"), ("Z", b"x")]).await;
    for secret in ["A", "H0500B", "Y"] {
        let one = json!({"subject": {"kind": "user", "name": "jane"}, "scope": "shop.prod",
            "secret": secret, "access": "read"});
        let (status, _, _) = harness
            .ask(Method::POST, "/v1/grants", Some(&harness.token()), one.to_string().as_bytes())
            .await;
        assert_eq!(status, 201);
    }
    let jane = provider.log_in(&harness, "jane", &[]).await;
    let page = async |path: &str, list: &str, name: &str, token: &str| {
        let (status, _, body) = harness.ask(Method::GET, path, Some(token), b"").await;
        assert_eq!(status, 200, "{path}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        let names: Vec<String> = body[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it[name].as_str().unwrap().to_owned())
            .collect();
        (names, body["next"].as_str().map(str::to_owned))
    };
    let list = "/v1/secrets/shop.prod/?limit=1";
    let (first, next) = page(list, "secrets", "name", &jane).await;
    assert_eq!((first, decoded(next.as_ref().unwrap())), (vec!["A".into()], "secrets:A".into()));
    let path = format!("{list}&cursor={}", next.unwrap());
    let (second, next) = page(&path, "secrets", "name", &jane).await;
    assert_eq!(second, ["H0500B"]);
    let path = format!("{list}&cursor={}", next.unwrap());
    // Z exists, and jane's last page has no hint of it.
    assert_eq!(page(&path, "secrets", "name", &jane).await, (vec!["Y".into()], None));
    let all = page("/v1/secrets/shop.prod/?limit=3", "secrets", "name", &jane).await;
    assert_eq!(all, (vec!["A".into(), "H0500B".into(), "Y".into()], None));

    // The same for bundles, tokens and grants: what follows is of others.
    for service in ["a", "b", "c"] {
        harness.set(&format!("mall.prod.{service}"), &[("A", b"x")]).await;
    }
    let of_b = make_token(&harness, "of-b", "admin", Some("mall.prod.b")).await;
    make_token(&harness, "later", "admin", Some("mall.prod.c")).await;
    let (bundles, next) = page("/v1/bundles?limit=1", "bundles", "scope", &of_b).await;
    assert_eq!((bundles, next), (vec!["mall.prod.b".to_owned()], None));
    let (tokens, next) = page("/v1/tokens?limit=1", "tokens", "name", &of_b).await;
    assert_eq!((tokens, next), (vec!["of-b".to_owned()], None));
    for scope in ["mall.prod.b", "mall.prod.c"] {
        let one = json!({"subject": {"kind": "user", "name": "bob"}, "scope": scope,
            "access": "read"});
        harness
            .ask(Method::POST, "/v1/grants", Some(&harness.token()), one.to_string().as_bytes())
            .await;
    }
    let (grants, next) = page("/v1/grants?limit=1", "grants", "scope", &of_b).await;
    assert_eq!((grants, next), (vec!["mall.prod.b".to_owned()], None));
}
