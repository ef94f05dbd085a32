//! Logins that succeed, the roles they give, and logout.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::harness::OidcHarness;

const SCOPE_ARGS: [&str; 6] = ["--project", "shop", "--env", "prod", "--service", "api"];

#[test]
fn a_browser_login_lasts_until_logout() -> Result<()> {
    let harness = OidcHarness::start()?;
    assert_eq!(harness.run("ada", &["whoami"])?.code, 3);
    harness.log_in("ada", &["login", "--no-browser"])?.success()?;

    let who: Value =
        serde_json::from_str(&harness.run("ada", &["whoami", "--output", "json"])?.success()?)?;
    assert_eq!((&who["kind"], &who["name"]), (&json!("user"), &json!("ada@example.com")));
    assert_eq!(
        (&who["groups"], &who["roles"]),
        (&json!(["platform"]), &json!([{"role": "owner"}]))
    );
    let credentials = harness.home("ada").join("enclii/credentials.json");
    assert_eq!(std::fs::metadata(&credentials)?.permissions().mode() & 0o777, 0o600);

    // The audit log names her.
    harness.run("ada", &[&["secrets", "set", "A=one"][..], &SCOPE_ARGS].concat())?.success()?;
    let written = harness.audit("write")?;
    assert_eq!(
        (&written[0]["actor_type"], &written[0]["actor_id"]),
        (&json!("user"), &json!("ada@example.com"))
    );
    assert_eq!(written[0]["details"], json!("role owner everywhere, of group platform"));

    let file: Value = serde_json::from_slice(&std::fs::read(&credentials)?)?;
    let sessions = file["sessions"].as_object().context("sessions")?;
    let token =
        sessions.values().next().and_then(|it| it["token"].as_str()).context("token")?.to_owned();
    assert_eq!(harness.get("/v1/whoami", &token)?.0, 200);
    harness.run("ada", &["logout"])?.success()?;
    assert_eq!(harness.run("ada", &["whoami"])?.code, 3);
    // The session is not only removed here: switchyard refuses it.
    assert_eq!(harness.get("/v1/whoami", &token)?.0, 401);
    assert!(!std::fs::read_to_string(&credentials)?.contains(&token));
    Ok(())
}

#[test]
fn a_device_login_has_the_roles_of_the_groups() -> Result<()> {
    let harness = OidcHarness::start()?;
    harness.log_in("bob", &["login", "--device"])?.success()?;
    let who: Value =
        serde_json::from_str(&harness.run("bob", &["whoami", "--output", "json"])?.success()?)?;
    assert_eq!(who["roles"], json!([{"role": "developer", "scope": "shop"}]));

    // A developer can work on a service's secrets, but not on wider scopes.
    harness.run("bob", &[&["secrets", "set", "A=one"][..], &SCOPE_ARGS].concat())?.success()?;
    assert_eq!(
        harness.run("bob", &[&["secrets", "get", "A"][..], &SCOPE_ARGS].concat())?.success()?,
        "one"
    );
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
        let refused = harness.run("bob", words)?;
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.err.contains(rule), "{refused:?}");
    }
    assert_eq!(harness.audit("denied")?.len(), 5);
    Ok(())
}
