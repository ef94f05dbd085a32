//! Finding the vault, the token, and health.

use std::time::Duration;

use lockbox::onepassword::{ConnectError, SetupError};
use lockbox::{OnePassword, OnePasswordConfig, Store, StoreError};
use runtime::http_client::HttpClientError;

use super::fake_connect::{ComponentHealth, Connect, VaultGrant};
use super::{TestStore, config, error_chain, put, write};

fn connect_error(error: StoreError) -> ConnectError {
    let StoreError::Backend { source, .. } = error else { panic!("{error}") };
    *source.downcast::<ConnectError>().unwrap()
}

async fn health(harness: &TestStore) -> Result<(), ConnectError> {
    harness.store.health().await.map_err(connect_error)
}

#[tokio::test]
async fn a_vault_is_found_by_id_or_by_name_even_if_the_name_looks_like_an_id() {
    const LIKE_AN_ID: &str = "abcdefghijklmnopqrstuvwxyz";
    let harness = TestStore::new().await;
    let (by_id, twin) = ("qrstuvwxyzabcdefghijklmnop", "Twin");
    {
        let mut connect = harness.connect.state();
        let named = connect.add_vault(LIKE_AN_ID);
        connect.add_vault_with_id(by_id, "By \"its\" id");
        let (one, two) = (connect.add_vault(twin), connect.add_vault(twin));
        let grant = |vault: &str| VaultGrant { vault: vault.to_owned(), write: true };
        connect
            .add_token(Connect::TOKEN, vec![grant(&named), grant(by_id), grant(&one), grant(&two)]);
    }
    let open = |vault: &str| {
        let config = config(harness.connect.host(), harness.directory.path());
        OnePassword::new(&OnePasswordConfig { vault: vault.to_owned(), ..config }).unwrap()
    };
    for vault in [LIKE_AN_ID, by_id, "By \"its\" id"] {
        open(vault)
            .health()
            .await
            .unwrap_or_else(|error| panic!("{vault}: {}", error_chain(&error)));
    }
    let error = connect_error(open(twin).health().await.unwrap_err());
    assert!(matches!(error, ConnectError::AmbiguousVault(_, 2)), "{error}");
    for vault in ["enclii", "Enclii", "x\" or name eq \"Twin", ""] {
        let error = connect_error(open(vault).health().await.unwrap_err());
        assert!(matches!(error, ConnectError::NoVault(_)), "{vault}: {error}");
    }
}

#[tokio::test]
async fn a_refused_token_has_its_own_error_and_a_new_one_is_picked_up() {
    let harness = TestStore::new().await;
    health(&harness).await.unwrap();
    harness.connect.state().revoke(Connect::TOKEN);
    let error = put(&harness.store, "A", 1, "x").await.unwrap_err();
    assert!(matches!(
        connect_error(error),
        ConnectError::Token { message, .. } if message == "Invalid token signature"
    ));
    assert!(matches!(health(&harness).await, Err(ConnectError::Token { .. })));
    // A new token in the file works without a restart.
    let vault = harness.connect.state().titles();
    assert!(vault.is_empty());
    let grants = harness.connect.state().grants_of_first_vault();
    harness.connect.state().add_token("a-new-token", grants);
    write(&harness.directory.path().join("token"), "a-new-token\n");
    harness.put("A", 1, "x").await;
}

#[tokio::test]
async fn a_token_without_write_access_fails_at_once() {
    let harness = TestStore::new().await;
    let mut grants = harness.connect.state().grants_of_first_vault();
    grants[0].write = false;
    harness.connect.state().add_token(Connect::TOKEN, grants);
    health(&harness).await.unwrap();
    let before = harness.connect.state().log.len();
    let error = connect_error(put(&harness.store, "A", 1, "x").await.unwrap_err());
    assert!(
        matches!(&error, ConnectError::Access(message) if message.ends_with("is not in scope")),
        "{error}"
    );
    let posts = harness.connect.state().log[before..]
        .iter()
        .filter(|line| line.starts_with("POST"))
        .count();
    assert_eq!(posts, 1, "a refusal for good was asked about again");
}

#[tokio::test]
async fn a_spurious_refusal_is_retried_four_times() {
    let harness = TestStore::new().await;
    health(&harness).await.unwrap();
    harness.connect.state().spurious = 100;
    let before = harness.connect.state().log.len();
    let error = health(&harness).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Access(message) if message == "Authorization: token does \
             not have access to vault"),
        "{error}"
    );
    assert_eq!(harness.connect.state().log.len() - before, 4);
}

#[tokio::test]
async fn a_server_that_says_200_and_cannot_work_is_not_healthy() {
    let harness = TestStore::new().await;
    assert!(!harness.connect.state().used);
    // Nobody has used the server yet. The health check itself initialises it.
    health(&harness).await.unwrap();
    harness.connect.state().ill =
        vec![ComponentHealth { service: "sync", status: "TOKEN_NEEDED", message: "no token" }];
    let error = health(&harness).await.unwrap_err();
    assert_eq!(error.to_string(), "use Connect: sync is TOKEN_NEEDED (no token)");
    harness.connect.state().ill.clear();
    harness.connect.state().unsynced = 3;
    health(&harness).await.unwrap();
}

#[tokio::test]
async fn an_unreachable_or_foreign_server_is_an_error_in_time() {
    let mut harness = TestStore::new().await;
    harness.connect.down();
    assert!(matches!(health(&harness).await, Err(ConnectError::Unreachable(_))));
    // Another server at the address, which does not answer with JSON.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, axum::Router::new().fallback(|| async { "<html>" })).await.unwrap()
    });
    let config = OnePasswordConfig {
        timeout: Duration::from_millis(200),
        ..config(format!("http://{address}"), harness.directory.path())
    };
    let error = connect_error(OnePassword::new(&config).unwrap().health().await.unwrap_err());
    assert!(matches!(error, ConnectError::MalformedAnswer { line: 1, .. }), "{error}");
}

#[test]
fn plain_http_is_refused_by_default() {
    let directory = tempfile::tempdir().unwrap();
    let open = |change: &dyn Fn(&mut OnePasswordConfig)| {
        let mut config = config("http://connect.example.org:8080".to_owned(), directory.path());
        change(&mut config);
        OnePassword::new(&config)
    };
    assert!(matches!(open(&|_| {}), Err(SetupError::PlainHttp(_))));
    assert!(open(&|config| config.allow_plain_http = true).is_ok());
    let no_file = directory.path().join("none");
    assert!(matches!(
        open(&|config| config.token_file = no_file.clone()),
        Err(SetupError::PlainHttp(_))
    ));
    let https =
        |config: &mut OnePasswordConfig| config.host = "https://connect.example.org".to_owned();
    let ca = no_file;
    assert!(matches!(
        open(&move |config| {
            https(config);
            config.ca_file = Some(ca.clone());
        }),
        Err(SetupError::Http(HttpClientError::ReadCa { .. }))
    ));
}
