//! A data directory made by the release of November 2026 still opens: values, versions, audit log
//! and checkpoints. `tests/fixtures/2026-11/README.md` describes it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use audit::{Checkpoint, PublicKey, Record};
use contract::api::{SecretValue, VersionList, VersionState};
use http::Method;

use crate::agent::TestAgent;
use crate::audit_integrity::verify;
use crate::harness::Harness;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/2026-11")
}

/// Copies the fixture to where the harness expects the data directory.
fn copy_data(directory: &Path) {
    let data = directory.join("data");
    std::fs::create_dir(&data).unwrap();
    for file in ["switchyard.db", "key", "audit-key", "bootstrap-token"] {
        std::fs::copy(fixture().join(file), data.join(file)).unwrap();
        // Git does not keep the mode, and switchyard refuses a key that others can read.
        std::fs::set_permissions(data.join(file), Permissions::from_mode(0o600)).unwrap();
    }
    std::fs::create_dir(directory.join("outside")).unwrap();
    std::fs::copy(fixture().join("checkpoints.jsonl"), directory.join("outside/checkpoints.jsonl"))
        .unwrap();
}

fn json_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_november_2026_still_opens() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    copy_data(directory);
    let outside = directory.join("outside");
    let flags = ["--audit-checkpoint-directory", outside.to_str().unwrap()].map(str::to_owned);
    let harness = Harness::start_child_with(directory.to_owned(), &flags).await;

    // Values, sealed under the old key file.
    for (secret, version, value) in [
        ("shop.prod.api/DATABASE_URL", 1, b"postgres://first".as_slice()),
        ("shop.prod.api/DATABASE_URL?version=2", 2, b"postgres://second"),
        ("shop.prod.api/STRIPE_API_KEY?version=1", 1, b"stripe-1"),
        ("shop.prod.api/BYTES", 1, b"a\0b\r\n\xff"),
        ("shop.prod.api/EMPTY", 1, b""),
        ("shop.prod/SHARED", 1, b"of-the-environment"),
    ] {
        let path = format!("/v1/secrets/{secret}");
        let read: SecretValue =
            serde_json::from_slice(&harness.done(Method::GET, &path, b"").await).unwrap();
        assert_eq!((read.version.0, read.value.expose()), (version, value), "{secret}");
    }
    let versions: VersionList = serde_json::from_slice(
        &harness.done(Method::GET, "/v1/secrets/shop.prod.api/DATABASE_URL/versions", b"").await,
    )
    .unwrap();
    let states: Vec<_> = versions.versions.iter().map(|it| (it.version.0, it.state)).collect();
    assert_eq!(states, [(2, VersionState::Archived), (1, VersionState::Active)]);
    assert_eq!(
        harness.refused(Method::GET, "/v1/secrets/shop.prod.api/GONE", b"").await.status,
        404
    );
    assert_eq!(harness.json("/v1/bundles/shop.prod.api").await["generation"], 9);
    assert_eq!(harness.json("/v1/grants").await["grants"].as_array().unwrap().len(), 1);

    // A pod still gets its bundle.
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    let (generation, values) = agent.values().await;
    assert_eq!((generation, values["SHARED"].as_slice()), (9, b"of-the-environment".as_slice()));

    // The audit log continues from the exported events and matches the old checkpoints.
    let answer = harness.json("/v1/audit?limit=1000").await;
    let records: Vec<Record> = serde_json::from_value(answer["events"].clone()).unwrap();
    let exported: Vec<Record> = json_lines(&fixture().join("export.jsonl"));
    assert_eq!(records[..exported.len()], exported);
    let old: Vec<Checkpoint> = json_lines(&fixture().join("checkpoints.jsonl"));
    let pem =
        harness.json("/v1/audit/checkpoints").await["public_key"].as_str().unwrap().to_owned();
    let keys = PublicKey::all_from_pem(&pem).unwrap();
    let report = verify(&records, old.clone(), &keys);
    assert_eq!((report.finding, report.checkpoints), (None, old.len() as u64));

    // It can still be written, and the next checkpoint continues the old file.
    harness.set("shop.prod.api", &[("DATABASE_URL", b"postgres://third")]).await;
    assert_eq!(agent.values().await.0, 10);
    harness.terminate().await;
    let all: Vec<Checkpoint> = json_lines(&outside.join("checkpoints.jsonl"));
    assert!(all.len() > old.len() && all.starts_with(&old), "{all:?}");
}
