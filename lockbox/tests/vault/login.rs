//! Tokens are obtained, renewed, replaced and never shown. Certificates are always verified.

use std::process::Command;

use lockbox::StoreError;
use lockbox::conformance::ConformanceStore as _;
use reqwest::Method;
use serde_json::json;

use super::*;

/// Creates an AppRole with these token lifetimes, and its secret id file.
pub(crate) async fn approle(server: &VaultServer, ttl: &str, max_ttl: &str) -> VaultLogin {
    server.api(Method::PUT, "sys/policies/acl/switchyard", Some(json!({"policy": POLICY}))).await;
    server.api(Method::POST, "sys/auth/approle", Some(json!({"type": "approle"}))).await;
    let role =
        json!({"token_policies": ["switchyard"], "token_ttl": ttl, "token_max_ttl": max_ttl});
    server.api(Method::POST, "auth/approle/role/switchyard", Some(role)).await;
    let id = server.api(Method::GET, "auth/approle/role/switchyard/role-id", None).await;
    let secret_id =
        server.api(Method::POST, "auth/approle/role/switchyard/secret-id", Some(json!({}))).await;
    VaultLogin::AppRole {
        role_id: id["data"]["role_id"].as_str().unwrap().to_owned(),
        secret_id_file: server.file("secret-id", secret_id["data"]["secret_id"].as_str().unwrap()),
        mount: "approle".to_owned(),
    }
}

/// How many tokens of the role exist, and how many of them were renewed.
async fn tokens(server: &VaultServer) -> (usize, usize) {
    let listed =
        server.api(Method::from_bytes(b"LIST").unwrap(), "auth/token/accessors", None).await;
    let (mut of_role, mut renewed) = (0, 0);
    for accessor in listed["data"]["keys"].as_array().unwrap() {
        let asked = server
            .ask(Method::POST, "auth/token/lookup-accessor", Some(json!({"accessor": accessor})))
            .await;
        let Some((200, token)) = asked else { continue };
        if token["data"]["path"] == json!("auth/approle/login") {
            of_role += 1;
            renewed += usize::from(!token["data"]["last_renewal"].is_null());
        }
    }
    (of_role, renewed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_in_time_and_replaced_near_its_maximum() {
    let server = VaultServer::start(true).await;
    let store =
        Vault::open(&VaultConfig { login: approle(&server, "4s", "9s").await, ..config(&server) })
            .unwrap();
    let work = async {
        let stored = put(&store, "A", 1, b"x").await;
        assert_eq!(tokens(&server).await, (1, 0));
        // The same token, renewed.
        until("a renewal", async || tokens(&server).await.1 > 0).await;
        // Near its maximum lifetime it is replaced before it expires.
        until("another login", async || tokens(&server).await.0 > 1).await;
        until("the end of the first", async || tokens(&server).await.0 == 1).await;
        assert_eq!(read(&store, "A", &stored).await.unwrap(), b"x");
    };
    tokio::select! {
        () = work => {}
        () = store.keep_token_alive() => panic!("it works for ever"),
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once_and_a_denying_policy_is_not_retried() {
    let server = VaultServer::start(false).await;
    let login = approle(&server, "1h", "1h").await;
    let store = Vault::open(&VaultConfig { login: login.clone(), ..config(&server) }).unwrap();
    let stored = put(&store, "A", 1, b"x").await;
    assert_eq!(tokens(&server).await.0, 1);
    server.api(Method::PUT, "sys/leases/revoke-force/auth/approle/login", None).await;
    until("the end of the token", async || tokens(&server).await.0 == 0).await;
    assert_eq!(read(&store, "A", &stored).await.unwrap(), b"x");
    assert_eq!(tokens(&server).await.0, 1);
    // A denying policy: a new login would not help, and none is made.
    let elsewhere =
        Vault::open(&VaultConfig { login, prefix: "elsewhere".to_owned(), ..config(&server) })
            .unwrap();
    for _ in 0..3 {
        assert!(matches!(elsewhere.health().await, Err(StoreError::Backend { .. })));
    }
    assert_eq!(tokens(&server).await.0, 2);
}

#[tokio::test]
async fn debug_and_errors_do_not_contain_tokens() {
    let server = VaultServer::start(false).await;
    let login = approle(&server, "1h", "1h").await;
    let VaultLogin::AppRole { secret_id_file, .. } = &login else { panic!() };
    let secret_id = std::fs::read_to_string(secret_id_file).unwrap();
    let by_role = Vault::open(&VaultConfig { login, ..config(&server) }).unwrap();
    let by_root = Vault::open(&config(&server)).unwrap();
    put(&by_role, "A", 1, b"value-canary").await;
    put(&by_root, "A", 2, b"value-canary").await;
    let mut shown = format!("{by_role:?} {by_root:?} {:?}", config(&server));
    server.seal().await;
    for store in [&by_role, &by_root] {
        let error = store.read_newest(&scope(), &secret("A")).await.unwrap_err();
        shown
            .push_str(&format!("{error} {error:?} {}", std::error::Error::source(&error).unwrap()));
    }
    assert!(shown.contains("sealed"), "{shown}");
    // The prefixes of all Vault tokens.
    for hidden in ["hvs.", "hvb.", &secret_id, server.root(), "value-canary"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[tokio::test]
async fn environment_variables_do_not_change_tls_or_the_token() {
    let server = VaultServer::start(true).await;
    put(&Vault::open(&config(&server)).unwrap(), "A", 1, b"x").await;
    let wrong = server.file("wrong.crt", &server::authority("another CA").0);
    for skip in ["", "1", "true", "no"] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "login::with_misleading_environment_variables", "--ignored"])
            .env("VAULT_SKIP_VERIFY", skip)
            .env("VAULT_ADDR", "http://127.0.0.1:1")
            .env("VAULT_TOKEN", "hvs.of-the-environment")
            .env("VAULT_CACERT", server.ca())
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .env("TEST_ADDRESS", server.address())
            .env("TEST_ROOT", server.root_file())
            .env("TEST_CA", server.ca())
            .env("TEST_WRONG_CA", &wrong)
            .output()
            .unwrap();
        let error_chain = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && error_chain.contains("1 passed"),
            "VAULT_SKIP_VERIFY={skip:?}: {error_chain}"
        );
    }
}

#[tokio::test]
#[ignore = "the test above runs it in a process of its own"]
async fn with_misleading_environment_variables() {
    let given = |name: &str| {
        std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set")).into_string().unwrap()
    };
    let config = |ca: Option<String>| VaultConfig {
        address: given("TEST_ADDRESS"),
        allow_plain_http: false,
        mount: "secret".to_owned(),
        prefix: "enclii".to_owned(),
        namespace: None,
        login: VaultLogin::Token(given("TEST_ROOT").into()),
        ca_file: ca.map(Into::into),
        timeout: Duration::from_secs(5),
        max_versions: 10,
    };
    let right = Vault::open(&config(Some(given("TEST_CA")))).unwrap();
    assert_eq!(right.read_newest(&scope(), &secret("A")).await.unwrap().1.expose(), b"x");
    let wrong = Vault::open(&config(Some(given("TEST_WRONG_CA")))).unwrap();
    let error = wrong.read_newest(&scope(), &secret("A")).await.unwrap_err();
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    // The system's CAs do not include it either. A machine without CAs cannot build a client at
    // all.
    if let Ok(system) = Vault::open(&config(None)) {
        assert!(system.read_newest(&scope(), &secret("A")).await.is_err());
    }
}
