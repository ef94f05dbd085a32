//! References between secrets, through the API and the agents' stream.

use http::Method;
use serde_json::{Value, json};

use crate::agent::TestAgent;
use crate::harness::{Harness, problem};

async fn make_token(harness: &Harness, name: &str, role: &str, scope: &str) -> String {
    let request = json!({"name": name, "role": role, "scope": scope}).to_string();
    let (status, _, answer) =
        harness.with(Method::POST, "/v1/tokens", &[], request.as_bytes()).await;
    assert_eq!(status, 201);
    serde_json::from_slice::<Value>(&answer).unwrap()["token"].as_str().unwrap().to_owned()
}

/// The body of a write of `NAME` with references.
fn template(name: &str, value: &str) -> Vec<u8> {
    use base64::Engine as _;
    let value = base64::engine::general_purpose::STANDARD.encode(value);
    json!({"secrets": {name: {"value": value, "references": true}}}).to_string().into_bytes()
}

async fn refer(
    harness: &Harness,
    token: &str,
    scope: &str,
    name: &str,
    value: &str,
) -> (u16, String) {
    let path = format!("/v1/secrets/{scope}/");
    let (status, headers, answer) =
        harness.ask(Method::POST, &path, Some(token), &template(name, value)).await;
    let detail =
        if status == 200 { String::new() } else { problem(status, &headers, &answer).detail };
    (status.as_u16(), detail)
}

fn decoded(value: &Value) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_target_reaches_pods_that_hold_only_the_referrer() {
    let harness = Harness::start().await;
    let owner = harness.token();
    harness.set("other.prod.db", &[("HOST", b"one"), ("ROOT", b"hunter2")]).await;
    let url = "postgres://${other.prod.db/HOST}/";
    assert_eq!(refer(&harness, &owner, "shop.prod.api", "URL", url).await.0, 200);
    let mut api = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let held = async |agent: &mut TestAgent| {
        let (generation, values) = agent.values().await;
        assert_eq!(values.len(), 1, "the target itself is none of its secrets");
        (generation, String::from_utf8(values["URL"].clone()).unwrap())
    };
    assert_eq!(held(&mut api).await, (1, "postgres://one/".into()));
    harness.set("other.prod.db", &[("HOST", b"two")]).await;
    assert_eq!(held(&mut api).await, (2, "postgres://two/".into()));
    let body = br#"{"version":1}"#;
    harness.done(Method::POST, "/v1/secrets/other.prod.db/HOST/rollback", body).await;
    assert_eq!(held(&mut api).await, (3, "postgres://one/".into()));
    harness.done(Method::POST, "/v1/secrets/other.prod.db/HOST/rotate", b"").await;
    assert_eq!(held(&mut api).await.0, 4);
    // What is not referred to moves nothing.
    harness.set("other.prod.db", &[("ROOT", b"x")]).await;
    harness.set("other.prod.db", &[("HOST", b"five")]).await;
    assert_eq!(held(&mut api).await, (5, "postgres://five/".into()));

    // A person who reads it reads its targets as well, and the deliveries were reads of them.
    let path = "/v1/secrets/shop.prod.api/URL";
    let before = harness.events("read").await.len();
    let read = harness.json(path).await;
    assert_eq!(decoded(&read["value"]), "postgres://five/");
    let events = harness.events("read").await.split_off(before);
    let shown: Vec<String> = events
        .iter()
        .map(|it| {
            format!("{}/{} {}", it["scope"], it["resource_id"], it["version"]).replace('"', "")
        })
        .collect();
    assert_eq!(shown, ["shop.prod.api/URL 1", "other.prod.db/HOST 4"]);
    assert_eq!(events[1]["details"], "through shop.prod.api/URL");
    let raw = harness.json(&format!("{path}?raw=true")).await;
    assert_eq!(decoded(&raw["value"]), url);
    assert_eq!(harness.events("read").await.len(), before + 3, "the text is of one secret");
    let reads = harness.json("/v1/access/reads?scope=other.prod.db&secret=HOST&by=pod").await;
    let reads: Vec<String> = reads["reads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{}@{} v{}", it["bundle"], it["generation"], it["version"]))
        .map(|it| it.replace('"', ""))
        .collect();
    let of = |generation: u64, version: u64| format!("shop.prod.api@{generation} v{version}");
    assert_eq!(reads, [of(5, 4), of(4, 3), of(3, 1), of(2, 2), of(1, 1)]);
    let many = harness.done(Method::POST, "/v1/read/shop.prod.api", br#"{"names":["URL"]}"#).await;
    let many: Value = serde_json::from_slice(&many).unwrap();
    assert_eq!(decoded(&many["secrets"]["URL"]["value"]), "postgres://five/");
    // The version is the same although the value is another one, so nothing is 'not modified'.
    let (_, headers, _) = harness.with(Method::GET, path, &[], b"").await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let condition = [("if-none-match", tag.as_str())];
    assert_eq!(harness.with(Method::GET, path, &condition, b"").await.0, 200);
    let raw = format!("{path}?raw=true");
    assert_eq!(harness.with(Method::GET, &raw, &condition, b"").await.0, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_read_the_target_refers_to_it() {
    let harness = Harness::start().await;
    harness.set("shop.prod.db", &[("HOST", b"hunter2")]).await;
    harness.set("shop.prod", &[("WIDE", b"hunter2")]).await;
    harness.set("shop.prod.api", &[("OWN", b"own")]).await;
    let narrow = make_token(&harness, "narrow", "developer", "shop.prod.api").await;
    let wide = make_token(&harness, "wide", "developer", "shop").await;
    let owner = harness.token();
    let write =
        async |token: &str, value: &str| refer(&harness, token, "shop.prod.api", "A", value).await;
    // Whether it exists is not to be learned.
    let there = write(&narrow, "${shop.prod.db/HOST}").await;
    let absent = write(&narrow, "${shop.prod.db/NONE}").await;
    assert_eq!(there.0, 409, "{there:?}");
    assert_eq!(there.1.replace("HOST", "NONE"), absent.1);
    assert!(there.1.contains("no secret shop.prod.db/HOST to refer to"), "{}", there.1);
    assert_eq!(write(&narrow, "${other/X}").await.0, 409);
    // Who may know of it but not read it is told by which rule.
    let listed = write(&wide, "${shop.prod/WIDE}").await;
    assert!(listed.0 == 403 && listed.1.contains("role developer in shop"), "{listed:?}");
    assert_eq!(write(&wide, "${shop.prod.db/HOST}${shop.prod.api/OWN}").await.0, 200);
    // Each attempt is in the audit log, with what it was about.
    let denied = harness.events("denied").await;
    let about: Vec<String> = denied
        .iter()
        .map(|it| format!("{}/{}", it["scope"], it["resource_id"]).replace('"', ""))
        .collect();
    assert_eq!(about, ["shop.prod.db/HOST", "shop.prod.db/NONE", "other/X", "shop.prod/WIDE"]);
    // A version that refers to it does not come back for somebody who may not read it.
    assert_eq!(write(&narrow, "nothing").await.0, 200);
    let back = "/v1/secrets/shop.prod.api/A/rollback";
    let (status, headers, answer) =
        harness.ask(Method::POST, back, Some(&narrow), br#"{"version":1}"#).await;
    let refused = problem(status, &headers, &answer);
    assert!(status == 409 && refused.detail.contains("shop.prod.db/HOST"), "{}", refused.detail);
    assert_eq!(harness.ask(Method::POST, back, Some(&wide), br#"{"version":1}"#).await.0, 200);
    // A secret that others refer to is not deleted; only what may be known is named.
    let host = "/v1/secrets/shop.prod.db/HOST";
    let db = make_token(&harness, "db", "developer", "shop.prod.db").await;
    for (token, says) in [
        (&db, "it is referred to by 1 other secret;"),
        (&wide, "it is referred to by shop.prod.api/A;"),
        (&owner, "it is referred to by shop.prod.api/A;"),
    ] {
        let (status, headers, answer) = harness.ask(Method::DELETE, host, Some(token), b"").await;
        let refused = problem(status, &headers, &answer);
        assert!(refused.detail.contains(says), "{}", refused.detail);
        assert_eq!((status.as_u16(), refused.kind.as_str()), (409, "/problems/referenced"));
    }
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await;
    // Who may not read its target does not restore it either.
    let restore = "/v1/secrets/shop.prod.api/A/undelete";
    assert_eq!(harness.ask(Method::POST, restore, Some(&narrow), b"").await.0, 409);
    harness.done(Method::DELETE, host, b"").await;
    assert_eq!(harness.refused(Method::POST, restore, b"").await.status, 409);
    harness.done(Method::POST, &format!("{host}/undelete"), b"").await;
    harness.done(Method::POST, restore, b"").await;
    // Metadata names the references, as far as they may be known.
    let metadata = async |token: &str| {
        let path = "/v1/secrets/shop.prod.api/A/metadata";
        let (_, _, answer) = harness.ask(Method::GET, path, Some(token), b"").await;
        serde_json::from_slice::<Value>(&answer).unwrap()["references"].clone()
    };
    assert_eq!(metadata(&owner).await, json!(["shop.prod.api/OWN", "shop.prod.db/HOST"]));
    assert_eq!(metadata(&narrow).await, json!(["shop.prod.api/OWN"]));
    // A value that merely has such a text is what it is.
    harness.set("shop.prod.api", &[("TEXT", b"${shop.prod.db/HOST}")]).await;
    let text = harness.json("/v1/secrets/shop.prod.api/TEXT").await;
    assert_eq!(decoded(&text["value"]), "${shop.prod.db/HOST}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_where_and_never_what() {
    let harness = Harness::start().await;
    let owner = harness.token();
    harness.set("shop.prod.api", &[("A", b"a")]).await;
    let write = async |name: &str, value: &str| {
        let (status, detail) = refer(&harness, &owner, "shop.prod.api", name, value).await;
        assert!(!detail.contains("hunter2"), "{detail}");
        (status, detail)
    };
    let (status, detail) = write("B", "hunter2 ${hunter2}").await;
    assert!(status == 400 && detail.contains("the value of B: at byte 8"), "{detail}");
    assert_eq!(write("B", "hunter2${shop.prod.api/A}$${HOME}").await.0, 200);
    let (status, detail) = write("A", "hunter2${shop.prod.api/B}").await;
    assert!(
        status == 409 && detail.contains("its reference to shop.prod.api/B leads back to it"),
        "{detail}"
    );
    let read = harness.json("/v1/secrets/shop.prod.api/B").await;
    assert_eq!(decoded(&read["value"]), "hunter2a${HOME}");
}
