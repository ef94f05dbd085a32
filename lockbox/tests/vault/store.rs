//! What is stored in Vault, and what is destroyed there.

use lockbox::conformance::ConformanceStore as _;
use lockbox::{StoreError, conformance};
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_over_tls_with_the_documented_policy() {
    let server = VaultServer::start(true).await;
    let store = Vault::open(&VaultConfig {
        login: login::approle(&server, "1h", "4h").await,
        ..config(&server)
    })
    .unwrap();
    conformance::run(&store, &"suite".parse().unwrap()).await.unwrap();
    for seed in 1..=3 {
        let report =
            conformance::fault_injection::run(&store, "suite", seed, 60, || ()).await.unwrap();
        assert_eq!(report.failed, 0, "nothing was in the way");
    }
}

#[tokio::test]
async fn several_secrets_are_one_kv_version_that_any_vault_client_can_read() {
    let server = VaultServer::start(false).await;
    let store = Vault::open(&config(&server)).unwrap();
    let (url, key) = (
        Redacted::from(b"postgres://db?a=<b>&c\n".as_slice()),
        Redacted::from(b"\xff\x00".as_slice()),
    );
    let puts = [
        Put { name: &secret("DATABASE_URL"), version: Version(1), value: &url },
        Put { name: &secret("KEYSTORE"), version: Version(1), value: &key },
    ];
    store.write(&scope(), &puts).await.unwrap();
    let (status, data) = server.kv("enclii/shop/prod/api", 1).await;
    assert_eq!(
        (status, &data["DATABASE_URL"], &data["KEYSTORE"]),
        (200, &json!("postgres://db?a=<b>&c\n"), &json!("/wA="))
    );
    assert_eq!(data[".lockbox"]["base64"], json!(["KEYSTORE"]));
    assert_eq!(server.kv("enclii/shop/prod/api", 2).await.0, 404);
    let metadata =
        server.api(reqwest::Method::GET, "secret/metadata/enclii/shop/prod/api", None).await;
    assert_eq!(metadata["data"]["max_versions"], json!(VaultConfig::MAX_VERSIONS));
    assert_eq!(metadata["data"]["custom_metadata"], json!(null));
}

#[tokio::test]
async fn versions_that_vault_evicts_stay_readable() {
    let server = VaultServer::start(false).await;
    let store = Vault::open(&VaultConfig { max_versions: 3, ..config(&server) }).unwrap();
    let bystander = put(&store, "BYSTANDER", 1, b"since the beginning").await;
    let mut kept = Vec::new();
    for version in 1..=30 {
        kept.push(put(&store, "ROTATED", version, format!("value {version}").as_bytes()).await);
    }
    assert_eq!(
        server.kv("enclii/shop/prod/api", 20).await.0,
        404,
        "Vault evicted nothing, so that nothing was tried"
    );
    for stored in &kept {
        assert_eq!(
            read(&store, "ROTATED", stored).await.unwrap(),
            format!("value {}", stored.version).as_bytes()
        );
    }
    assert_eq!(read(&store, "BYSTANDER", &bystander).await.unwrap(), b"since the beginning");
    let listed = store.list_versions(&scope(), &secret("ROTATED")).await.unwrap();
    assert!(listed.iter().rev().eq(&kept));
    // A version that was evicted, moved and destroyed is gone.
    store.destroy(&scope(), &secret("ROTATED"), &kept[4]).await.unwrap();
    assert!(matches!(
        read(&store, "ROTATED", &kept[4]).await,
        Err(StoreError::NotFound(_) | StoreError::Destroyed(_))
    ));
    assert_eq!(read(&store, "ROTATED", &kept[5]).await.unwrap(), b"value 6");
}

#[tokio::test]
async fn a_destroyed_value_is_gone_and_the_others_stay() {
    let server = VaultServer::start(false).await;
    let store = Vault::open(&config(&server)).unwrap();
    let first = put(&store, "KEY", 1, b"first-canary").await;
    let other = put(&store, "OTHER", 1, b"other-value").await;
    let second = put(&store, "KEY", 2, b"second-canary").await;
    let last = put(&store, "OTHER", 2, b"last-value").await;
    assert!(server.holds("first-canary").await);
    store.destroy(&scope(), &secret("KEY"), &first).await.unwrap();
    assert!(!server.holds("first-canary").await && server.holds("second-canary").await);
    assert!(matches!(
        read(&store, "KEY", &first).await,
        Err(StoreError::Destroyed(_) | StoreError::NotFound(_))
    ));
    for (name, stored, value) in [
        ("OTHER", &other, "other-value"),
        ("KEY", &second, "second-canary"),
        ("OTHER", &last, "last-value"),
    ] {
        assert_eq!(read(&store, name, stored).await.unwrap(), value.as_bytes());
    }
    // Destroying twice has the same effect.
    store.destroy(&scope(), &secret("KEY"), &first).await.unwrap();
    store.delete(&scope(), &secret("KEY")).await.unwrap();
    assert!(!server.holds("first-canary").await && !server.holds("second-canary").await);
    assert!(matches!(store.delete(&scope(), &secret("KEY")).await, Err(StoreError::NotFound(_))));
    assert_eq!(read(&store, "OTHER", &other).await.unwrap(), b"other-value");
    assert_eq!(read(&store, "OTHER", &last).await.unwrap(), b"last-value");
}

#[tokio::test]
async fn values_too_large_for_one_entry_are_stored() {
    let server = VaultServer::start(false).await;
    let store = Vault::open(&config(&server)).unwrap();
    // 24 values of 60 KiB and two of the largest size in one write. Integrated storage accepts 1
    // MiB.
    let sizes =
        (0..26).map(|at| if at < 24 { 60 << 10 } else { contract::layout::MAX_VALUE_BYTES });
    let values: Vec<_> = sizes
        .enumerate()
        .map(|(at, size)| {
            (secret(&format!("BIG_{at}")), Redacted::new(vec![u8::try_from(at).unwrap(); size]))
        })
        .collect();
    let puts: Vec<_> =
        values.iter().map(|(name, value)| Put { name, version: Version(1), value }).collect();
    let references = store.write(&scope(), &puts).await.unwrap();
    let small = put(&store, "SMALL", 1, b"plain").await;
    for ((name, value), reference) in values.iter().zip(references) {
        let stored = StoredVersion { version: Version(1), reference };
        assert!(store.read_version(&scope(), name, &stored).await.unwrap() == *value, "{name}");
        assert!(
            store.read_newest(&scope(), name).await.unwrap() == (stored, value.clone()),
            "{name}"
        );
    }
    assert_eq!(read(&store, "SMALL", &small).await.unwrap(), b"plain");
    store.delete(&scope(), &values[25].0).await.unwrap();
    assert!(matches!(
        store.read_newest(&scope(), &values[25].0).await,
        Err(StoreError::NotFound(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_write_the_same_scope_lose_nothing() {
    let server = VaultServer::start(false).await;
    let stores = [Vault::open(&config(&server)).unwrap(), Vault::open(&config(&server)).unwrap()];
    let writes = stores.iter().enumerate().map(async |(replica, store)| {
        let mut kept = Vec::new();
        for version in 1..=25 {
            let name = format!("OF_{replica}");
            kept.push((
                name.clone(),
                put(store, &name, version, format!("{replica} {version}").as_bytes()).await,
            ));
        }
        kept
    });
    let kept: Vec<_> = futures_util::future::join_all(writes).await.concat();
    assert_eq!(kept.len(), 50);
    for (name, stored) in &kept {
        let replica = name.trim_start_matches("OF_");
        for store in &stores {
            assert_eq!(
                read(store, name, stored).await.unwrap(),
                format!("{replica} {}", stored.version).as_bytes()
            );
        }
    }
}
