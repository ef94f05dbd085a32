//! Grants and tokens that one logged-in person gives another.

use anyhow::Result;
use serde_json::Value;

use crate::harness::OidcHarness;

const OTHER_SCOPE_ARGS: [&str; 6] = ["--project", "other", "--env", "prod", "--service", "api"];

fn words<'a>(first: &[&'a str], scope: &[&'a str]) -> Vec<&'a str> {
    [first, scope].concat()
}

#[test]
fn a_grant_of_one_secret_takes_effect_at_once_and_until_it_is_removed() -> Result<()> {
    let harness = OidcHarness::start()?;
    harness.log_in("ada", &["login", "--no-browser"])?.success()?;
    harness.log_in("bob", &["login", "--no-browser"])?.success()?;
    harness
        .run("ada", &words(&["secrets", "set", "A=one", "B=two"], &OTHER_SCOPE_ARGS))?
        .success()?;
    let read = |name| harness.run("bob", &words(&["secrets", "get", name], &OTHER_SCOPE_ARGS));
    assert_eq!(read("A")?.code, 3);

    let added = harness.run(
        "ada",
        &[
            "grants",
            "add",
            "user:bob@example.com",
            "read",
            "other.prod.api",
            "--secret",
            "A",
            "-o",
            "json",
        ],
    )?;
    let grant: Value = serde_json::from_str(&added.success()?)?;
    assert_eq!(read("A")?.success()?, "one");
    assert_eq!(read("B")?.code, 3);
    assert_eq!(
        harness.run("bob", &words(&["secrets", "set", "A=three"], &OTHER_SCOPE_ARGS))?.code,
        3
    );
    // A list shows only readable secrets, and bob sees his own grant.
    let listed: Value = serde_json::from_str(
        &harness
            .run("bob", &words(&["secrets", "list", "-o", "json"], &OTHER_SCOPE_ARGS))?
            .success()?,
    )?;
    assert_eq!(listed["secrets"].as_array().map(Vec::len), Some(1));
    let own: Value =
        serde_json::from_str(&harness.run("bob", &["grants", "list", "-o", "json"])?.success()?)?;
    assert_eq!(own["grants"][0]["id"], grant["id"]);

    let id = grant["id"].to_string();
    assert_eq!(harness.run("bob", &["grants", "remove", &id, "--yes"])?.code, 3);
    harness.run("ada", &["grants", "remove", &id, "--yes"])?.success()?;
    assert_eq!(read("A")?.code, 3);
    // Besides what switchyard itself recorded at its start.
    let granted = harness.audit("grant")?;
    let by_people = granted.iter().filter(|event| event["actor_type"] != "system").count();
    assert_eq!((by_people, harness.audit("revoke")?.len()), (1, 1));
    Ok(())
}

#[test]
fn a_token_is_bounded_by_its_creator_and_ends_when_it_is_revoked() -> Result<()> {
    let harness = OidcHarness::start()?;
    harness.log_in("ada", &["login", "--no-browser"])?.success()?;
    // A scope exists once something was written to it.
    harness.run("ada", &["secrets", "set", "A=one", "--project", "shop"])?.success()?;
    let made = harness
        .run(
            "ada",
            &["tokens", "create", "ci", "--role", "admin", "--scope", "shop", "--ttl", "1h"],
        )?
        .success()?;
    let token = made.trim();
    assert!(token.starts_with("enclii_"));
    let with_token = |words: &[&str]| -> Result<Option<i32>> {
        Ok(harness.enclii("nobody", words)?.env("ENCLII_TOKEN", token).output()?.status.code())
    };
    assert_eq!(with_token(&["secrets", "list", "--project", "shop"])?, Some(0));
    assert_eq!(with_token(&["secrets", "list", "--project", "other"])?, Some(3));
    for more in [
        // A higher role, a wider scope, and a longer lifetime than its own.
        &["tokens", "create", "x", "--role", "owner", "--scope", "shop", "--ttl", "5m"][..],
        &["tokens", "create", "x", "--role", "readonly", "--ttl", "5m"][..],
        &["tokens", "create", "x", "--role", "readonly", "--scope", "shop", "--ttl", "2h"][..],
    ] {
        assert_eq!(with_token(more)?, Some(3), "{more:?}");
    }
    assert_eq!(
        with_token(&[
            "tokens",
            "create",
            "x",
            "--role",
            "readonly",
            "--scope",
            "shop.prod",
            "--ttl",
            "5m"
        ])?,
        Some(0)
    );
    harness.run("ada", &["tokens", "revoke", "ci", "--yes"])?.success()?;
    assert_eq!(with_token(&["secrets", "list", "--project", "shop"])?, Some(3));
    Ok(())
}
