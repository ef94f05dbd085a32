//! Vault, token, health: what stands before the first value.

use std::time::Duration;

use lockbox::onepassword::{ConnectError, SetupError};
use lockbox::{OnePassword, OnePasswordConfig, Store, StoreError};

use super::connect::{Connect, Grant, Part};
use super::{World, config, put, said, write};

fn connect_error(error: StoreError) -> ConnectError {
    let StoreError::Backend { source, .. } = error else { panic!("{error}") };
    *source.downcast::<ConnectError>().unwrap()
}

async fn health(world: &World) -> Result<(), ConnectError> {
    world.store.health().await.map_err(connect_error)
}

#[tokio::test]
async fn a_vault_is_found_by_id_or_name_also_where_a_name_looks_like_an_id() {
    const LIKE_AN_ID: &str = "abcdefghijklmnopqrstuvwxyz";
    let world = World::new().await;
    let (by_id, twin) = ("qrstuvwxyzabcdefghijklmnop", "Twin");
    {
        let mut connect = world.connect.world();
        let named = connect.add_vault(LIKE_AN_ID);
        connect.add_vault_with_id(by_id, "By \"its\" id");
        let (one, two) = (connect.add_vault(twin), connect.add_vault(twin));
        let grant = |vault: &str| Grant { vault: vault.to_owned(), write: true };
        connect
            .add_token(Connect::TOKEN, vec![grant(&named), grant(by_id), grant(&one), grant(&two)]);
    }
    let open = |vault: &str| {
        let config = config(world.connect.host(), world.directory.path());
        OnePassword::new(&OnePasswordConfig { vault: vault.to_owned(), ..config }).unwrap()
    };
    for vault in [LIKE_AN_ID, by_id, "By \"its\" id"] {
        open(vault).health().await.unwrap_or_else(|error| panic!("{vault}: {}", said(&error)));
    }
    let error = connect_error(open(twin).health().await.unwrap_err());
    assert!(matches!(error, ConnectError::VaultTwice(_, 2)), "{error}");
    for vault in ["enclii", "Enclii", "x\" or name eq \"Twin", ""] {
        let error = connect_error(open(vault).health().await.unwrap_err());
        assert!(matches!(error, ConnectError::NoVault(_)), "{vault}: {error}");
    }
}

#[tokio::test]
async fn a_refused_token_has_an_error_of_its_own_and_a_new_one_is_found() {
    let world = World::new().await;
    health(&world).await.unwrap();
    world.connect.world().revoke(Connect::TOKEN);
    let error = put(&world.store, "A", 1, "x").await.unwrap_err();
    assert!(
        matches!(connect_error(error), ConnectError::Token { message, .. } if message == "Invalid token signature")
    );
    assert!(matches!(health(&world).await, Err(ConnectError::Token { .. })));
    // The operator puts a new one into the file, and nobody restarts anything.
    let vault = world.connect.world().titles();
    assert!(vault.is_empty());
    let grants = world.connect.world().grants_of_first_vault();
    world.connect.world().add_token("a-new-token", grants);
    write(&world.directory.path().join("token"), "a-new-token\n");
    world.put("A", 1, "x").await;
}

#[tokio::test]
async fn a_token_without_the_right_to_write_or_to_the_vault_says_so_at_once() {
    let world = World::new().await;
    let mut grants = world.connect.world().grants_of_first_vault();
    grants[0].write = false;
    world.connect.world().add_token(Connect::TOKEN, grants);
    health(&world).await.unwrap();
    let before = world.connect.world().log.len();
    let error = connect_error(put(&world.store, "A", 1, "x").await.unwrap_err());
    assert!(
        matches!(&error, ConnectError::Access(message) if message.ends_with("is not in scope")),
        "{error}"
    );
    let posts =
        world.connect.world().log[before..].iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(posts, 1, "a refusal for good was asked about again");
}

#[tokio::test]
async fn a_refusal_by_mistake_is_asked_about_a_few_times_and_then_believed() {
    let world = World::new().await;
    health(&world).await.unwrap();
    world.connect.world().spurious = 100;
    let before = world.connect.world().log.len();
    let error = health(&world).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Access(message) if message == "Authorization: token does not have access to vault"),
        "{error}"
    );
    assert_eq!(world.connect.world().log.len() - before, 4);
}

#[tokio::test]
async fn a_server_that_says_200_and_cannot_work_is_not_healthy() {
    let world = World::new().await;
    assert!(!world.connect.world().used);
    // Nobody has used it: the question itself wakes it.
    health(&world).await.unwrap();
    world.connect.world().ill =
        vec![Part { service: "sync", status: "TOKEN_NEEDED", message: "no token" }];
    let error = health(&world).await.unwrap_err();
    assert_eq!(error.to_string(), "use Connect: sync is TOKEN_NEEDED (no token)");
    world.connect.world().ill.clear();
    world.connect.world().unsynced = 3;
    health(&world).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_or_no_connect_at_all_is_an_error_in_time() {
    let mut world = World::new().await;
    world.connect.down();
    assert!(matches!(health(&world).await, Err(ConnectError::Unreachable(_))));
    // Something else at the address: its words are no JSON.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, axum::Router::new().fallback(|| async { "<html>" })).await.unwrap()
    });
    let config = OnePasswordConfig {
        timeout: Duration::from_millis(200),
        ..config(format!("http://{address}"), world.directory.path())
    };
    let error = connect_error(OnePassword::new(&config).unwrap().health().await.unwrap_err());
    assert!(matches!(error, ConnectError::Form { line: 1, .. }), "{error}");
}

#[test]
fn values_do_not_travel_in_the_open_unasked() {
    let directory = tempfile::tempdir().unwrap();
    let open = |change: &dyn Fn(&mut OnePasswordConfig)| {
        let mut config = config("http://connect.example.org:8080".to_owned(), directory.path());
        change(&mut config);
        OnePassword::new(&config)
    };
    assert!(matches!(open(&|_| {}), Err(SetupError::Plain(_))));
    assert!(open(&|config| config.plain_http = true).is_ok());
    let no_file = directory.path().join("none");
    assert!(matches!(
        open(&|config| config.token_file = no_file.clone()),
        Err(SetupError::Plain(_))
    ));
    let https =
        |config: &mut OnePasswordConfig| config.host = "https://connect.example.org".to_owned();
    let ca = no_file;
    assert!(matches!(
        open(&move |config| {
            https(config);
            config.ca_file = Some(ca.clone());
        }),
        Err(SetupError::Read { .. })
    ));
}
