//! Switchyard with 1Password as its store, using a fake Connect server.

#[allow(dead_code, unused_imports, reason = "a test uses the parts that it needs")]
#[path = "../../../lockbox/tests/fake_connect/mod.rs"]
mod connect;

use std::path::Path;

use connect::Connect;
use contract::Version;
use contract::api::{SecretValue, VersionList, VersionState, Written};
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Harness, body, problem, until, write};

const A: &str = "/v1/secrets/shop.prod.api/A";
/// The item that people edit.
const CURRENT: &str = "enclii/shop.prod.api/A";

fn flags(host: &str, directory: &Path, token: &str) -> Vec<String> {
    write(&directory.join("connect-token"), token);
    let token_file = directory.join("connect-token").to_str().unwrap().to_owned();
    let place =
        ["--store", "1password", "--onepassword-host", host, "--onepassword-vault", Connect::VAULT];
    let waits =
        ["--onepassword-watch", "1", "--onepassword-timeout", "2", "--onepassword-settle", "5"];
    let file = ["--onepassword-token-file".to_owned(), token_file];
    place.into_iter().chain(waits).map(str::to_owned).chain(file).collect()
}

async fn start(connect: &Connect, directory: &Path) -> Harness {
    Harness::start_child_with(
        directory.to_owned(),
        &flags(&connect.host(), directory, Connect::TOKEN),
    )
    .await
}

/// Version and text of the value at a path.
async fn value(harness: &Harness, path: &str) -> (u64, String) {
    let read: SecretValue =
        serde_json::from_slice(&harness.done(Method::GET, path, b"").await).unwrap();
    (read.version.0, String::from_utf8(read.value.expose().to_vec()).unwrap())
}

async fn post(harness: &Harness, what: &str, body: &Value) -> Written {
    serde_json::from_slice(
        &harness.done(Method::POST, &format!("{A}/{what}"), body.to_string().as_bytes()).await,
    )
    .unwrap()
}

async fn states(harness: &Harness) -> Vec<(u64, VersionState)> {
    let list: VersionList =
        serde_json::from_slice(&harness.done(Method::GET, &format!("{A}/versions"), b"").await)
            .unwrap();
    list.versions.iter().map(|version| (version.version.0, version.state)).collect()
}

/// Waits until the item that people see shows this value and version. An earlier edit could collide
/// with switchyard's own update.
async fn until_shown(connect: &Connect, version: &str, value: &str) {
    until("1Password to show the version in use", async || {
        let Some(item) = connect.state().titled(CURRENT).pop() else { return false };
        let fields = item["fields"].as_array().unwrap();
        let says = |label: &str, text: &str| {
            fields.iter().any(|field| field["label"] == label && field["value"] == text)
        };
        says("value", value) && says("version", version)
    })
    .await;
}

/// Expects a request that needs the store to fail with 503.
async fn unavailable(harness: &Harness, method: Method, path: &str, body: &[u8]) {
    let problem = harness.refused(method, path, body).await;
    assert!(problem.status == 503 && problem.detail.contains("store"), "{path}: {problem:?}");
}

fn log(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lifecycle_of_a_secret_in_1password_across_a_restart() {
    let (connect, temporary) = (Connect::start().await, tempfile::tempdir().unwrap());
    let harness = start(&connect, temporary.path()).await;
    harness.set("shop.prod.api", &[("A", b"hunter2"), ("B", b"\xff\x00")]).await;
    assert_eq!(value(&harness, A).await, (1, "hunter2".to_owned()));
    let rotated = post(&harness, "rotate", &json!({"value": "aHVudGVyMw=="})).await;
    assert_eq!(rotated.versions["A"], Version(2));
    assert_eq!(value(&harness, A).await, (2, "hunter3".to_owned()));
    assert_eq!(value(&harness, &format!("{A}?version=1")).await, (1, "hunter2".to_owned()));
    until_shown(&connect, "2", "hunter3").await;
    post(&harness, "rollback", &json!({"version": 1})).await;
    assert_eq!(value(&harness, A).await, (1, "hunter2".to_owned()));
    assert_eq!(states(&harness).await, [(2, VersionState::Archived), (1, VersionState::Active)]);

    // An edit in 1Password becomes a regular version, attributed to the person 1Password names.
    until_shown(&connect, "1", "hunter2").await;
    connect.state().type_in(CURRENT, "value", "hunter4");
    until("the change to be the version in use", async || {
        value(&harness, A).await == (3, "hunter4".to_owned())
    })
    .await;
    let expected =
        [(3, VersionState::Active), (2, VersionState::Archived), (1, VersionState::Archived)];
    assert_eq!(states(&harness).await, expected);
    let rotations = harness.events("rotate").await;
    let by: Vec<_> = rotations
        .iter()
        .map(|event| (event["actor_type"].as_str().unwrap(), event["version"].as_u64().unwrap()))
        .collect();
    assert_eq!(by, [("token", 2), ("store", 3)]);

    harness.end().await;
    let harness = start(&connect, temporary.path()).await;
    assert_eq!(value(&harness, A).await, (3, "hunter4".to_owned()));
    assert_eq!(value(&harness, &format!("{A}?version=2")).await, (2, "hunter3".to_owned()));
    let (_, _, answer) =
        harness.ask(Method::GET, "/v1/secrets/shop.prod.api/B", Some(&harness.token()), b"").await;
    assert_eq!(serde_json::from_slice::<SecretValue>(&answer).unwrap().value.expose(), b"\xff\x00");
    // The first scan of a new process finds no change; a later edit is one.
    until_shown(&connect, "3", "hunter4").await;
    connect.state().type_in(CURRENT, "value", "hunter5");
    until("the change to be the version in use", async || {
        value(&harness, A).await == (4, "hunter5".to_owned())
    })
    .await;
    assert_eq!(states(&harness).await.len(), 4);
    // Values are in 1Password and nowhere else.
    harness.end().await;
    let files = std::fs::read_dir(temporary.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.is_file()).collect();
    assert!(files.iter().any(|file| file.ends_with("switchyard.db")), "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"hunter"), "{}", file.display());
    }
    assert!(!log(temporary.path()).contains("hunter"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_that_is_away_is_said_and_waited_for() {
    let (mut connect, temporary) = (Connect::start().await, tempfile::tempdir().unwrap());
    connect.down();
    let flags = flags(&connect.host(), temporary.path(), Connect::TOKEN);
    // The start waits for the ledger's key, which is in the store.
    let (harness, ()) =
        tokio::join!(Harness::start_child_with(temporary.path().to_owned(), &flags), async {
            let said = async || log(temporary.path()).contains("store ledger key, will retry");
            until("the log to say so", said).await;
            assert!(log(temporary.path()).contains("reach Connect"), "{}", log(temporary.path()));
            connect.up().await;
        });
    connect.down();
    unavailable(
        &harness,
        Method::POST,
        "/v1/secrets/shop.prod.api/",
        body(&[("A", b"hunter2")]).expose(),
    )
    .await;
    let (status, headers, answer) = harness.ask(Method::GET, "/v1/health", None, b"").await;
    assert_eq!(problem(status, &headers, &answer).status, 503);
    connect.up().await;
    // No partial write is left, and no restart is needed.
    assert_eq!(harness.set("shop.prod.api", &[("A", b"hunter2")]).await.versions["A"], Version(1));
    connect.down();
    unavailable(&harness, Method::GET, A, b"").await;
    unavailable(&harness, Method::POST, &format!("{A}/rotate"), b"{}").await;
    // What the ledger knows needs no store.
    assert_eq!(states(&harness).await, [(1, VersionState::Active)]);
    connect.up().await;
    assert_eq!(value(&harness, A).await, (1, "hunter2".to_owned()));
    until("health", async || harness.ask(Method::GET, "/v1/health", None, b"").await.0 == 200)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unresponsive_connect_does_not_block_requests_or_shutdown() {
    let temporary = tempfile::tempdir().unwrap();
    let mut connect = Connect::start().await;
    let harness = start(&connect, temporary.path()).await;
    connect.down();
    // The kernel accepts connections that nothing reads.
    let address = connect.host().trim_start_matches("http://").to_owned();
    let mut silent = None;
    until("the port to be free", async || {
        silent = std::net::TcpListener::bind(&address).ok();
        silent.is_some()
    })
    .await;
    unavailable(
        &harness,
        Method::POST,
        "/v1/secrets/shop.prod.api/",
        body(&[("A", b"hunter2")]).expose(),
    )
    .await;
    // It does not delay shutdown either.
    harness.end().await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_reported_and_can_be_replaced_without_a_restart() {
    let (connect, temporary) = (Connect::start().await, tempfile::tempdir().unwrap());
    let flags = flags(&connect.host(), temporary.path(), "sesame-wrong");
    let (harness, ()) =
        tokio::join!(Harness::start_child_with(temporary.path().to_owned(), &flags), async {
            let said = async || log(temporary.path()).contains("store ledger key, will retry");
            until("the log to say so", said).await;
            let said = log(temporary.path());
            assert!(
                said.contains("connect-token")
                    && said.contains("Invalid token signature")
                    && !said.contains("sesame-wrong"),
                "{said}"
            );
            write(&temporary.path().join("connect-token"), Connect::TOKEN);
        });
    harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    assert_eq!(value(&harness, A).await, (1, "hunter2".to_owned()));
    // A vault out of the token's reach is a separate error.
    connect.state().add_token(Connect::TOKEN, Vec::new());
    unavailable(&harness, Method::GET, A, b"").await;
    assert!(log(temporary.path()).contains("is not in scope"), "{}", log(temporary.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_configuration_prevents_the_start() {
    let table: [(&str, Option<&str>, &str); 3] = [
        ("http://127.0.0.1:1", None, "connect-token"),
        ("http://connect.example.org", Some("token"), "values would travel unencrypted"),
        ("connect:8080", Some("token"), "parse Connect's address"),
    ];
    for (host, token, says) in table {
        let temporary = tempfile::tempdir().unwrap();
        let flags = flags(host, temporary.path(), token.unwrap_or_default());
        if token.is_none() {
            std::fs::remove_file(temporary.path().join("connect-token")).unwrap();
        }
        let said = Harness::cannot_start(temporary.path(), &flags).await;
        assert!(said.contains("switchyard failed") && said.contains(says), "{host}: {said}");
    }
}
