//! Manual changes in Vault, and a sealed Vault.

use lockbox::StoreError;
use lockbox::conformance::ConformanceStore as _;
use reqwest::Method;
use serde_json::json;

use super::*;

const ENTRY: &str = "enclii/shop/prod/api";

#[tokio::test]
async fn manual_writes_are_not_adopted_and_harm_nothing() {
    let server = VaultServer::start(false).await;
    let store = Vault::open(&config(&server)).unwrap();
    let first = put(&store, "A", 1, b"value one").await;
    let second = put(&store, "A", 2, b"value two").await;
    let (_, ours) = server.kv(ENTRY, 1).await;
    // Another value, and then what `vault kv rollback -version=1` does.
    server
        .api(Method::POST, &format!("secret/data/{ENTRY}"), Some(json!({"data": {"A": "by hand"}})))
        .await;
    server.api(Method::POST, &format!("secret/data/{ENTRY}"), Some(json!({"data": ours}))).await;
    assert_eq!(
        store.read_newest(&scope(), &secret("A")).await.unwrap(),
        (second.clone(), Redacted::from(b"value two".as_slice()))
    );
    assert_eq!(read(&store, "A", &first).await.unwrap(), b"value one");
    let third = put(&store, "A", 3, b"value three").await;
    for (stored, value) in [(&first, "value one"), (&second, "value two"), (&third, "value three")]
    {
        assert_eq!(read(&store, "A", stored).await.unwrap(), value.as_bytes());
    }
    // The copy that the rollback created is destroyed with the value.
    store.destroy(&scope(), &secret("A"), &first).await.unwrap();
    assert!(!server.holds("value one").await && server.holds("value three").await);
}

#[tokio::test]
async fn deleting_a_kv_version_by_hand_loses_no_other() {
    let server = VaultServer::start(false).await;
    let store = Vault::open(&config(&server)).unwrap();
    let first = put(&store, "A", 1, b"value one").await;
    let second = put(&store, "A", 2, b"value two").await;
    server.api(Method::DELETE, &format!("secret/data/{ENTRY}"), None).await;
    // 404, with a body.
    assert!(matches!(read(&store, "A", &second).await, Err(StoreError::Destroyed(_))));
    assert_eq!(store.read_newest(&scope(), &secret("A")).await.unwrap().0, first);
    let third = put(&store, "A", 3, b"value three").await;
    assert_eq!(read(&store, "A", &first).await.unwrap(), b"value one");
    assert_eq!(read(&store, "A", &third).await.unwrap(), b"value three");
    server
        .api(Method::POST, &format!("secret/undelete/{ENTRY}"), Some(json!({"versions": [2]})))
        .await;
    assert_eq!(read(&store, "A", &second).await.unwrap(), b"value two", "it was taken back");
    store.destroy(&scope(), &secret("A"), &second).await.unwrap();
    assert!(read(&store, "A", &second).await.is_err() && !server.holds("value two").await);
    // After deleting the whole entry, old values are gone and new ones are stored.
    server.api(Method::DELETE, &format!("secret/metadata/{ENTRY}"), None).await;
    assert!(matches!(
        store.read_newest(&scope(), &secret("A")).await,
        Err(StoreError::NotFound(_))
    ));
    let fourth = put(&store, "A", 4, b"value four").await;
    assert!(matches!(
        read(&store, "A", &first).await,
        Err(StoreError::NotFound(_) | StoreError::Destroyed(_))
    ));
    assert_eq!(read(&store, "A", &fourth).await.unwrap(), b"value four");
}

#[tokio::test]
async fn a_sealed_vault_is_an_error_until_it_is_unsealed() {
    let server = VaultServer::start(false).await;
    let store = Vault::open(&config(&server)).unwrap();
    let stored = put(&store, "A", 1, b"x").await;
    store.health().await.unwrap();
    server.seal().await;
    assert!(matches!(store.health().await, Err(StoreError::Backend { .. })));
    assert!(matches!(read(&store, "A", &stored).await, Err(StoreError::Backend { .. })));
    server.unseal().await;
    until("Vault to take writes", async || store.health().await.is_ok()).await;
    assert_eq!(read(&store, "A", &stored).await.unwrap(), b"x");
}

#[tokio::test]
async fn an_engine_that_would_lose_values_is_refused() {
    let server = VaultServer::start(false).await;
    let value = Redacted::from(b"x".as_slice());
    let name = secret("A");
    let puts = [Put { name: &name, version: Version(1), value: &value }];
    let refused = async |store: Vault, why: &str| {
        let error = store.write(&scope(), &puts).await.unwrap_err();
        let error_chain = std::error::Error::source(&error).unwrap().to_string();
        assert!(error_chain.contains(why), "{error_chain}");
    };
    refused(
        Vault::open(&VaultConfig { mount: "absent".to_owned(), ..config(&server) }).unwrap(),
        "no handler for route",
    )
    .await;
    server
        .api(
            Method::POST,
            "sys/mounts/first",
            Some(json!({"type": "kv", "options": {"version": "1"}})),
        )
        .await;
    refused(
        Vault::open(&VaultConfig { mount: "first".to_owned(), ..config(&server) }).unwrap(),
        "version 2",
    )
    .await;
    server.api(Method::POST, "secret/config", Some(json!({"delete_version_after": "1h"}))).await;
    refused(Vault::open(&config(&server)).unwrap(), "delete_version_after").await;
}
