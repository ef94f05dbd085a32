//! Refused logins: always the same message, with the reason in the audit log.

use anyhow::Result;
use serde_json::{Value, json};

use crate::harness::{OidcHarness, now};

fn valid_claims(harness: &OidcHarness) -> Result<Value> {
    let now = now()?;
    Ok(json!({
        "iss": harness.issuer, "aud": "enclii", "sub": "ada", "nonce": "n",
        "iat": now, "exp": now + 300,
        "email": "ada@example.com", "email_verified": true, "groups": ["platform"],
    }))
}

#[test]
fn forged_tokens_are_refused() -> Result<()> {
    let harness = OidcHarness::start()?;
    let good = valid_claims(&harness)?;
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
            "authorized party is another client",
            "ours",
            json!({}),
            with(json!({"aud": ["enclii", "other"], "azp": "other"})),
        ),
        ("wrong issuer", "ours", json!({}), with(json!({"iss": "https://login.example.com"}))),
        ("expired", "ours", json!({}), with(json!({"iat": now - 900, "exp": now - 600}))),
        ("not valid yet", "ours", json!({}), with(json!({"nbf": now + 600}))),
        ("issued in the future", "ours", json!({}), with(json!({"iat": now + 600}))),
        ("unsigned", "none", json!({"alg": "none"}), good.clone()),
        ("signed by HMAC with the public key", "public", json!({"alg": "HS256"}), good.clone()),
        ("with another algorithm", "ours", json!({"alg": "ES256"}), good.clone()),
        ("with an unknown key", "strange", json!({"kid": "strange"}), good.clone()),
        ("with an unknown key under a known key ID", "strange", json!({}), good.clone()),
        (
            "with a key URL in its header",
            "strange",
            json!({"kid": "ours", "jku": "http://127.0.0.1:1/jwks"}),
            good.clone(),
        ),
        ("without groups", "ours", json!({}), with(json!({"groups": null}))),
        ("with groups that are a string", "ours", json!({}), with(json!({"groups": "platform"}))),
        ("with an unverified email", "ours", json!({}), with(json!({"email_verified": false}))),
        ("without an email", "ours", json!({}), with(json!({"email": null}))),
        (
            "with a newline in the email",
            "ours",
            json!({}),
            with(json!({"email": "ada@example.com\nroot"})),
        ),
    ];
    let mut messages = std::collections::BTreeSet::new();
    for (name, key, header, claims) in &rows {
        let token = harness.sign(key, header, claims)?;
        let (status, body) = harness.offer(&token, None)?;
        assert_eq!(status, 401, "{name}: {body}");
        messages.insert(body["detail"].to_string());
    }
    let token = harness.sign("ours", &json!({}), &good)?;
    for (name, token, nonce) in [
        ("truncated", &token[..token.len() - 3], None),
        ("of another login", token.as_str(), Some("m")),
        ("not a token", "a.b.c", None),
    ] {
        let (status, body) = harness.offer(token, nonce)?;
        assert_eq!(status, 401, "{name}: {body}");
        messages.insert(body["detail"].to_string());
    }
    assert_eq!(messages.len(), 1, "{messages:?}");
    let events = harness.audit("login")?;
    assert_eq!(events.len(), rows.len() + 3);
    assert!(
        events
            .iter()
            .all(|event| event["outcome"] == "denied" && event["actor_type"] == "anonymous")
    );
    let reasons: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["details"].to_string()).collect();
    assert!(reasons.len() >= 9, "{reasons:?}");

    // The unmodified claims, signed with the right key, are accepted.
    let (status, body) = harness.offer(&token, Some("n"))?;
    assert_eq!(status, 200, "{body}");
    Ok(())
}

#[test]
fn people_without_verified_email_or_groups_are_refused() -> Result<()> {
    let harness = OidcHarness::start()?;
    // Eve's email is Ada's and not verified; Ann has no groups.
    for person in ["eve", "ann"] {
        let refused = harness.log_in(person, &["login", "--no-browser"])?;
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.err.contains("the ID token is not valid"), "{refused:?}");
        assert_eq!(harness.run(person, &["whoami"])?.code, 3);
    }
    let reasons: Vec<_> =
        harness.audit("login")?.iter().map(|event| event["details"].to_string()).collect();
    assert_eq!(
        reasons,
        [
            "\"the ID token's email is not verified\"",
            "\"the ID token has no list of groups in the claim groups\""
        ]
    );
    Ok(())
}
