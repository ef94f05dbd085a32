//! The embedded backend: the conformance suite, tampering with the database file, and crashes.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use contract::{Redacted, Scope, SecretName, Version};
use lockbox::conformance::ConformanceStore as _;
use lockbox::database::query;
use lockbox::embedded::EmbeddedError;
use lockbox::seal::SealError;
use lockbox::{
    Database, Embedded, KeyFile, Put, Reference, Store, StoreError, StoredVersion, conformance,
};

async fn open(directory: &Path) -> (Database, Embedded) {
    let database = Database::open(&directory.join("switchyard.db")).await.unwrap();
    let embedded =
        Embedded::open(database.clone(), &KeyFile::new(directory.join("key"))).await.unwrap();
    (database, embedded)
}

fn scope() -> Scope {
    "shop.prod.api".parse().unwrap()
}

fn secret(name: &str) -> SecretName {
    name.parse().unwrap()
}

async fn put(store: &Embedded, name: &str, version: u64, value: &str) -> StoredVersion {
    let (name, value) = (secret(name), Redacted::from(value.to_owned()));
    let references = store
        .write(&scope(), &[Put { name: &name, version: Version(version), value: &value }])
        .await
        .unwrap();
    StoredVersion { version: Version(version), reference: references[0].clone() }
}

async fn tamper(database: &Database, sql: &'static str, binds: &[&Reference]) {
    let tampering = binds.iter().fold(query(sql), |query, it| query.bind(it.as_str()));
    assert_eq!(database.execute(tampering).await.unwrap(), 1, "{sql}");
}

fn names_the_row(error: &StoreError, name: &str, version: u64) -> bool {
    error.to_string().contains(&format!("shop.prod.api/{name} version {version} ("))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, store) = open(directory.path()).await;
    assert_eq!(conformance::run(&store, &"suite".parse().unwrap()).await.unwrap(), 15);
    // There are no faults here. Tests with a real server inject them.
    for seed in 1..=3 {
        let report =
            conformance::fault_injection::run(&store, "suite", seed, 100, || ()).await.unwrap();
        assert_eq!(report.failed, 0);
    }
}

#[tokio::test]
async fn every_kind_of_tampering_fails_closed_with_the_row_named() {
    let attacks: &[(&str, &str)] = &[
        (
            "another secret's row in its place",
            "UPDATE lockbox_values SET (wrapped_key, sealed) = (SELECT wrapped_key, sealed FROM \
             lockbox_values WHERE reference = $2) WHERE reference = $1 AND $3 = $3",
        ),
        (
            "its own older row in its place",
            "UPDATE lockbox_values SET (wrapped_key, sealed, version) = (SELECT wrapped_key, \
             sealed, 2 FROM lockbox_values WHERE reference = $3) WHERE reference = $1 AND $2 = $2",
        ),
        (
            "the older row's value alone",
            "UPDATE lockbox_values SET sealed = (SELECT sealed FROM lockbox_values WHERE \
             reference = $3) WHERE reference = $1 AND $2 = $2",
        ),
        (
            "a changed byte in the value",
            "UPDATE lockbox_values SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || \
             CASE substr(sealed, -1) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB) WHERE \
             reference = $1 AND $2 = $2 AND $3 = $3",
        ),
        (
            "a cut value",
            "UPDATE lockbox_values SET sealed = substr(sealed, 1, 20) WHERE reference = $1 AND $2 \
             = $2 AND $3 = $3",
        ),
        (
            "an empty value",
            "UPDATE lockbox_values SET sealed = x'' WHERE reference = $1 AND $2 = $2 AND $3 = $3",
        ),
        (
            "a missing value",
            "UPDATE lockbox_values SET sealed = NULL WHERE reference = $1 AND $2 = $2 AND $3 = $3",
        ),
        (
            "a cut data key",
            "UPDATE lockbox_values SET wrapped_key = substr(wrapped_key, 1, 11) WHERE reference = \
             $1 AND $2 = $2 AND $3 = $3",
        ),
        (
            "another format",
            "UPDATE lockbox_values SET format = 0 WHERE reference = $1 AND $2 = $2 AND $3 = $3",
        ),
        (
            "a format out of range",
            "UPDATE lockbox_values SET format = 999 WHERE reference = $1 AND $2 = $2 AND $3 = $3",
        ),
        (
            "another key",
            "UPDATE lockbox_values SET key_id = 'ffff' WHERE reference = $1 AND $2 = $2 AND $3 = \
             $3",
        ),
    ];
    for (attack, sql) in attacks {
        let directory = tempfile::tempdir().unwrap();
        let (database, store) = open(directory.path()).await;
        let older = put(&store, "A", 1, "older value").await;
        let current = put(&store, "A", 2, "current value").await;
        let other = put(&store, "B", 1, "another value").await;
        tamper(&database, sql, &[&current.reference, &other.reference, &older.reference]).await;
        let error = store.read_version(&scope(), &secret("A"), &current).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Seal(_)) && names_the_row(&error, "A", 2),
            "{attack}: {error}"
        );
        // The other rows still open.
        assert_eq!(
            store.read_version(&scope(), &secret("A"), &older).await.unwrap().expose(),
            b"older value",
            "{attack}"
        );
        assert_eq!(
            store.read_version(&scope(), &secret("B"), &other).await.unwrap().expose(),
            b"another value",
            "{attack}"
        );
    }
}

#[tokio::test]
async fn a_mismatched_reference_reads_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, store) = open(directory.path()).await;
    let older = put(&store, "A", 1, "older value").await;
    let current = put(&store, "A", 2, "current value").await;
    // As from a rolled-back ledger row: version 2 with the reference of version 1.
    let mixed = StoredVersion { version: current.version, reference: older.reference };
    let error = store.read_version(&scope(), &secret("A"), &mixed).await.unwrap_err();
    assert!(matches!(error, StoreError::Seal(SealError::Integrity(_))), "{error}");
}

#[tokio::test]
async fn values_survive_a_restart_and_are_not_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (database, store) = open(directory.path()).await;
    let stored = put(&store, "A", 1, "a value that nobody should see").await;
    database.close().await;
    drop((database, store));
    let (database, store) = open(directory.path()).await;
    assert_eq!(
        store.read_version(&scope(), &secret("A"), &stored).await.unwrap().expose(),
        b"a value that nobody should see"
    );
    database.close().await;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(12).any(|window| window == b"a value that"));
    }
}

#[tokio::test]
async fn a_missing_or_wrong_key_file_fails_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let (database, store) = open(directory.path()).await;
    put(&store, "A", 1, "x").await;
    drop(store);
    let key = directory.path().join("key");
    std::fs::rename(&key, directory.path().join("backup")).unwrap();
    let error = Embedded::open(database.clone(), &KeyFile::new(key.clone())).await.unwrap_err();
    assert!(
        matches!(error, EmbeddedError::Key(_)) && error.to_string().contains("it is missing"),
        "{error}"
    );
    assert!(!key.exists(), "a second key was made beside values of the first");
    std::fs::File::create_new(&key).unwrap().write_all(&[9; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = Embedded::open(database.clone(), &KeyFile::new(key.clone())).await.unwrap_err();
    assert!(
        matches!(error, EmbeddedError::KeyMissing { rows: 1, .. })
            && error.to_string().contains("1 values need key"),
        "{error}"
    );
    std::fs::rename(directory.path().join("backup"), &key).unwrap();
    Embedded::open(database, &KeyFile::new(key)).await.unwrap();
}

#[tokio::test]
async fn the_wrong_key_opens_nothing_that_it_did_not_seal() {
    let directory = tempfile::tempdir().unwrap();
    let (database, store) = open(directory.path()).await;
    let stored = put(&store, "A", 1, "x").await;
    put(&store, "B", 1, "y").await;
    tamper(
        &database,
        "UPDATE lockbox_values SET key_id = 'ffff' WHERE reference = $1",
        &[&stored.reference],
    )
    .await;
    // One row of an unknown key does not keep the store from opening, and does not open itself.
    let store =
        Embedded::open(database, &KeyFile::new(directory.path().join("key"))).await.unwrap();
    let error = store.read_version(&scope(), &secret("A"), &stored).await.unwrap_err();
    assert!(matches!(error, StoreError::Seal(SealError::KeyMissing { .. })), "{error}");
}

#[tokio::test]
async fn an_unacknowledged_row_does_not_block_its_version() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, store) = open(directory.path()).await;
    let first = put(&store, "A", 1, "one").await;
    // Its writer died before the ledger recorded it, so the version is used again.
    let orphan = put(&store, "A", 2, "orphan").await;
    let second = put(&store, "A", 2, "two").await;
    assert_ne!(orphan.reference, second.reference);
    assert_eq!(store.read_version(&scope(), &secret("A"), &second).await.unwrap().expose(), b"two");
    assert_eq!(store.read_version(&scope(), &secret("A"), &first).await.unwrap().expose(), b"one");
    store.destroy(&scope(), &secret("A"), &orphan).await.unwrap();
    assert_eq!(store.list_versions(&scope(), &secret("A")).await.unwrap(), [second, first]);
}
