//! `GET /v1/access/readers`: the list is of exactly those for whom the check says yes.

use std::collections::BTreeSet;

use e2e::random::SeededRng;
use http::Method;
use serde_json::{Value, json};

use super::check::{World, check};
use super::{grant, make_token, status};
use crate::harness::Harness;
use crate::identity_provider::IdentityProvider;

/// Every page of the list, in pages of `limit`.
async fn readers(harness: &Harness, target: &str, limit: u32) -> Vec<Value> {
    let (scope, secret) = target.split_once('/').unwrap_or((target, ""));
    let secret = if secret.is_empty() { String::new() } else { format!("&secret={secret}") };
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/access/readers?scope={scope}{secret}&limit={limit}{cursor}");
        let page = harness.json(&path).await;
        let found = page["readers"].as_array().unwrap();
        assert!(found.len() <= limit as usize);
        all.extend(found.iter().cloned());
        let Some(next) = page["next"].as_str() else { return all };
        assert_eq!(found.len(), limit as usize, "a page that is not the last is not full");
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readers_are_those_for_whom_the_check_says_yes() {
    let provider = IdentityProvider::start();
    let mut flags = provider.flags(&["configured=developer@shop.prod", "other=admin@bank"]);
    flags.extend(["--rate-burst", "100000", "--rate-limit", "100000"]);
    let harness = Harness::start_with(&flags).await;
    let mut world = World { harness: &harness, random: SeededRng::new(29) };
    let mut targets: Vec<String> = world.write_secrets().await.into_iter().step_by(2).collect();
    targets.extend(["shop", "shop.prod.api"].map(str::to_owned));
    world.subjects(&provider).await;
    world.pods().await;
    let tokens = harness.json("/v1/tokens?limit=1000").await;
    let tokens = tokens["tokens"].as_array().unwrap().iter().filter(|it| it["kind"] == "token");
    let mut everybody: Vec<Value> =
        tokens.map(|it| json!({"kind": "token", "name": it["name"]})).collect();
    for name in ["p0", "p1", "p2", "p3", "nobody"] {
        // With no group that has a right, the rules are the person's own.
        everybody.push(json!({"kind": "user", "name": name, "groups": ["none"]}));
    }
    for name in ["g0", "g1", "g2", "configured", "other"] {
        everybody.push(json!({"kind": "group", "name": name}));
    }
    for namespace in ["shop-prod", "shop-dev", "stranger"] {
        for account in ["api", "web", "jobs"] {
            let name = format!("{namespace}/{account}");
            everybody.push(json!({"kind": "service_account", "name": name}));
        }
    }
    let (mut yes, mut kinds) = (0, BTreeSet::new());
    for target in &targets {
        let mut allowed = BTreeSet::new();
        for who in &everybody {
            let answer = check(&harness, &harness.token(), who, "read", target).await;
            if answer["allowed"] == true {
                allowed.insert((who["kind"].to_string(), who["name"].to_string()));
            }
        }
        let all = readers(&harness, target, 1000).await;
        let listed: BTreeSet<_> =
            all.iter().map(|it| (it["kind"].to_string(), it["name"].to_string())).collect();
        assert_eq!(listed, allowed, "{target}: {all:?}");
        assert_eq!(readers(&harness, target, 3).await, all, "pages of {target}");
        yes += allowed.len();
        kinds.extend(allowed.into_iter().map(|it| it.0));
        for reader in &all {
            let is_pod = reader["kind"] == "service_account";
            assert_eq!(reader["bundle"].is_string(), is_pod, "{reader}");
            if reader["kind"] == "token" && reader["name"] != "bootstrap" {
                assert!(reader["until"].is_string(), "{reader}");
            }
        }
    }
    assert!(yes > 40 && kinds.len() == 4, "{yes} {kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_names_rules_and_ends_for_who_may_grant() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    let id = grant(&harness, "shop-prod/web", Some("A")).await;
    make_token(&harness, "ci", "developer", Some("shop.prod")).await;
    let ends = json!({"subject": {"kind": "user", "name": "ada"}, "scope": "shop.prod.api",
        "access": "read", "secret": "A", "expires_at": "2999-01-01T00:00:00Z"});
    let path = "/v1/grants";
    harness.ask(Method::POST, path, Some(&harness.token()), ends.to_string().as_bytes()).await;
    let all = readers(&harness, "shop.prod.api/A", 100).await;
    let shown: Vec<_> = all
        .iter()
        .map(|it| {
            let texts = ["name", "rule", "until"].map(|field| it[field].as_str().unwrap_or("-"));
            (texts[0], texts[1], texts[2] != "-")
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("shop-prod/web", "grant-of-secrets: A", false),
            ("ada", "grant 2: read shop.prod.api/A", true),
            ("bootstrap", "role owner everywhere, of the token", false),
            ("ci", "role developer in shop.prod, of the token", true),
            ("shop-prod/api", "own-service", false),
        ]
    );
    assert_eq!((&all[0]["grant"], &all[0]["bundle"]), (&id.into(), &"shop.prod.api".into()));
    let pods = all[4]["development_pods"].as_array().unwrap();
    assert_eq!(pods.len(), 20, "{pods:?}");
    let names: Vec<_> = readers(&harness, "shop.prod.api", 100).await;
    assert!(names.iter().all(|it| it["name"] != "ada" && it["name"] != "shop-prod/web"));

    let developer = make_token(&harness, "dev", "developer", None).await;
    let admin = make_token(&harness, "admin", "admin", Some("shop.prod.api")).await;
    let of = |scope: &str| format!("/v1/access/readers?scope={scope}&secret=A");
    for (token, scope, expected) in [
        (&developer, "shop.prod.api", 403),
        (&admin, "shop.prod", 403),
        (&admin, "shop.prod.none", 403),
        (&admin, "shop.prod.api", 200),
    ] {
        assert_eq!(status(&harness, token, Method::GET, &of(scope), b"").await, expected);
    }
    for query in ["", "scope=Shop", "scope=shop&limit=0", "scope=shop&cursor=x", "scope=shop&x=1"] {
        let path = format!("/v1/access/readers?{query}");
        assert_eq!(harness.refused(Method::GET, &path, b"").await.status, 400, "{query}");
    }
    let listed = harness.events("list").await;
    let event = listed.iter().rfind(|it| it["actor_id"] == "admin").unwrap();
    assert_eq!((&event["resource_id"], &event["scope"]), (&"A".into(), &"shop.prod.api".into()));
    assert!(event["details"].as_str().unwrap().contains("names; who can read; role admin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_referrer_reads_its_targets() {
    let harness = Harness::start().await;
    harness.set("shop.prod.db", &[("HOST", b"x")]).await;
    harness.set("other", &[("HOST", b"x")]).await;
    // Base64 of `${shop.prod.db/HOST}` and `${shop.prod.api/URL}`.
    for (scope, value) in [
        ("shop.prod.api", "JHtzaG9wLnByb2QuZGIvSE9TVH0="),
        ("shop.dev.api", "JHtzaG9wLnByb2QuYXBpL1VSTH0="),
    ] {
        let write = json!({"secrets": {"URL": {"value": value, "references": true}}}).to_string();
        let path = format!("/v1/secrets/{scope}/");
        harness.done(Method::POST, &path, write.as_bytes()).await;
    }
    make_token(&harness, "api", "developer", Some("shop.prod.api")).await;
    let shown = |all: &[Value]| -> Vec<String> {
        let one = |it: &Value| format!("{} {} {}", it["kind"], it["name"], it["through"]);
        all.iter().map(one).map(|it| it.replace('"', "")).collect()
    };
    let all = readers(&harness, "shop.prod.db/HOST", 1000).await;
    assert_eq!(
        shown(&all),
        [
            "token bootstrap null",
            "service_account shop-prod/db null",
            "token bootstrap shop.dev.api/URL",
            "service_account shop-dev/api shop.dev.api/URL",
            "token bootstrap shop.prod.api/URL",
            "token api shop.prod.api/URL",
            "service_account shop-prod/api shop.prod.api/URL",
        ]
    );
    for limit in 1..8 {
        assert_eq!(readers(&harness, "shop.prod.db/HOST", limit).await, all, "pages of {limit}");
    }
    // Whoever may grant only at the target learns how many there are.
    let admin = make_token(&harness, "db", "admin", Some("shop.prod")).await;
    let path = "/v1/access/readers?scope=shop.prod.db&secret=HOST";
    let (_, _, answer) = harness.ask(Method::GET, path, Some(&admin), b"").await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["hidden_referrers"], 1);
    assert!(!answer.to_string().contains("shop.dev"), "{answer}");
}
