//! Logins that are refused: with one and the same sentence, and the reason in the audit trail.

use anyhow::Result;
use serde_json::{Value, json};

use crate::world::{World, now};

fn good(world: &World) -> Result<Value> {
    let now = now()?;
    Ok(json!({
        "iss": world.issuer, "aud": "enclii", "sub": "ada", "iat": now, "exp": now + 300, "nonce": "n",
        "email": "ada@example.com", "email_verified": true, "groups": ["platform"],
    }))
}

#[test]
fn tokens_that_no_provider_makes() -> Result<()> {
    let world = World::start()?;
    let good = good(&world)?;
    let now = now()?;
    let with = |changes: Value| {
        let mut claims = good.clone();
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    };
    let rows = [
        ("wrong audience", "ours", json!({}), with(json!({"aud": "other"}))),
        (
            "another client's",
            "ours",
            json!({}),
            with(json!({"aud": ["enclii", "other"], "azp": "other"})),
        ),
        ("wrong issuer", "ours", json!({}), with(json!({"iss": "https://login.example.com"}))),
        ("expired", "ours", json!({}), with(json!({"iat": now - 900, "exp": now - 600}))),
        ("not valid yet", "ours", json!({}), with(json!({"nbf": now + 600}))),
        ("of the future", "ours", json!({}), with(json!({"iat": now + 600}))),
        ("unsigned", "none", json!({"alg": "none"}), good.clone()),
        (
            "with the public key as an HMAC's secret",
            "public",
            json!({"alg": "HS256"}),
            good.clone(),
        ),
        ("with another algorithm's name", "ours", json!({"alg": "ES256"}), good.clone()),
        ("with an unknown key", "strange", json!({"kid": "strange"}), good.clone()),
        ("with an unknown key under a known number", "strange", json!({}), good.clone()),
        (
            "with its key in its head",
            "strange",
            json!({"kid": "ours", "jku": "http://127.0.0.1:1/jwks"}),
            good.clone(),
        ),
        ("without groups", "ours", json!({}), with(json!({"groups": null}))),
        ("with a group that is a text", "ours", json!({}), with(json!({"groups": "platform"}))),
        (
            "with an email that is not verified",
            "ours",
            json!({}),
            with(json!({"email_verified": false})),
        ),
        ("without an email", "ours", json!({}), with(json!({"email": null}))),
        (
            "with an email in two lines",
            "ours",
            json!({}),
            with(json!({"email": "ada@example.com\nroot"})),
        ),
    ];
    let mut said = std::collections::BTreeSet::new();
    for (name, key, header, claims) in &rows {
        let token = world.sign(key, header, claims)?;
        let (status, body) = world.offer(&token, None)?;
        assert_eq!(status, 401, "{name}: {body}");
        said.insert(body["detail"].to_string());
    }
    let token = world.sign("ours", &json!({}), &good)?;
    for (name, token, nonce) in [
        ("cut", &token[..token.len() - 3], None),
        ("of another login", token.as_str(), Some("m")),
        ("no token", "a.b.c", None),
    ] {
        let (status, body) = world.offer(token, nonce)?;
        assert_eq!(status, 401, "{name}: {body}");
        said.insert(body["detail"].to_string());
    }
    assert_eq!(said.len(), 1, "{said:?}");
    let trail = world.audit("login")?;
    assert_eq!(trail.len(), rows.len() + 3);
    assert!(
        trail
            .iter()
            .all(|event| event["outcome"] == "denied" && event["actor_type"] == "anonymous")
    );
    let reasons: std::collections::BTreeSet<_> =
        trail.iter().map(|event| event["details"].to_string()).collect();
    assert!(reasons.len() >= 9, "{reasons:?}");

    // The same claims with the same key, and nothing wrong with them.
    let (status, body) = world.offer(&token, Some("n"))?;
    assert_eq!(status, 200, "{body}");
    Ok(())
}

#[test]
fn people_whom_the_provider_knows_too_little_of() -> Result<()> {
    let world = World::start()?;
    // Eve typed Ada's address and never proved it; nobody says which groups Ann is in.
    for person in ["eve", "ann"] {
        let refused = world.log_in(person, &["login", "--no-browser"])?;
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.err.contains("the ID token is not valid"), "{refused:?}");
        assert_eq!(world.run(person, &["whoami"])?.code, 3);
    }
    let reasons: Vec<_> =
        world.audit("login")?.iter().map(|event| event["details"].to_string()).collect();
    assert_eq!(
        reasons,
        [
            "\"the ID token's email is not verified\"",
            "\"the ID token has no list of groups in the claim groups\""
        ]
    );
    Ok(())
}
