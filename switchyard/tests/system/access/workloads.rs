//! Jobs of CI systems: a token of the right job is a short session, and every other one is nothing.

use http::Method;
use serde_json::{Value, json};

use super::status;
use crate::harness::{Harness, body, problem, write};
use crate::identity_provider::{IdentityProvider, offer};

const AUDIENCE: &str = "https://secrets.example.com";

fn issuers(provider: &IdentityProvider, rules: &Value) -> String {
    // YAML is a superset of JSON.
    json!({"issuers": [{"name": "github", "platform": "github", "issuer": provider.issuer(),
        "audience": AUDIENCE, "rules": rules}]})
    .to_string()
}

fn deploy(role: &str) -> Value {
    json!([{"name": "deploy", "claims": {"repository": "shop/api", "ref": "refs/heads/main"},
        "roles": [role], "lifetime": "5m"}])
}

async fn start(provider: &IdentityProvider, rules: &Value) -> Harness {
    let text = issuers(provider, rules);
    let more: Vec<String> =
        provider.flags(&["devs=developer@shop"]).into_iter().map(str::to_owned).collect();
    Harness::start_prepared(|directory| {
        let file = directory.join("issuers.yaml");
        write(&file, &text);
        let flags = ["--workload-issuers".to_owned(), file.to_str().unwrap().to_owned()];
        flags.into_iter().chain(more).collect()
    })
    .await
}

/// What GitHub signs for a job of a repository.
fn claims(repository: &str, git_ref: &str) -> Value {
    let owner = repository.split('/').next().unwrap();
    json!({"aud": AUDIENCE, "sub": format!("repo:{repository}:ref:{git_ref}"),
        "repository": repository, "repository_owner": owner, "ref": git_ref, "actor": "ada",
        "run_id": "1658821493", "run_attempt": "1", "event_name": "push"})
}

async fn log_in(harness: &Harness, id_token: &str) -> (u16, Value) {
    let body = json!({ "id_token": id_token }).to_string();
    let answer = harness.ask(Method::POST, "/v1/login/workload", None, body.as_bytes()).await;
    (answer.0.as_u16(), serde_json::from_slice(&answer.2).unwrap())
}

async fn writes(harness: &Harness, token: &str, scope: &str) -> u16 {
    let path = format!("/v1/secrets/{scope}/");
    status(harness, token, Method::POST, &path, body(&[("A", b"1")]).expose()).await.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_the_roles_of_its_rules_for_a_short_time() {
    let provider = IdentityProvider::start();
    let harness = start(&provider, &deploy("developer@shop.prod.api")).await;
    let id_token = provider.sign(&claims("shop/api", "refs/heads/main"));
    let (code, session) = log_in(&harness, &id_token).await;
    assert_eq!(code, 200, "{session}");
    let principal = &session["principal"];
    assert_eq!(principal["kind"], "workload");
    assert_eq!(principal["name"], "github:shop/api@refs/heads/main");
    assert_eq!(principal["roles"], json!([{"role": "developer", "scope": "shop.prod.api"}]));
    let ends: jiff::Timestamp = session["expires_at"].as_str().unwrap().parse().unwrap();
    let left = ends.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((290..=300).contains(&left), "{left}");

    let token = session["token"].as_str().unwrap();
    assert_eq!(writes(&harness, token, "shop.prod.api").await, 200);
    for scope in ["shop.prod.web", "shop.prod", "shop", "shop.dev.api"] {
        assert_eq!(writes(&harness, token, scope).await, 403, "{scope}");
    }
    let written = harness.events("write").await.pop().unwrap();
    assert_eq!(written["actor_type"], "workload");
    assert_eq!(written["actor_id"], "github:shop/api@refs/heads/main");
    let rule = "role developer in shop.prod.api, of rule github/deploy";
    assert!(written["details"].as_str().unwrap().starts_with(rule), "{written}");
    let login = harness.events("login").await.pop().unwrap();
    assert_eq!(login["outcome"], "allowed");
    let details = login["details"].as_str().unwrap();
    for part in [rule, "run_id \"1658821493\"", "actor \"ada\"", "event_name \"push\""] {
        assert!(details.contains(part), "{part}: {details}");
    }
    let own = harness.json("/v1/audit?actor=github:shop/api@refs/heads/main&limit=100").await;
    assert!(own["events"].as_array().unwrap().len() >= 2, "{own}");

    // The same ID token again, until its session is ended: as a person's.
    assert_eq!(log_in(&harness, &id_token).await.0, 200);
    assert_eq!(status(&harness, token, Method::POST, "/v1/logout", b"").await, 204);
    assert_eq!(status(&harness, token, Method::GET, "/v1/whoami", b"").await, 401);
    let (code, refused) = log_in(&harness, &id_token).await;
    assert_eq!(code, 401, "{refused}");
    let again = provider.sign(&claims("shop/api", "refs/heads/main"));
    assert_eq!(log_in(&harness, &again).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_token_is_refused_alike() {
    let provider = IdentityProvider::start();
    let stranger = IdentityProvider::start();
    let harness = start(&provider, &deploy("developer@shop.prod.api")).await;
    let with = |changes: Value| {
        let mut all = claims("shop/api", "refs/heads/main");
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        provider.sign(&all)
    };
    let good = with(json!({}));
    let forged = stranger.sign(&{
        let mut all = claims("shop/api", "refs/heads/main");
        all["iss"] = json!(provider.issuer());
        all
    });
    let mut answers = std::collections::BTreeSet::new();
    for (name, token, reason) in [
        ("of another owner", provider.sign(&claims("eve/api", "refs/heads/main")), "eve/api"),
        (
            "of another branch",
            provider.sign(&claims("shop/api", "refs/heads/x")),
            "needs another ref",
        ),
        ("for another audience", with(json!({"aud": "https://github.com/shop"})), "audience"),
        ("for several audiences", with(json!({"aud": [AUDIENCE, "other"]})), "audience"),
        ("of a person", provider.id_token("ada", &["devs"]), "audience"),
        ("expired", with(json!({"exp": 1_700_000_000})), "expired"),
        ("of another issuer", stranger.sign(&claims("shop/api", "refs/heads/main")), "no issuer"),
        ("signed by another key", forged, "signature"),
        ("cut", good[..good.len() - 3].to_owned(), "signature"),
        ("no token", "a.b.c".to_owned(), "malformed"),
    ] {
        let before = harness.events("login").await.len();
        let (code, answer) = log_in(&harness, &token).await;
        assert_eq!(code, 401, "{name}: {answer}");
        answers.insert(answer["detail"].to_string());
        let events = harness.events("login").await;
        let event = events.last().unwrap();
        assert_eq!((events.len(), &event["outcome"]), (before + 1, &json!("denied")), "{name}");
        assert!(event["details"].as_str().unwrap().contains(reason), "{name}: {event}");
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Neither is a job's token a person's.
    assert_eq!(offer(&harness, &good).await.0, 401);
    assert_eq!(log_in(&harness, &good).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_gives_ends_with_its_session() {
    let provider = IdentityProvider::start();
    let harness = start(&provider, &deploy("admin@shop")).await;
    let id_token = provider.sign(&claims("shop/api", "refs/heads/main"));
    let (_, session) = log_in(&harness, &id_token).await;
    let token = session["token"].as_str().unwrap();
    let create = async |ttl: u64| {
        let request = json!({"name": format!("t{ttl}"), "role": "readonly", "scope": "shop",
            "ttl_seconds": ttl});
        harness.ask(Method::POST, "/v1/tokens", Some(token), request.to_string().as_bytes()).await
    };
    assert_eq!(create(60).await.0, 201);
    let (code, headers, answer) = create(3600).await;
    let problem = problem(code, &headers, &answer);
    assert!(problem.status == 403 && problem.detail.contains("no-longer-than-own"), "{problem:?}");
    let grant = json!({"subject": {"kind": "user", "name": "eve"}, "scope": "shop",
        "access": "readonly"});
    let answer =
        harness.ask(Method::POST, "/v1/grants", Some(token), grant.to_string().as_bytes()).await;
    let granted: Value = serde_json::from_slice(&answer.2).unwrap();
    let (_, _, own) = harness.ask(Method::GET, "/v1/whoami", Some(token), b"").await;
    let own: Value = serde_json::from_slice(&own).unwrap();
    assert_eq!(granted["expires_at"], own["expires_at"], "{granted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_rights_that_everybody_sees() {
    let provider = IdentityProvider::start();
    let harness = start(&provider, &deploy("developer@shop.prod.api")).await;
    harness.set("shop.prod.api", &[("A", b"1")]).await;
    let readers = harness.json("/v1/access/readers?scope=shop.prod.api&secret=A&limit=1").await;
    let first = &readers["readers"][0];
    assert_eq!((&first["kind"], &first["name"]), (&json!("group"), &json!("devs")));
    let cursor = readers["next"].as_str().unwrap();
    let path = format!("/v1/access/readers?scope=shop.prod.api&secret=A&limit=1&cursor={cursor}");
    let second = &harness.json(&path).await["readers"][0];
    assert_eq!(second["kind"], "workload", "{second}");
    assert_eq!(second["name"], "github/deploy", "{second}");
    let check = async |name: &str, scope: &str| {
        let asked = json!({"principal": {"kind": "workload", "name": name}, "verb": "read",
            "scope": scope, "secret": "A"});
        let token = harness.token();
        let answer = harness
            .ask(Method::POST, "/v1/access/check", Some(&token), asked.to_string().as_bytes())
            .await;
        (answer.0.as_u16(), serde_json::from_slice::<Value>(&answer.2).unwrap())
    };
    let (_, yes) = check("github/deploy", "shop.prod.api").await;
    assert_eq!(yes["allowed"], true, "{yes}");
    let (_, no) = check("github/deploy", "shop.prod.web").await;
    assert!(no["remedy"].as_str().unwrap().contains("--workload-issuers"), "{no}");
    assert_eq!(check("github/other", "shop.prod.api").await.0, 404);

    // A rule is an event, its conditions too; and a session has what its rules give now.
    let granted = async |harness: &Harness, action: &str| {
        let events = harness.events(action).await;
        let of = events.into_iter().filter(|it| it["resource_id"] == "workload:github/deploy");
        of.map(|it| it["details"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = granted(&harness, "grant").await;
    assert!(first.len() == 1 && first[0].contains("repository: shop/api"), "{first:?}");
    let id_token = provider.sign(&claims("shop/api", "refs/heads/main"));
    let (_, session) = log_in(&harness, &id_token).await;
    let token = session["token"].as_str().unwrap().to_owned();
    assert_eq!(writes(&harness, &token, "shop.prod.api").await, 200);
    let mut other = deploy("readonly@shop.prod.api");
    other[0]["claims"]["ref"] = json!("refs/tags/*");
    let file = harness.directory.join("issuers.yaml");
    write(&file, &issuers(&provider, &other));
    let more = provider.flags(&["devs=developer@shop"]);
    let flags = [vec!["--workload-issuers", file.to_str().unwrap()], more].concat();
    let harness = harness.restart_with(&flags).await;
    assert_eq!(
        (granted(&harness, "grant").await.len(), granted(&harness, "revoke").await.len()),
        (2, 1)
    );
    assert_eq!(writes(&harness, &token, "shop.prod.api").await, 403);
    assert_eq!(
        log_in(&harness, &provider.sign(&claims("shop/api", "refs/heads/main"))).await.0,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_issuers_no_job_logs_in_and_a_bad_file_stops_the_start() {
    let harness = Harness::start().await;
    let (code, answer) = log_in(&harness, "a.b.c").await;
    assert!(code == 404 && answer["detail"].as_str().unwrap().contains("--workload-issuers"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.yaml");
    let provider = IdentityProvider::start();
    let open = json!([{"name": "all", "claims": {"sub": "repo:*"}, "roles": ["owner@shop"]}]);
    write(&file, &issuers(&provider, &open));
    let flags = ["--workload-issuers".to_owned(), file.to_str().unwrap().to_owned()];
    let log = Harness::cannot_start(directory.path(), &flags).await;
    assert!(log.contains("rule") && log.contains("repo:* matches jobs of other owners"), "{log}");
}
