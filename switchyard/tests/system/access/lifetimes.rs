//! What ends, and what does not come back: sessions, grants of tokens that end, and ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{make_token, status};
use crate::harness::{Harness, body, problem, until};
use crate::identity_provider::{IdentityProvider, offer};

/// The names of a person's sessions.
async fn sessions(harness: &Harness, person: &str) -> Vec<String> {
    let listed = harness.json("/v1/tokens").await;
    let by = format!("user:{person}");
    let all = listed["tokens"].as_array().unwrap().iter();
    all.filter(|it| it["kind"] == "session" && it["created_by"] == by.as_str())
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_ended_only_by_who_has_its_roles() {
    let provider = IdentityProvider::start();
    let roles = ["platform=owner", "ops=admin", "shops=owner@shop", "devs=developer@shop"];
    let harness = Harness::start_with(&provider.flags(&roles)).await;
    let owner = provider.log_in(&harness, "ada", &["platform"]).await;
    let shop = provider.log_in(&harness, "sam", &["shops", "devs"]).await;
    let developer = provider.log_in(&harness, "dan", &["devs"]).await;
    let admin = provider.log_in(&harness, "bob", &["ops"]).await;
    let (of_owner, of_shop, of_developer) = (
        sessions(&harness, "ada").await.remove(0),
        sessions(&harness, "sam").await.remove(0),
        sessions(&harness, "dan").await.remove(0),
    );
    let is_valid =
        async |token: &str| status(&harness, token, Method::GET, "/v1/whoami", b"").await == 200;
    for (session, token) in [(&of_owner, &owner), (&of_shop, &shop)] {
        let path = format!("/v1/tokens/{session}");
        let (status, headers, answer) = harness.ask(Method::DELETE, &path, Some(&admin), b"").await;
        let problem = problem(status, &headers, &answer);
        assert!(
            problem.status == 403 && problem.detail.contains("not-more-than-own"),
            "{problem:?}"
        );
        assert!(is_valid(token).await);
    }
    // An admin of a scope ends nobody's session but its own, an admin of everything those of less.
    let scoped = make_token(&harness, "scoped", "admin", Some("shop")).await;
    let path = format!("/v1/tokens/{of_developer}");
    assert_eq!(status(&harness, &scoped, Method::DELETE, &path, b"").await, 404);
    assert_eq!(status(&harness, &admin, Method::DELETE, &path, b"").await, 204);
    assert!(!is_valid(&developer).await);
    let path = format!("/v1/tokens/{of_shop}");
    assert_eq!(status(&harness, &owner, Method::DELETE, &path, b"").await, 204);
    let path = format!("/v1/tokens/{of_owner}");
    assert_eq!(status(&harness, &owner, Method::DELETE, &path, b"").await, 204);
    assert!(!is_valid(&owner).await && !is_valid(&shop).await);
}

async fn add(harness: &Harness, token: &str, request: &Value) -> (u16, Value) {
    let (status, _, answer) =
        harness.ask(Method::POST, "/v1/grants", Some(token), request.to_string().as_bytes()).await;
    (status.as_u16(), serde_json::from_slice(&answer).unwrap())
}

fn admin_of_shop(person: &str) -> Value {
    json!({"subject": {"kind": "user", "name": person}, "scope": "shop", "access": "admin"})
}

/// A time as the ledger has it, in milliseconds.
fn time(value: &Value) -> Timestamp {
    let at: Timestamp = value.as_str().unwrap().parse().unwrap();
    Timestamp::from_millisecond(at.as_millisecond()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_with_the_authority_that_made_it() {
    let provider = IdentityProvider::start();
    let harness = Harness::start_with(&provider.flags(&[])).await;
    let ask = json!({"name": "short", "role": "admin", "ttl_seconds": 60}).to_string();
    let (status, _, made) = harness.with(Method::POST, "/v1/tokens", &[], ask.as_bytes()).await;
    assert_eq!(status, 201);
    let made: Value = serde_json::from_slice(&made).unwrap();
    let (short, ends) = (made["token"].as_str().unwrap(), time(&made["expires_at"]));

    let (status, eve) = add(&harness, short, &admin_of_shop("eve")).await;
    assert_eq!((status, time(&eve["expires_at"])), (201, ends), "{eve}");
    // What she grants ends when her own role does, although a session has no say in that.
    let session = provider.log_in(&harness, "eve", &[]).await;
    let (status, mallory) = add(&harness, &session, &admin_of_shop("mallory")).await;
    assert_eq!((status, time(&mallory["expires_at"])), (201, ends), "{mallory}");
    let ask = json!({"name": "heir", "role": "readonly", "scope": "shop", "ttl_seconds": 86_400});
    let (status, headers, answer) =
        harness.ask(Method::POST, "/v1/tokens", Some(&session), ask.to_string().as_bytes()).await;
    assert!(problem(status, &headers, &answer).detail.contains("rule no-longer-than-own"));

    // A time that is asked for is kept to, and is refused beyond the grantor's own.
    let mut longer = admin_of_shop("bob");
    longer["expires_at"] = json!(ends.checked_add(SignedDuration::from_secs(1)).unwrap());
    let (status, refused) = add(&harness, short, &longer).await;
    assert_eq!(status, 403, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("rule no-longer-than-own"), "{refused}");
    longer["expires_at"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(add(&harness, short, &longer).await.0, 400);

    // The same grant again: an authority without an end lifts the end, a shorter one does not set
    // it again.
    let owner = harness.token();
    let (status, lifted) = add(&harness, &owner, &admin_of_shop("eve")).await;
    assert_eq!((status, &lifted["id"]), (201, &eve["id"]));
    assert!(lifted.get("expires_at").is_none(), "{lifted}");
    let (_, again) = add(&harness, short, &admin_of_shop("eve")).await;
    assert_eq!(again, lifted);
    // A person with a role of the configuration is not bound to the session.
    let grants = harness.events("grant").await;
    let of_eve: Vec<_> = grants.iter().filter(|it| it["resource_id"] == "user:eve").collect();
    assert_eq!(of_eve.len(), 2, "{of_eve:?}");
    assert!(of_eve[0]["details"].as_str().unwrap().contains(&format!("until {ends}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_past_its_end_gives_nothing_and_can_be_made_again() {
    let provider = IdentityProvider::start();
    let harness = Harness::start_with(&provider.flags(&[])).await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    let owner = harness.token();
    let mut request = admin_of_shop("eve");
    let end = Timestamp::now().checked_add(SignedDuration::from_secs(2)).unwrap();
    request["expires_at"] = json!(end);
    let (status_, first) = add(&harness, &owner, &request).await;
    assert_eq!(status_, 201);
    let session = provider.log_in(&harness, "eve", &[]).await;
    let path = "/v1/secrets/shop.prod.api/A";
    until("the end of the grant", async || {
        status(&harness, &session, Method::GET, path, b"").await == 403
    })
    .await;
    assert!(Timestamp::now() >= end);
    assert!(harness.json("/v1/grants").await["grants"].as_array().unwrap().is_empty());
    let gone = format!("/v1/grants/{}", first["id"]);
    assert_eq!(status(&harness, &owner, Method::DELETE, &gone, b"").await, 404);
    let (status_, second) = add(&harness, &owner, &admin_of_shop("eve")).await;
    assert!(status_ == 201 && second["id"].as_u64() > first["id"].as_u64(), "{second}");
    assert_eq!(status(&harness, &session, Method::GET, path, b"").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_removed_grant_is_not_given_again() {
    let harness = Harness::start().await;
    let owner = harness.token();
    let mut last = 0;
    for person in ["one", "two", "three"] {
        let id = add(&harness, &owner, &admin_of_shop(person)).await.1["id"].as_u64().unwrap();
        assert!(id > last, "the id {id} was given before");
        let path = format!("/v1/grants/{id}");
        assert_eq!(status(&harness, &owner, Method::DELETE, &path, b"").await, 200);
        last = id;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_inherit_the_answers_of_its_namesake() {
    let harness = Harness::start().await;
    let write = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "0123456789abcdef")];
        let secrets = body(&[("A", b"x")]);
        let (status, headers, _) = harness
            .by(Method::POST, "/v1/secrets/shop.prod.api/", &headers, secrets.expose())
            .await;
        (status.as_u16(), headers.contains_key("idempotency-replayed"))
    };
    let first = make_token(&harness, "ci", "developer", Some("shop.prod")).await;
    assert_eq!(write(&first).await, (200, false));
    assert_eq!(write(&first).await, (200, true));
    let owner = harness.token();
    assert_eq!(status(&harness, &owner, Method::DELETE, "/v1/tokens/ci", b"").await, 204);
    let second = make_token(&harness, "ci", "developer", Some("shop.prod")).await;
    assert_eq!(write(&second).await, (200, false));
}

/// The same ID token with the other valid form of its ECDSA signature: `(r, n - s)`.
fn with_other_signature(id_token: &str) -> String {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (signed, signature) = id_token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(bytes[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        bytes[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_is_not_undone_by_its_id_token() {
    let provider = IdentityProvider::start();
    let harness = Harness::start_with(&provider.flags(&["platform=owner"])).await;
    let id_token = provider.id_token("ada", &["platform"]);
    let log_in = async |id_token: &str| {
        let (status, body) = offer(&harness, id_token).await;
        (status, body["token"].as_str().unwrap_or_default().to_owned(), body)
    };
    // An ID token can be exchanged again, until one of its sessions is ended.
    let (status_, first, _) = log_in(&id_token).await;
    assert_eq!(status_, 200);
    assert_eq!(log_in(&with_other_signature(&id_token)).await.0, 200);
    let (_, third, _) = log_in(&id_token).await;
    assert_eq!(status(&harness, &first, Method::POST, "/v1/logout", b"").await, 204);
    for again in [id_token.clone(), with_other_signature(&id_token)] {
        let (status, _, body) = log_in(&again).await;
        assert_eq!((status, &body["detail"]), (401, &json!("the ID token is not valid")));
    }
    // Her other session goes on, and so does a new login.
    assert_eq!(status(&harness, &third, Method::GET, "/v1/whoami", b"").await, 200);
    let fresh = provider.id_token("ada", &["platform"]);
    assert_eq!(log_in(&fresh).await.0, 200);
    // The same after an administrator ended it, and after a restart.
    let newest = sessions(&harness, "ada").await.pop().unwrap();
    let path = format!("/v1/tokens/{newest}");
    let owner = harness.token();
    assert_eq!(status(&harness, &owner, Method::DELETE, &path, b"").await, 204);
    let flags = provider.flags(&["platform=owner"]);
    let harness = harness.restart_with(&flags).await;
    assert_eq!(offer(&harness, &fresh).await.0, 401);
    assert_eq!(offer(&harness, &id_token).await.0, 401);
    let denied = harness.events("login").await;
    let last = denied.last().unwrap();
    assert!(last["outcome"] == "denied" && last["details"].as_str().unwrap().contains("ended"));
}
