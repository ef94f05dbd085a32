//! Whoever gets rights without a request has an event all the same: the bootstrap token, the groups
//! of the configuration and the pods of a development file.

use http::Method;
use serde_json::Value;

use super::{make_token, status};
use crate::harness::{Harness, write};
use crate::identity_provider::IdentityProvider;

const RESTORE: &str = "--restore-bootstrap-token";

async fn is_valid(harness: &Harness, token: &str) -> bool {
    status(harness, token, Method::GET, "/v1/whoami", b"").await == 200
}

/// Action, resource and details of the events of a part of switchyard itself.
async fn events_of(harness: &Harness, token: &str, part: &str) -> Vec<(String, String, String)> {
    let path = format!("/v1/audit?limit=1000&actor={part}");
    let (status, _, body) = harness.ask(Method::GET, &path, Some(token), b"").await;
    assert_eq!(status, 200);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    let events =
        body["events"].as_array().unwrap().iter().filter(|it| it["actor_type"] == "system");
    events.map(|it| (text(it, "action"), text(it, "resource_id"), text(it, "details"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_bootstrap_token_stays_revoked_until_the_operator_says_otherwise() {
    let harness = Harness::start().await;
    let first = harness.token();
    let owner = make_token(&harness, "owner", "owner", None).await;
    let made = events_of(&harness, &owner, "bootstrap").await;
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(made[0].0 == "grant" && made[0].1 == "bootstrap", "{made:?}");
    assert!(made[0].2.contains("role owner everywhere"), "{made:?}");
    assert_eq!(status(&harness, &owner, Method::DELETE, "/v1/tokens/bootstrap", b"").await, 204);

    // Whoever may write the file, or the Secret, does not become an owner by that.
    let path = harness.directory.join("data/bootstrap-token");
    let second = "a second token, which somebody put there".replace(' ', "-");
    write(&path, &second);
    let harness = harness.restart().await;
    assert!(!is_valid(&harness, &second).await && !is_valid(&harness, &first).await);
    assert_eq!(events_of(&harness, &owner, "bootstrap").await.len(), 1);

    // The operator who says so on the command line does, and the audit log has it.
    let harness = harness.restart_with(&[RESTORE]).await;
    assert!(is_valid(&harness, &second).await);
    let made = events_of(&harness, &owner, "bootstrap").await;
    assert!(made.len() == 2 && made[1].2.contains(RESTORE), "{made:?}");
    // The flag may stay, and adds nothing to a valid token.
    let harness = harness.restart_with(&[RESTORE]).await;
    assert!(is_valid(&harness, &second).await);
    assert_eq!(events_of(&harness, &owner, "bootstrap").await.len(), 2);

    // A token that was revoked never comes back; without a stored one there is a new one.
    assert_eq!(status(&harness, &owner, Method::DELETE, "/v1/tokens/bootstrap", b"").await, 204);
    let mut harness = harness;
    for revoked in [&first, &second] {
        write(&path, revoked);
        harness = harness.restart_with(&[RESTORE]).await;
        assert!(!is_valid(&harness, revoked).await);
    }
    std::fs::remove_file(&path).unwrap();
    let harness = harness.restart_with(&[RESTORE]).await;
    let third = harness.token();
    assert!(third != second && is_valid(&harness, &third).await);
    assert_eq!(events_of(&harness, &owner, "bootstrap").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_of_the_configuration_are_events_when_they_change() {
    let provider = IdentityProvider::start();
    let flags = provider.flags(&["platform=owner", "devs=developer@shop"]);
    let harness = Harness::start_with(&flags).await;
    let token = harness.token();
    let events = events_of(&harness, &token, "configuration").await;
    let named = |action: &str, id: &str, words: &str| {
        events.iter().filter(|it| it.0 == action && it.1 == id && it.2.contains(words)).count()
    };
    assert_eq!(named("grant", "group:platform", "role owner everywhere"), 1, "{events:?}");
    assert_eq!(named("grant", "group:devs", "role developer in shop"), 1, "{events:?}");
    assert_eq!(named("grant", "development-identities", "5 pods"), 1, "{events:?}");

    // The same configuration is no news; what is gone and what is new is.
    let harness = harness.restart_with(&flags).await;
    assert_eq!(events_of(&harness, &token, "configuration").await.len(), 3);
    let flags = provider.flags(&["platform=admin", "devs=developer@shop"]);
    let harness = harness.restart_with(&flags).await;
    let events = events_of(&harness, &token, "configuration").await;
    assert_eq!(events.len(), 5, "{events:?}");
    let (gone, new) = (
        events.iter().find(|it| it.0 == "revoke").unwrap(),
        events.iter().rfind(|it| it.0 == "grant").unwrap(),
    );
    assert!(gone.1 == "group:platform" && gone.2.contains("role owner"), "{events:?}");
    assert!(new.1 == "group:platform" && new.2.contains("role admin"), "{events:?}");

    // A login says which rights it brings.
    provider.log_in(&harness, "ada", &["platform", "devs"]).await;
    provider.log_in(&harness, "eve", &["guests"]).await;
    let logins = harness.events("login").await;
    let details: Vec<_> = logins.iter().map(|it| it["details"].as_str().unwrap()).collect();
    assert!(
        details[0].contains("role admin everywhere, of group platform")
            && details[0].contains("role developer in shop, of group devs"),
        "{details:?}"
    );
    assert!(details[1].contains("no role"), "{details:?}");
}
