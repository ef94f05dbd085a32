//! Idempotent requests.

use contract::Version;
use http::Method;

use super::value;
use crate::harness::{Harness, body, problem};

const SCOPE: &str = "/v1/secrets/shop.prod.api/";
const A: &str = "/v1/secrets/shop.prod.api/A";
const KEY: &str = "idempotency-key";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_is_done_once() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("B", b"b")]).await;
    let write = body(&[("A", b"hunter2")]);
    let keys: Vec<String> = (0..6).map(|at| format!("a-key-of-this-test-{at}")).collect();
    let requests: Vec<(Method, String, &[u8])> = vec![
        (Method::POST, SCOPE.to_owned(), write.expose()),
        (Method::POST, format!("{A}/rotate"), b"{}"),
        (Method::POST, format!("{A}/rollback"), br#"{"version":1}"#),
        (Method::POST, format!("{A}/destroy"), br#"{"versions":[2]}"#),
        (Method::DELETE, A.to_owned(), b""),
        (Method::POST, format!("{A}/undelete"), b""),
    ];
    for ((method, path, body), key) in requests.iter().zip(&keys) {
        let mut answers = Vec::new();
        for again in [false, true, true] {
            let (status, headers, answer) =
                harness.with(method.clone(), path, &[(KEY, key)], body).await;
            assert_eq!(status, 200, "{path}: {answer:?}");
            assert_eq!(headers["content-type"], "application/json");
            assert_eq!(headers.get("idempotency-replayed").is_some(), again, "{path}");
            answers.push(serde_json::from_slice::<serde_json::Value>(&answer).unwrap());
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
    }
    // Write, rotation and rollback happened once each.
    let versions = harness.json(&format!("{A}/versions")).await;
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
    assert_eq!(value(&harness, A).await.version, Version(1));
    // Neither the key nor anything derived from a value alone is stored.
    let database = harness.database();
    let sql = "SELECT principal, key_hash, fingerprint, body FROM idempotency";
    let mut statement = database.prepare(sql).unwrap();
    let rows: Vec<(String, Vec<u8>, Vec<u8>, String)> = statement
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(rows.len(), 6);
    let text = format!("{rows:?}");
    assert!(
        !text.contains("a-key-of-this-test")
            && !text.contains("hunter2")
            && !text.contains("aHVudGVyMg")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_with_one_key_are_done_once() {
    let harness = Harness::start().await;
    let write = body(&[("A", b"x")]);
    let headers = [(KEY, "0123456789abcdef")];
    let writes = (0..12).map(|_| harness.with(Method::POST, SCOPE, &headers, write.expose()));
    let answers = futures_util::future::join_all(writes).await;
    assert!(
        answers.iter().all(|(status, _, answer)| *status == 200 && answer == &answers[0].2),
        "{answers:?}"
    );
    assert_eq!(
        answers
            .iter()
            .filter(|(_, headers, _)| headers.get("idempotency-replayed").is_none())
            .count(),
        1
    );
    assert_eq!(value(&harness, A).await.version, Version(1));
    assert_eq!(harness.events("write").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request_of_one_principal() {
    let harness = Harness::start().await;
    let (one, two) = (body(&[("A", b"one")]), body(&[("A", b"two")]));
    let key = [(KEY, "0123456789abcdef")];
    assert_eq!(harness.with(Method::POST, SCOPE, &key, one.expose()).await.0, 200);
    let other_condition = [key[0], ("if-match", "\"1\"")];
    for (path, headers, body) in [
        (SCOPE, &key[..], two.expose()),
        ("/v1/secrets/shop.prod.web/", &key, one.expose()),
        (SCOPE, &other_condition, one.expose()),
    ] {
        let (status, answered, answer) = harness.with(Method::POST, path, headers, body).await;
        assert_eq!(problem(status, &answered, &answer).kind, "/problems/idempotency-key-reused");
        assert_eq!(status, 422);
    }
    // A refused request does not use up its key.
    let refused = [(KEY, "another-key-0123456789"), ("if-match", "\"9\"")];
    assert_eq!(harness.with(Method::POST, SCOPE, &refused, two.expose()).await.0, 412);
    assert_eq!(harness.with(Method::POST, SCOPE, &refused[..1], two.expose()).await.0, 200);
    for wrong in ["short", "", "with a space in it", &"x".repeat(201)] {
        assert_eq!(
            harness.with(Method::POST, SCOPE, &[(KEY, wrong)], one.expose()).await.0,
            400,
            "{wrong:?}"
        );
    }
    let request = br#"{"name":"second","role":"admin"}"#;
    let (_, _, made) = harness.with(Method::POST, "/v1/tokens", &[], request).await;
    let token = format!(
        "Bearer {}",
        serde_json::from_slice::<serde_json::Value>(&made).unwrap()["token"].as_str().unwrap()
    );
    let (status, headers, _) =
        harness.by(Method::POST, SCOPE, &[key[0], ("authorization", &token)], two.expose()).await;
    assert!(
        status == 200 && headers.get("idempotency-replayed").is_none(),
        "keys are per principal"
    );
}

/// Answer, status and whether it is a replay.
async fn again(
    harness: &Harness,
    (method, path, body): (&Method, &str, &str),
    headers: &[(&str, &str)],
) -> (u16, bool, serde_json::Value) {
    let (status, answered, answer) =
        harness.with(method.clone(), path, headers, body.as_bytes()).await;
    let answer = if answer.is_empty() { b"null" } else { answer.as_ref() };
    let answer = serde_json::from_slice(answer).unwrap();
    (status.as_u16(), answered.contains_key("idempotency-replayed"), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_grants_are_made_and_ended_once() {
    let harness = Harness::start().await;
    let grant = r#"{"subject":{"kind":"user","name":"ada"},"scope":"shop","access":"admin"}"#;
    let token = r#"{"name":"ci","role":"developer","scope":"shop"}"#;
    let rows = [
        (Method::POST, "/v1/grants", grant, 201),
        (Method::DELETE, "/v1/grants/1", "", 200),
        (Method::POST, "/v1/tokens", token, 201),
        (Method::DELETE, "/v1/tokens/ci", "", 204),
    ];
    let mut made = String::new();
    for (at, (method, path, body, status)) in rows.iter().enumerate() {
        let key = format!("a-key-of-this-test-{at}");
        let headers = [(KEY, key.as_str())];
        let first = again(&harness, (method, path, body), &headers).await;
        assert_eq!((first.0, first.1), (*status, false), "{path}: {first:?}");
        let second = again(&harness, (method, path, body), &headers).await;
        assert_eq!((second.0, second.1, &second.2), (*status, true, &first.2), "{path}");
        if let Some(token) = first.2["token"].as_str() {
            made = token.to_owned();
            assert_eq!(harness.ask(Method::GET, "/v1/whoami", Some(token), b"").await.0, 200);
        }
        let other = body.replace("shop", "other");
        if !other.is_empty() {
            assert_eq!(again(&harness, (method, path, &other), &headers).await.0, 422, "{path}");
        }
    }
    // What was made once and ended stays ended, whoever sends the first request again.
    for (at, (method, path, body, status)) in rows.iter().enumerate() {
        let key = format!("a-key-of-this-test-{at}");
        let answer = again(&harness, (method, path, body), &[(KEY, &key)]).await;
        assert_eq!((answer.0, answer.1), (*status, true), "{path}");
    }
    assert_eq!(harness.ask(Method::GET, "/v1/whoami", Some(&made), b"").await.0, 401);
    assert!(harness.json("/v1/grants").await["grants"].as_array().unwrap().is_empty());
    let made_by_requests = harness.events("grant").await;
    let by_requests = made_by_requests.iter().filter(|it| it["actor_type"] == "token");
    assert_eq!(by_requests.count(), 2);
    assert_eq!(harness.events("revoke").await.len(), 2);
    // The database has the answer with the token, and whoever reads the database does not.
    let database = harness.database();
    let mut statement = database.prepare("SELECT body FROM idempotency").unwrap();
    let bodies = statement.query_map((), |row| row.get(0)).unwrap();
    let bodies: Vec<String> = bodies.collect::<Result<_, _>>().unwrap();
    assert_eq!(bodies.len(), 4);
    let text = bodies.join("\n");
    assert!(!text.contains("enclii_") && !text.contains(&made[7..]), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_comes_before_the_precondition() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let write = String::from_utf8(body(&[("A", b"two")]).expose().to_vec()).unwrap();
    let rotate = format!("{A}/rotate");
    let rollback = format!("{A}/rollback");
    // Each row names the active version in a way that the ledger cannot check by itself.
    for (at, (method, path, body, tags)) in [
        (Method::POST, SCOPE, write.as_str(), r#""1", "9""#),
        (Method::POST, rotate.as_str(), "{}", r#""2", "9""#),
        (Method::POST, rollback.as_str(), r#"{"version":1}"#, r#""3", "9""#),
        (Method::DELETE, A, "", r#""1", "9""#),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("a-key-of-this-test-{at}");
        let headers = [(KEY, key.as_str()), ("if-match", tags)];
        let first = again(&harness, (&method, path, body), &headers).await;
        assert_eq!((first.0, first.1), (200, false), "{path}: {first:?}");
        let second = again(&harness, (&method, path, body), &headers).await;
        assert_eq!(second, (200, true, first.2), "{path}");
        // Without a kept answer, the precondition decides, or that there is nothing to delete.
        let refused = if method == Method::DELETE { 404 } else { 412 };
        let third = again(&harness, (&method, path, body), &headers[1..]).await;
        assert_eq!(third.0, refused, "{path}");
    }
}
