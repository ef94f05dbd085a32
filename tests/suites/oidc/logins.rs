//! Logins that succeed: what a person is then, and that a logout ends it.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::world::World;

const PLACE: [&str; 6] = ["--project", "shop", "--env", "prod", "--service", "api"];

#[test]
fn in_a_browser() -> Result<()> {
    let world = World::start()?;
    assert_eq!(world.run("ada", &["whoami"])?.code, 3);
    world.log_in("ada", &["login", "--no-browser"])?.done()?;

    let who: Value =
        serde_json::from_str(&world.run("ada", &["whoami", "--output", "json"])?.done()?)?;
    assert_eq!((&who["kind"], &who["name"]), (&json!("user"), &json!("ada@example.com")));
    assert_eq!(
        (&who["groups"], &who["roles"]),
        (&json!(["platform"]), &json!([{"role": "owner"}]))
    );
    let kept = world.home("ada").join("enclii/credentials.json");
    assert_eq!(std::fs::metadata(&kept)?.permissions().mode() & 0o777, 0o600);

    // What she does is hers in the trail.
    world.run("ada", &[&["secrets", "set", "A=one"][..], &PLACE].concat())?.done()?;
    let written = world.audit("write")?;
    assert_eq!(
        (&written[0]["actor_type"], &written[0]["actor_id"]),
        (&json!("user"), &json!("ada@example.com"))
    );
    assert_eq!(written[0]["details"], json!("role owner everywhere, of group platform"));

    let file: Value = serde_json::from_slice(&std::fs::read(&kept)?)?;
    let sessions = file["sessions"].as_object().context("sessions")?;
    let token =
        sessions.values().next().and_then(|it| it["token"].as_str()).context("token")?.to_owned();
    assert_eq!(world.get("/v1/whoami", &token)?.0, 200);
    world.run("ada", &["logout"])?.done()?;
    assert_eq!(world.run("ada", &["whoami"])?.code, 3);
    // Not only forgotten here: it is worth nothing there.
    assert_eq!(world.get("/v1/whoami", &token)?.0, 401);
    assert!(!std::fs::read_to_string(&kept)?.contains(&token));
    Ok(())
}

#[test]
fn by_a_code() -> Result<()> {
    let world = World::start()?;
    world.log_in("bob", &["login", "--device"])?.done()?;
    let who: Value =
        serde_json::from_str(&world.run("bob", &["whoami", "--output", "json"])?.done()?)?;
    assert_eq!(who["roles"], json!([{"role": "developer", "scope": "shop"}]));

    // A developer's rights: a service's secrets, and no wider scope's.
    world.run("bob", &[&["secrets", "set", "A=one"][..], &PLACE].concat())?.done()?;
    assert_eq!(world.run("bob", &[&["secrets", "get", "A"][..], &PLACE].concat())?.done()?, "one");
    for (words, rule) in [
        (&["secrets", "set", "A=one", "--project", "shop", "--env", "prod"][..], "role-too-low"),
        (&["secrets", "set", "A=one", "--project", "shop"][..], "role-too-low"),
        (&["secrets", "list", "--project", "other"][..], "deny-by-default"),
        (
            &["tokens", "create", "mine", "--role", "readonly", "--scope", "shop"][..],
            "role-too-low",
        ),
        (&["grants", "add", "user:bob@example.com", "owner", "shop"][..], "role-too-low"),
    ] {
        let refused = world.run("bob", words)?;
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.err.contains(rule), "{refused:?}");
    }
    assert_eq!(world.audit("denied")?.len(), 5);
    Ok(())
}
