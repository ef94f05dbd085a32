//! Which configurations are refused, and which claims fulfil which rules.

mod owners;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::config::parse;
use super::*;
use crate::identity::ClaimError;

const NOW: i64 = 1_800_000_000;

const GITHUB: &str = "
issuers:
- name: github
  platform: github
  issuer: https://token.actions.githubusercontent.com
  audience: https://secrets.example.com
  rules:
  - name: deploy
    claims: {repository: shop/api, ref: refs/heads/main, environment: prod}
    roles: [developer@shop.prod.api]
    lifetime: 5m
  - name: tests
    claims: {repository_owner: shop}
    roles: [developer@shop.dev, readonly@shop]
";

const GITLAB: &str = "
issuers:
- name: gitlab
  platform: gitlab
  issuer: https://gitlab.example.com
  audience: https://secrets.example.com
  rules:
  - name: deploy
    claims: {project_path: shop/*, ref_protected: true, ref_type: branch, namespace_id: 72}
    roles: [developer@shop.prod.api]
";

fn one(text: &str) -> TrustedIssuer {
    parse(text, None).unwrap().remove(0)
}

fn github_claims(changes: &Value) -> Map<String, Value> {
    with(
        json!({
            "iss": "https://token.actions.githubusercontent.com",
            "aud": "https://secrets.example.com",
            "sub": "repo:shop/api:environment:prod",
            "repository": "shop/api", "repository_id": "74", "repository_owner": "shop",
            "repository_owner_id": "65", "ref": "refs/heads/main", "ref_type": "branch",
            "environment": "prod", "actor": "ada", "run_id": "16", "run_attempt": "2",
            "event_name": "push", "sha": "0f1e", "jti": "x",
            "iat": NOW, "nbf": NOW - 60, "exp": NOW + 300,
        }),
        changes,
    )
}

fn gitlab_claims(changes: &Value) -> Map<String, Value> {
    with(
        json!({
            "iss": "https://gitlab.example.com", "aud": "https://secrets.example.com",
            "sub": "project_path:shop/api:ref_type:branch:ref:main",
            "project_path": "shop/api", "project_id": "20", "namespace_path": "shop",
            "namespace_id": "72", "ref": "main", "ref_path": "refs/heads/main",
            "ref_type": "branch", "ref_protected": "true", "user_login": "ada",
            "pipeline_id": "212", "job_id": "302", "pipeline_source": "web", "runner_id": 3,
            "iat": NOW, "nbf": NOW - 5, "exp": NOW + 3600,
        }),
        changes,
    )
}

fn with(mut claims: Value, changes: &Value) -> Map<String, Value> {
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object().unwrap().clone()
}

fn job(issuer: &TrustedIssuer, claims: &Map<String, Value>) -> Result<Job, JobError> {
    issuer.job(claims, Timestamp::from_second(NOW).unwrap())
}

#[test]
fn a_job_gets_the_rules_that_it_fulfils() {
    let github = one(GITHUB);
    let rules = |changes: Value| job(&github, &github_claims(&changes)).map(|it| it.rules);
    let (both, tests) = (vec!["github/deploy", "github/tests"], vec!["github/tests"]);
    for (changes, expected) in [
        (json!({}), &both),
        (json!({"aud": ["https://secrets.example.com"]}), &both),
        (json!({"ref": "refs/heads/main2"}), &tests),
        (json!({"ref": "refs/tags/main"}), &tests),
        (json!({"environment": null}), &tests),
        (json!({"environment": ["prod"]}), &tests),
        (json!({"environment": "prod2"}), &tests),
        (json!({"repository": "shop/API"}), &tests),
    ] {
        assert_eq!(rules(changes.clone()).unwrap(), *expected, "{changes}");
    }
    let stranger = json!({"repository": "eve/api", "repository_owner": "eve",
        "sub": "repo:eve/api:environment:prod"});
    assert_eq!(
        rules(stranger).unwrap_err().to_string(),
        "no rule is fulfilled by github:eve/api@refs/heads/main; rule github/deploy needs another \
            repository"
    );
    assert_eq!(
        rules(json!({"repository_owner": "SHOP", "ref": "refs/heads/x", "environment": "dev"}))
            .unwrap_err()
            .to_string(),
        "no rule is fulfilled by github:shop/api@refs/heads/x; rule github/tests needs another \
            repository_owner"
    );

    let gitlab = one(GITLAB);
    let rules = |changes: Value| job(&gitlab, &gitlab_claims(&changes)).map(|it| it.rules).ok();
    for (changes, is_fulfilled) in [
        (json!({}), true),
        (json!({"ref_protected": true, "namespace_id": 72}), true),
        (json!({"project_path": "shop/web"}), true),
        (json!({"ref_protected": "false"}), false),
        (json!({"ref_protected": false}), false),
        (json!({"ref_type": "tag"}), false),
        (json!({"namespace_id": 73}), false),
        (json!({"project_path": "shop/sub/web"}), false),
        (json!({"project_path": "shopping/web"}), false),
    ] {
        assert_eq!(rules(changes.clone()).is_some(), is_fulfilled, "{changes}");
    }
}

#[test]
fn only_a_token_for_switchyard_that_is_valid_now_counts() {
    let github = one(GITHUB);
    for (changes, expected) in [
        (json!({"iss": "https://token.actions.githubusercontent.com/"}), ClaimError::Issuer),
        (json!({"iss": null}), ClaimError::Issuer),
        (json!({"aud": "https://github.com/shop"}), ClaimError::Audience),
        (json!({"aud": null}), ClaimError::Audience),
        (json!({"aud": []}), ClaimError::Audience),
        (json!({"aud": ["https://secrets.example.com", "other"]}), ClaimError::Audience),
        (json!({"aud": ["https://secrets.example.com", 1]}), ClaimError::Audience),
        (json!({"exp": NOW - 61}), ClaimError::Time),
        (json!({"exp": null}), ClaimError::Time),
        (json!({"exp": "never"}), ClaimError::Time),
        (json!({"iat": null}), ClaimError::Time),
        (json!({"iat": NOW + 61}), ClaimError::Time),
        (json!({"nbf": NOW + 61}), ClaimError::Time),
    ] {
        let refused = job(&github, &github_claims(&changes)).unwrap_err();
        assert_eq!(refused, JobError::Claim(expected), "{changes}");
    }
    assert!(job(&github, &github_claims(&json!({"exp": NOW - 59}))).is_ok());
}

#[test]
fn a_job_is_named_and_its_session_is_short() {
    let github = one(GITHUB);
    let found = job(&github, &github_claims(&json!({"actor": "ada\"; role owner"}))).unwrap();
    assert_eq!(found.name, "github:shop/api@refs/heads/main");
    assert_eq!(found.lifetime, SignedDuration::from_mins(5));
    assert_eq!(
        found.run,
        "run_id \"16\", run_attempt \"2\", actor \"ada\\\"; role owner\", event_name \"push\", \
            environment \"prod\""
    );
    let tests_only = job(&github, &github_claims(&json!({"environment": "\u{202e}"}))).unwrap();
    assert_eq!(tests_only.lifetime, SignedDuration::from_mins(15));
    assert!(tests_only.run.ends_with("environment \"\\u{202e}\""), "{}", tests_only.run);
    let gitlab = job(&one(GITLAB), &gitlab_claims(&json!({}))).unwrap();
    assert_eq!(gitlab.name, "gitlab:shop/api@refs/heads/main");
    let old = job(&one(GITLAB), &gitlab_claims(&json!({"ref_path": null}))).unwrap();
    assert_eq!(old.name, "gitlab:shop/api@main");
    let other = one(&with_rule("other", "owner_claims: [tenant]", "tenant: 7"));
    let claims = github_claims(&json!({"iss": "https://ci.example.com", "tenant": 7}));
    assert_eq!(job(&other, &claims).unwrap().name, "ci:repo:shop/api:environment:prod");
}

/// A file with one rule of one issuer, with the claims in braces.
fn with_rule(platform: &str, more: &str, claims: &str) -> String {
    format!(
        "issuers:\n- name: ci\n  platform: {platform}\n  issuer: https://ci.example.com\n  \
         audience: https://secrets.example.com\n  {more}\n  rules:\n  - name: r\n    \
         claims: {{{claims}}}\n    roles: [readonly@shop]\n"
    )
}

#[test]
fn a_rule_that_a_strangers_job_could_fulfil_is_refused() {
    for (platform, claims) in [
        ("github", "repository: shop/api"),
        ("github", "repository: shop/*"),
        ("github", "repository: 'shop/**', ref: '**'"),
        ("github", "repository_owner: shop"),
        ("github", "repository_owner_id: 65"),
        ("github", "repository_id: '74'"),
        ("github", "sub: 'repo:shop/*'"),
        ("github", "sub: 'repo:shop/api:ref:refs/heads/main'"),
        ("gitlab", "project_path: shop/api"),
        ("gitlab", "project_path: shop/**"),
        ("gitlab", "namespace_path: shop"),
        ("gitlab", "namespace_path: shop/**"),
        ("gitlab", "project_id: 20"),
        ("gitlab", "sub: 'project_path:shop/api:**'"),
    ] {
        assert!(parse(&with_rule(platform, "", claims), None).is_ok(), "{platform} {claims}");
    }
    for (platform, claims) in [
        ("github", ""),
        ("github", "ref: refs/heads/main, environment: prod"),
        ("github", "repository: '*'"),
        ("github", "repository: '**'"),
        ("github", "repository: '*/api'"),
        ("github", "repository: 'shop*/api'"),
        ("github", "repository: 'shop**'"),
        ("github", "repository: 'shop*'"),
        ("github", "repository: /api"),
        ("github", "repository_owner: 'shop*'"),
        ("github", "repository_owner: '*'"),
        ("github", "repository_owner_id: '6*'"),
        ("github", "sub: 'repo:*'"),
        ("github", "sub: '**'"),
        ("github", "sub: 'repo:**:environment:prod'"),
        ("github", "sub: 'repo:shop*/api:**'"),
        ("github", "sub: '*:shop/api:**'"),
        // Whoever owns a repository chooses what its subject consists of.
        ("github", "sub: 'environment:prod'"),
        // A workflow of ours that anybody may call.
        ("github", "job_workflow_ref: shop/workflows/.github/workflows/x.yml@refs/heads/main"),
        // Even beside a condition that binds.
        ("github", "repository: shop/api, sub: 'repo:*'"),
        ("github", "project_path: shop/api"),
        ("gitlab", "project_path: '*'"),
        ("gitlab", "project_path: 'shop*/api'"),
        ("gitlab", "namespace_path: 'shop*'"),
        ("gitlab", "sub: 'project_path:*'"),
        ("gitlab", "sub: 'project_path:shop*:**'"),
        ("gitlab", "ref: main, ref_protected: true"),
        ("gitlab", "repository: shop/api"),
    ] {
        let refused = parse(&with_rule(platform, "", claims), None).unwrap_err();
        assert!(refused.starts_with("issuer \"ci\": rule \"r\": "), "{claims}: {refused}");
        assert!(refused.contains("owner"), "{claims}: {refused}");
    }
    let other = |claims| parse(&with_rule("other", "owner_claims: [tenant]", claims), None);
    assert!(other("tenant: 7").is_ok() && other("sub: x, tenant: 7").is_ok());
    assert!(other("tenant: '7*'").is_err() && other("sub: x").is_err());
}

#[test]
fn what_the_file_says_badly_is_refused_with_a_way_out() {
    let good = GITHUB.to_owned();
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let second = good.trim_start().trim_start_matches("issuers:\n");
    for (text, words) in [
        (String::new(), &["line 1"][..]),
        ("issuers: []".to_owned(), &["1 to 20"]),
        (replaced("  audience: https://secrets.example.com\n", ""), &["github", "audience"]),
        (replaced("https://secrets.example.com", "''"), &["github", "audience is missing"]),
        (replaced("  audience:", "  colour: red\n  audience:"), &["colour"]),
        (replaced("    roles: [d", "    grants: [d"), &["grants"]),
        (replaced("platform: github", "platform: jenkins"), &["jenkins", "github"]),
        (replaced("platform: github", "platform: other"), &["owner_claims", "other"]),
        (
            replaced("platform: github", "platform: github\n  name_claim: sub"),
            &["github", "leave them out"],
        ),
        (replaced("name: github", "name: a b"), &["a b", "letters"]),
        (replaced("name: tests", "name: deploy"), &["rule \"deploy\"", "two rules"]),
        (replaced("name: tests", "name: ''"), &["letters"]),
        (replaced("developer@shop.prod.api", "developer"), &["deploy", "ROLE@SCOPE"]),
        (replaced("developer@shop.prod.api", "root@shop"), &["deploy", "root", "owner"]),
        (replaced("developer@shop.prod.api", "developer@Shop"), &["deploy", "Shop"]),
        (replaced("[developer@shop.prod.api]", "[]"), &["deploy", "1 to 20 roles"]),
        (replaced("lifetime: 5m", "lifetime: 2h"), &["deploy", "1m to 1h"]),
        (replaced("lifetime: 5m", "lifetime: 1s"), &["deploy", "1m to 1h"]),
        (replaced("lifetime: 5m", "lifetime: soon"), &["deploy", "soon", "15m"]),
        (replaced("environment: prod", "environment: ''"), &["environment", "empty"]),
        (replaced("environment: prod", "environment: '***'"), &["environment", "***"]),
        (replaced("environment: prod", "repository: x/y"), &["repository"]),
        (format!("{good}{second}"), &["two issuers"]),
        (
            format!("{good}{}", second.replace("name: github", "name: again")),
            &["again", "same issuer"],
        ),
        (" ".repeat(300 << 10), &["256 KiB"]),
    ] {
        let refused = parse(&text, None).unwrap_err();
        for word in words {
            assert!(refused.contains(word), "{word}: {refused}: {text}");
        }
    }
    let people = |issuer, audience| Some(PeopleIssuer { issuer, audience });
    let github = "https://token.actions.githubusercontent.com";
    let refused = parse(&good, people(github, "https://secrets.example.com")).unwrap_err();
    assert!(refused.contains("--oidc-audience"), "{refused}");
    assert!(parse(&good, people(github, "enclii")).is_ok());
    assert!(parse(&good, people("https://login", "https://secrets.example.com")).is_ok());
}

#[test]
fn the_issuer_of_a_token_is_read_before_it_is_trusted() {
    let token = |claims: &str| Redacted::from(format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims)));
    assert_eq!(unverified_issuer(&token(r#"{"iss":"a","x":1}"#)).unwrap(), "a");
    for text in ["{}", r#"{"iss":1}"#, "[]", ""] {
        assert_eq!(unverified_issuer(&token(text)), None, "{text}");
    }
    for text in ["", "a", "a.!.b", "a.b"] {
        assert_eq!(unverified_issuer(&Redacted::from(text.to_owned())), None, "{text}");
    }
}

#[tokio::test]
async fn other_algorithms_are_refused_before_a_key_is_fetched() {
    runtime::provider::install().unwrap();
    let file = with_rule("github", "", "repository: shop/api");
    let unreachable = file.replace("https://ci.example.com", "http://127.0.0.1:1");
    let issuers = WorkloadIssuers::new(parse(&unreachable, None).unwrap(), true).unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for (algorithm, is_fetched) in [
        ("RS256", true),
        ("ES256", true),
        ("none", false),
        ("HS256", false),
        ("RS512", false),
        ("PS256", false),
        ("ES384", false),
        ("EdDSA", false),
    ] {
        let (header, claims) = (json!({"alg": algorithm}), json!({"iss": "http://127.0.0.1:1"}));
        let token = Redacted::from(format!("{}.{}.AAAA", part(header), part(claims)));
        let error = issuers.identify(&token).await.unwrap_err();
        assert_eq!(
            matches!(error, WorkloadError::Unavailable { .. }),
            is_fetched,
            "{algorithm}: {error:?}"
        );
    }
}
