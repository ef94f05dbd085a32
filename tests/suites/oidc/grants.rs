//! What one person gives another, while both are logged in.

use anyhow::Result;
use serde_json::Value;

use crate::world::World;

const OTHER: [&str; 6] = ["--project", "other", "--env", "prod", "--service", "api"];

fn words<'a>(first: &[&'a str], place: &[&'a str]) -> Vec<&'a str> {
    [first, place].concat()
}

#[test]
fn a_grant_of_one_secret_counts_at_once_and_until_it_is_taken_back() -> Result<()> {
    let world = World::start()?;
    world.log_in("ada", &["login", "--no-browser"])?.done()?;
    world.log_in("bob", &["login", "--no-browser"])?.done()?;
    world.run("ada", &words(&["secrets", "set", "A=one", "B=two"], &OTHER))?.done()?;
    let read = |name| world.run("bob", &words(&["secrets", "get", name], &OTHER));
    assert_eq!(read("A")?.code, 3);

    let added = world.run(
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
    let grant: Value = serde_json::from_str(&added.done()?)?;
    assert_eq!(read("A")?.done()?, "one");
    assert_eq!(read("B")?.code, 3);
    assert_eq!(world.run("bob", &words(&["secrets", "set", "A=three"], &OTHER))?.code, 3);
    // A list shows what may be listed, and bob sees the grant that is his.
    let listed: Value = serde_json::from_str(
        &world.run("bob", &words(&["secrets", "list", "-o", "json"], &OTHER))?.done()?,
    )?;
    assert_eq!(listed["secrets"].as_array().map(Vec::len), Some(1));
    let own: Value =
        serde_json::from_str(&world.run("bob", &["grants", "list", "-o", "json"])?.done()?)?;
    assert_eq!(own["grants"][0]["id"], grant["id"]);

    let id = grant["id"].to_string();
    assert_eq!(world.run("bob", &["grants", "remove", &id, "--yes"])?.code, 3);
    world.run("ada", &["grants", "remove", &id, "--yes"])?.done()?;
    assert_eq!(read("A")?.code, 3);
    assert_eq!((world.audit("grant")?.len(), world.audit("revoke")?.len()), (1, 1));
    Ok(())
}

#[test]
fn a_token_ends_where_its_maker_does_and_when_it_is_revoked() -> Result<()> {
    let world = World::start()?;
    world.log_in("ada", &["login", "--no-browser"])?.done()?;
    let made = world
        .run(
            "ada",
            &["tokens", "create", "ci", "--role", "admin", "--scope", "shop", "--ttl", "1h"],
        )?
        .done()?;
    let token = made.trim();
    assert!(token.starts_with("enclii_"));
    let with_token = |words: &[&str]| -> Result<Option<i32>> {
        Ok(world.enclii("nobody", words)?.env("ENCLII_TOKEN", token).output()?.status.code())
    };
    assert_eq!(with_token(&["secrets", "list", "--project", "shop"])?, Some(0));
    assert_eq!(with_token(&["secrets", "list", "--project", "other"])?, Some(3));
    for more in [
        // Above its role, beyond its scope, and longer than itself.
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
    world.run("ada", &["tokens", "revoke", "ci", "--yes"])?.done()?;
    assert_eq!(with_token(&["secrets", "list", "--project", "shop"])?, Some(3));
    Ok(())
}
