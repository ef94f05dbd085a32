//! When secrets were last read, in lists, metadata and the search, as the running program counts.

use http::Method;
use serde_json::{Value, json};

use super::{make_token, status};
use crate::agent::TestAgent;
use crate::harness::{Harness, problem, until};
use crate::identity_provider::IdentityProvider;

async fn get(harness: &Harness, token: &str, path: &str) -> Value {
    let (status, _, answer) = harness.ask(Method::GET, path, Some(token), b"").await;
    assert_eq!(status, 200, "{path}: {answer:?}");
    serde_json::from_slice(&answer).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list["secrets"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn last_reads_are_shown_to_whoever_may_list_the_secret() {
    let provider = IdentityProvider::start();
    let harness = Harness::start_with(&provider.flags(&["devs=developer@shop"])).await;
    harness.set("shop.prod.api", &[("POD", b"1"), ("READ", b"1")]).await;
    harness.set("shop.prod.web", &[("NEVER", b"1")]).await;
    let old = "UPDATE secrets SET created_at = 1767225600000";
    harness.database().execute(old, []).unwrap();
    let mut api = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    api.values().await;
    let ada = provider.log_in(&harness, "ada", &["devs"]).await;
    assert_eq!(
        status(&harness, &ada, Method::GET, "/v1/secrets/shop.prod.api/READ", b"").await,
        200
    );
    harness.json("/v1/secrets/shop.prod.api/READ").await;

    // After a restart the count goes on at once.
    let harness = harness.restart().await;
    let owner = harness.token();
    let path = "/v1/secrets/shop.prod.api/READ/metadata";
    until("reads to be counted", async || {
        get(&harness, &owner, path).await["last_read_by_person"].is_string()
    })
    .await;
    let read = get(&harness, &owner, path).await;
    for kind in ["pod", "person", "program"] {
        assert!(read[format!("last_read_by_{kind}")].is_string(), "{kind}: {read}");
    }
    assert!(read["reads_until"].is_string(), "{read}");
    let list = get(&harness, &owner, "/v1/secrets/shop.prod.api/").await;
    let pod = &list["secrets"][0];
    assert_eq!(pod["name"], "POD");
    assert!(pod["last_read_by_pod"].is_string() && pod["reads_until"].is_null(), "{list}");
    assert!(pod["last_read_by_person"].is_null(), "{list}");
    assert!(list["reads_until"].is_string(), "{list}");

    // Nobody read it since January, when it was made.
    let since = "unused_since=2026-02-01T00:00:00Z";
    for (path, expected) in [
        (format!("/v1/secrets/shop.prod.api/?{since}"), &[][..]),
        (format!("/v1/secrets/shop.prod.web/?{since}"), &["NEVER"]),
        (format!("/v1/search?{since}"), &["NEVER"]),
        (format!("/v1/search?{since}&scope=shop.prod.api"), &[]),
        ("/v1/search?unused_since=2026-01-01T00:00:00Z".to_owned(), &[]),
    ] {
        let found = get(&harness, &owner, &path).await;
        assert_eq!(names(&found), expected, "{path}");
        assert!(found["reads_until"].is_string(), "{found}");
    }
    let other = make_token(&harness, "other", "developer", Some("bank")).await;
    let nothing = get(&harness, &other, &format!("/v1/search?{since}")).await;
    assert_eq!(nothing["secrets"], json!([]));
    for (query, code, word) in [
        (format!("inherited=true&{since}"), 400, "inherited"),
        ("unused_since=2100-01-01T00:00:00Z".to_owned(), 400, "future"),
    ] {
        let path = format!("/v1/secrets/shop.prod.api/?{query}");
        let (status, headers, answer) = harness.ask(Method::GET, &path, Some(&owner), b"").await;
        let problem = problem(status, &headers, &answer);
        assert!(problem.status == code && problem.detail.contains(word), "{problem:?}");
    }
    // What was read just now may not be counted: nobody knows yet what is unused.
    let just_now = jiff::Timestamp::now();
    let path = format!("/v1/secrets/shop.prod.api/?unused_since={just_now}");
    let (status, headers, answer) = harness.ask(Method::GET, &path, Some(&owner), b"").await;
    let problem = problem(status, &headers, &answer);
    assert!(problem.status == 409 && problem.detail.contains("counted up to"), "{problem:?}");
}
